import type { Clock, Timer } from "./clock.ts";

/** The longest delay a runtime timer takes; longer ones are chained. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** One object and the runtime's own timer: a call to the Core schedules two, and its closures would be as much again to collect. */
class SystemTimer implements Timer {
  #handle!: ReturnType<typeof setTimeout>;

  arm(delayMs: number, callback: () => void): void {
    const restMs = delayMs - LONGEST_TIMER_MS;
    if (restMs > 0) this.#handle = setTimeout(() => this.arm(restMs, callback), LONGEST_TIMER_MS);
    else this.#handle = setTimeout(callback, Math.max(0, delayMs));
    this.#handle.unref();
  }

  cancel(): void {
    clearTimeout(this.#handle);
  }
}

/** The machine's own clocks. */
export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  schedule(delayMs: number, callback: () => void): Timer {
    const timer = new SystemTimer();
    timer.arm(delayMs, callback);
    return timer;
  },
};
