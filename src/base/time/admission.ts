/** So many at once, the others in line, for so long and no longer: a burst is worked off, and what can't be is told so early. */
import type { Clock } from "./clock.ts";

export interface AdmissionOptions {
  readonly clock: Pick<Clock, "monotonicMs">;
  /** How many are worked on at once. */
  readonly atOnce: number;
  /** How many may wait; more are refused at once. */
  readonly waitingMax: number;
  /** Who has waited longer is refused when its turn comes: nobody waits for the answer any more. */
  readonly waitMaxMs: number;
  /** What the refused get. */
  readonly refusal: () => Error;
}

interface Waiting {
  readonly sinceMs: number;
  readonly admit: () => void;
  readonly refuse: (error: Error) => void;
}

/**
 * @example
 * const admission = new Admission({ clock, atOnce: 16, waitingMax: 4_096, waitMaxMs: 2_000, refusal: () => new Error("busy") });
 * const rows = await admission.run(() => sql.all("SELECT …"));
 */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #waiting: Waiting[] = [];
  #head = 0;
  #working = 0;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiting.length - this.#head;
  }

  /** @throws what `refusal` gives, or what `work` rejects with */
  async run<Value>(work: () => Promise<Value>): Promise<Value> {
    if (this.#working >= this.#options.atOnce) await this.#turn();
    else this.#working++;
    try {
      return await work();
    } finally {
      this.#next();
    }
  }

  #turn(): Promise<void> {
    const { clock, waitingMax, refusal } = this.#options;
    if (this.waiting >= waitingMax) return Promise.reject(refusal());
    return new Promise((admit, refuse) => {
      this.#waiting.push({ sinceMs: clock.monotonicMs(), admit, refuse });
    });
  }

  /** Hands the place on, or gives it up. */
  #next(): void {
    const { clock, waitMaxMs, refusal } = this.#options;
    const oldestMs = clock.monotonicMs() - waitMaxMs;
    while (this.#head < this.#waiting.length) {
      const next = this.#waiting[this.#head++]!;
      if (this.#head > 1_024 && this.#head * 2 > this.#waiting.length) {
        this.#waiting.splice(0, this.#head);
        this.#head = 0;
      }
      if (next.sinceMs >= oldestMs) {
        next.admit();
        return;
      }
      next.refuse(refusal());
    }
    this.#waiting.length = 0;
    this.#head = 0;
    this.#working--;
  }
}
