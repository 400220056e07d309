import type { Clock, Timer } from "../../base/time/clock.ts";

const SAMPLE_MS = 250;

/** How late the event loop is: a timer, and by how much each of its calls misses its time. */
export class EventLoopDelay {
  readonly #clock: Clock;
  #timer: Timer | undefined;
  #longestMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#arm();
  }

  /** Since the last call. */
  takeLongestMs(): number {
    const longestMs = this.#longestMs;
    this.#longestMs = 0;
    return longestMs;
  }

  close(): void {
    this.#timer?.cancel();
  }

  #arm(): void {
    const dueMs = this.#clock.monotonicMs() + SAMPLE_MS;
    this.#timer = this.#clock.schedule(SAMPLE_MS, () => {
      this.#longestMs = Math.max(this.#longestMs, this.#clock.monotonicMs() - dueMs);
      this.#arm();
    });
  }
}
