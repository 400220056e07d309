/**
 * Several processes that serve together: starts them, replaces one that dies, carries questions between them, ends them.
 * It holds no key and answers no request itself.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { Attempts } from "../../base/attempt-queue.ts";
import type { LogPort } from "../../base/log-port.ts";
import { type Backoff, longestBackoffMs } from "../../base/time/backoff.ts";
import type { Clock, Timer } from "../../base/time/clock.ts";
import type { ToSupervisor, ToWorker } from "./messages.ts";
import { Questions } from "./questions.ts";

export interface SupervisorOptions {
  readonly count: number;
  /** The command that runs worker `index`, from 1. */
  readonly command: (index: number) => readonly string[];
  readonly clock: Clock;
  readonly log: SupervisorLog;
}

export type SupervisorLog = Pick<LogPort, "info" | "warn" | "error">;

export interface Supervisor {
  /** Of the workers that run, by index. */
  readonly processIds: ReadonlyMap<number, number>;
  readonly addresses: readonly string[];
  reload(): void;
  /** Ends every worker; each finishes what it has in flight. May be called twice. */
  close(): Promise<void>;
}

/** A worker could not start: what it said is on standard error. */
class WorkerError extends Error {
  override readonly name = "WorkerError";
}

/** A worker that dies sooner than this after its start was not well: its replacement waits. */
const HEALTHY_AFTER_MS = 10_000;
const RESTART: Backoff = { firstMs: 100, maxMs: 5_000 };
/** A worker bounds its own stop; past this it hangs, and is killed. */
const STOP_TIMEOUT_MS = 60_000;

interface RunningWorker {
  readonly index: number;
  readonly child: ChildProcess;
  readonly exited: Promise<void>;
  isReady: boolean;
}

/** Starts every worker; resolves once all serve. @throws {WorkerError} when one ends before it serves */
export async function superviseWorkers(options: SupervisorOptions): Promise<Supervisor> {
  const { count, clock, log } = options;
  const workers = new Map<number, RunningWorker>();
  const restarts = new Set<Timer>();
  const earlyDeaths = new Map<number, number>();
  const questions = new Questions(clock, tell);
  const attempts = new Attempts<RunningWorker>();
  let addresses: readonly string[] = [];
  let stopping: Promise<void> | undefined;

  /** Resolves when the worker serves; rejects when it ends before. */
  function start(index: number): Promise<void> {
    const [program, ...parameters] = options.command(index);
    const startedMs = clock.monotonicMs();
    // Standard error and output are shared: log lines of every worker go where the operator looks.
    const child = spawn(program!, parameters, {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      env: workerEnvironment(),
    });
    // One that hangs would outlive this process.
    const killAtExit = (): void => void child.kill("SIGKILL");
    process.once("exit", killAtExit);
    return new Promise((resolve, reject) => {
      const exited = new Promise<void>((done) => {
        child.once("exit", (code, signal) => {
          done();
          process.off("exit", killAtExit);
          attempts.gone(worker);
          if (workers.get(index) === worker) workers.delete(index);
          if (worker.isReady) replace(worker, startedMs, code, signal);
          else reject(new WorkerError(`Worker ${index} ended before it served (exit code ${code ?? signal}).`));
        });
        child.on("error", (error) => {
          // One that was never there does not exit either.
          if (child.pid === undefined) {
            done();
            if (workers.get(index) === worker) workers.delete(index);
          }
          reject(new WorkerError(`Worker ${index} cannot be started: ${error.message}.`));
        });
      });
      const worker: RunningWorker = { index, child, exited, isReady: false };
      workers.set(index, worker);
      child.on("message", (message: ToSupervisor) => {
        switch (message.kind) {
          case "ready":
            worker.isReady = true;
            if (index === 1) addresses = message.addresses;
            resolve();
            break;
          case "claim":
            void attempts
              .claim(message.name, worker)
              .then((failed) => tell(worker, { kind: "turn", id: message.id, failed }));
            break;
          case "settle":
            attempts.settle(message.name, message.failure);
            break;
          case "answer":
            questions.answered(message.id, index, message.text);
            break;
          case "ask-all":
            void questions
              .askAll(
                [...workers.values()].filter(({ isReady }) => isReady),
                message.question,
              )
              .then((answers) => tell(worker, { kind: "answers", id: message.id, answers }));
            break;
        }
      });
    });
  }

  function replace(worker: RunningWorker, startedMs: number, code: number | null, signal: string | null): void {
    if (stopping !== undefined) return;
    const { index } = worker;
    const livedMs = clock.monotonicMs() - startedMs;
    const early = livedMs < HEALTHY_AFTER_MS ? (earlyDeaths.get(index) ?? 0) + 1 : 0;
    earlyDeaths.set(index, early);
    // The first replacement comes at once; one that keeps dying is given less and less of the machine.
    const delayMs = early <= 1 ? 0 : longestBackoffMs(RESTART, early - 2);
    log.warn({ worker: index, code, signal, livedMs: Math.round(livedMs), delayMs }, "a worker ended; it is replaced");
    const timer = clock.schedule(delayMs, () => {
      restarts.delete(timer);
      const restartedMs = clock.monotonicMs();
      start(index).then(
        () => log.info({ worker: index }, "a worker serves again"),
        (error: Error) => {
          log.error({ worker: index, reason: error.message }, "a worker could not be replaced; it is tried again");
          replace(worker, restartedMs, null, null);
        },
      );
    });
    restarts.add(timer);
  }

  async function stop(): Promise<void> {
    for (const timer of restarts) timer.cancel();
    const running = [...workers.values()];
    for (const worker of running) tell(worker, { kind: "stop" });
    const cut = clock.schedule(STOP_TIMEOUT_MS, () => {
      for (const worker of running) worker.child.kill("SIGKILL");
    });
    await Promise.all(running.map((worker) => worker.exited));
    cut.cancel();
  }

  const supervisor: Supervisor = {
    get processIds() {
      return new Map([...workers].map(([index, { child }]) => [index, child.pid!]));
    },
    get addresses() {
      return addresses;
    },
    reload() {
      for (const worker of workers.values()) tell(worker, { kind: "reload" });
    },
    close() {
      stopping ??= stop();
      return stopping;
    },
  };

  try {
    // The first alone, so that what keeps all from starting is said once.
    await start(1);
    await Promise.all(Array.from({ length: count - 1 }, (_, other) => start(other + 2)));
  } catch (error) {
    await supervisor.close();
    throw error;
  }
  return supervisor;
}

function tell(worker: RunningWorker, message: ToWorker): void {
  if (worker.child.connected) worker.child.send(message);
}

/** The service manager talks to the supervisor alone. */
function workerEnvironment(): NodeJS.ProcessEnv {
  const { NOTIFY_SOCKET: _, WATCHDOG_USEC: __, WATCHDOG_PID: ___, ...rest } = process.env;
  return rest;
}
