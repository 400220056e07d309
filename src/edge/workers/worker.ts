/**
 * One of several processes that serve together (`workers:`), as the process itself sees it. The supervisor starts it and
 * holds a channel to it; when the channel ends, the supervisor is gone, and the worker stops too.
 */
import type { AttemptTurns } from "../../base/attempts.ts";
import type { Question, ToSupervisor, ToWorker } from "./messages.ts";

/** What the edge of a worker asks of its siblings. */
export interface Worker {
  /** From 1. The first also serves what cannot be shared. */
  readonly index: number;
  /** What every worker answers, itself included, by its index; a worker that does not answer soon is left out. */
  askAll(question: Question): Promise<ReadonlyMap<number, string>>;
  /** Turns that all workers share. */
  readonly turns: AttemptTurns;
}

export interface WorkerChannel extends Worker {
  /** Says that this worker serves, and how it answers its siblings' questions. */
  ready(addresses: readonly string[], answer: (question: Question) => Promise<string>): void;
  onReload(reload: () => void): void;
  /** Called once, when the supervisor asks for the end or is gone. Until there is one to call, that ends the process at once. */
  onStop(stop: () => void): void;
}

/** As by SIGTERM. */
const ENDED_WHILE_STARTING = 143;

/** @throws when this process was not started by a supervisor */
export function openWorkerChannel(index: number): WorkerChannel {
  const send = process.send?.bind(process) as ((message: ToSupervisor) => void) | undefined;
  if (send === undefined) throw new Error("--worker is for processes that a supervisor starts: leave it away.");
  let answer: ((question: Question) => Promise<string>) | undefined;
  let reload = (): void => undefined;
  let stop = (): void => process.exit(ENDED_WHILE_STARTING);
  let stopped = false;
  let asked = 0;
  const waiting = new Map<number, (answers: ReadonlyMap<number, string>) => void>();
  const claimed = new Map<number, (failed: string | undefined) => void>();

  const end = (): void => {
    if (stopped) return;
    stopped = true;
    stop();
  };
  process.on("message", (message: ToWorker) => {
    switch (message.kind) {
      case "ask":
        void answer?.(message.question).then((text) => send({ kind: "answer", id: message.id, text }));
        break;
      case "answers":
        waiting.get(message.id)?.(new Map(message.answers));
        waiting.delete(message.id);
        break;
      case "turn":
        claimed.get(message.id)?.(message.failed);
        claimed.delete(message.id);
        break;
      case "reload":
        reload();
        break;
      case "stop":
        end();
        break;
    }
  });
  process.on("disconnect", end);

  return {
    index,
    askAll(question) {
      const id = ++asked;
      return new Promise((resolve) => {
        waiting.set(id, resolve);
        send({ kind: "ask-all", id, question });
      });
    },
    turns: {
      claim(name) {
        const id = ++asked;
        return new Promise((resolve) => {
          claimed.set(id, resolve);
          send({ kind: "claim", id, name });
        });
      },
      settle: (name, failure) => send({ kind: "settle", name, failure }),
    },
    ready(addresses, answerWith) {
      answer = answerWith;
      send({ kind: "ready", addresses });
    },
    onReload(callback) {
      reload = callback;
    },
    onStop(callback) {
      stop = callback;
    },
  };
}
