import type { Clock } from "../../base/time/clock.ts";
import type { Question, ToWorker } from "./messages.ts";

/** A sibling that takes longer is left out of the answer. */
const ANSWER_TIMEOUT_MS = 1_000;

/** Carries a worker's question to all of them, and the answers back. */
export class Questions<Worker> {
  readonly #clock: Clock;
  readonly #tell: (worker: Worker, message: ToWorker) => void;
  readonly #open = new Map<number, (index: number, text: string) => void>();
  #asked = 0;

  constructor(clock: Clock, tell: (worker: Worker, message: ToWorker) => void) {
    this.#clock = clock;
    this.#tell = tell;
  }

  /** The answers by the workers' indexes, in order. */
  askAll(workers: readonly Worker[], question: Question): Promise<[number, string][]> {
    const id = ++this.#asked;
    const answers: [number, string][] = [];
    return new Promise((resolve) => {
      const done = (): void => {
        this.#open.delete(id);
        timeout.cancel();
        resolve(answers.toSorted(([a], [b]) => a - b));
      };
      const timeout = this.#clock.schedule(ANSWER_TIMEOUT_MS, done);
      this.#open.set(id, (index, text) => {
        answers.push([index, text]);
        if (answers.length === workers.length) done();
      });
      for (const worker of workers) this.#tell(worker, { kind: "ask", id, question });
    });
  }

  answered(id: number, index: number, text: string): void {
    this.#open.get(id)?.(index, text);
  }
}
