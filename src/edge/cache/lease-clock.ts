import type { Clock } from "../../base/time/clock.ts";

/** Wall clocks tick in whole milliseconds and are read a moment after the monotonic one: less than this is no jump. */
const JITTER_MS = 50;

/**
 * One time line for leases out of two clocks, each of which can be fooled. It runs with the monotonic clock, and whatever
 * the wall clock gains on it is added and never taken back: the machine slept, or the clock was set forward. So a lease
 * ends on whichever clock says "over" first; and a clock that was set back does not hide a sleep that comes after.
 *
 * `read` is on the path of every hit: two clock reads, and no more than comparisons while the clocks agree.
 */
export class LeaseClock {
  /** Lease time, as of the last `read`. */
  nowMs: number;
  /** The wall clock, as of the last `read`. */
  wallMs: number;
  readonly #clock: Clock;
  readonly #onJump: (wallJumpMs: number) => void;
  /** Wall minus monotonic: the greatest seen since the wall clock was last set back. */
  #offsetMs: number;
  #gainedMs = 0;

  constructor(clock: Clock, onJump: (wallJumpMs: number) => void) {
    this.#clock = clock;
    this.#onJump = onJump;
    this.nowMs = clock.monotonicMs();
    this.wallMs = clock.wallMs();
    this.#offsetMs = this.wallMs - this.nowMs;
  }

  /** Reads both clocks into `nowMs` and `wallMs`, and returns `nowMs`. */
  read(): number {
    const monotonicMs = this.#clock.monotonicMs();
    const wallMs = this.#clock.wallMs();
    const offsetMs = wallMs - monotonicMs;
    this.wallMs = wallMs;
    if (offsetMs > this.#offsetMs || offsetMs < this.#offsetMs - JITTER_MS) this.#moved(offsetMs);
    this.nowMs = monotonicMs + this.#gainedMs;
    return this.nowMs;
  }

  #moved(offsetMs: number): void {
    const movedMs = offsetMs - this.#offsetMs;
    this.#offsetMs = offsetMs;
    if (movedMs > 0) this.#gainedMs += movedMs;
    if (Math.abs(movedMs) > JITTER_MS) this.#onJump(movedMs);
  }
}
