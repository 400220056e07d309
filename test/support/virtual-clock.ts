import type { Clock, Timer } from "../../src/base/time/clock.ts";

interface Scheduled {
  readonly atMs: number;
  readonly order: number;
  readonly callback: () => void;
}

/** Time that moves only when a test says so: both clocks, timers in order, jumps and sleeps. */
export class VirtualClock implements Clock {
  #monotonicMs = 1_000;
  #wallMs = Date.UTC(2026, 0, 1);
  #order = 0;
  #scheduled: Scheduled[] = [];

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  wallMs(): number {
    return this.#wallMs;
  }

  schedule(delayMs: number, callback: () => void): Timer {
    const entry: Scheduled = { atMs: this.#monotonicMs + Math.max(0, delayMs), order: this.#order++, callback };
    this.#scheduled.push(entry);
    return {
      cancel: () => {
        this.#scheduled = this.#scheduled.filter((other) => other !== entry);
      },
    };
  }

  /** How many timers wait: a test for leaks. */
  get pending(): number {
    return this.#scheduled.length;
  }

  /** Moves both clocks on, calling what falls due, and lets promises settle between calls. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#monotonicMs + ms;
    for (;;) {
      await settle();
      const next = this.#scheduled
        .filter((entry) => entry.atMs <= endMs)
        .sort((a, b) => a.atMs - b.atMs || a.order - b.order)[0];
      if (next === undefined) break;
      this.#scheduled = this.#scheduled.filter((entry) => entry !== next);
      this.#moveTo(next.atMs);
      next.callback();
    }
    this.#moveTo(endMs);
    await settle();
  }

  /** Sets the wall clock forward or back; the monotonic one does not notice. */
  jumpWall(ms: number): void {
    this.#wallMs += ms;
  }

  /** The machine sleeps: the wall clock goes on, the monotonic one stands still, no timer runs. */
  suspend(ms: number): void {
    this.#wallMs += ms;
  }

  #moveTo(monotonicMs: number): void {
    this.#wallMs += monotonicMs - this.#monotonicMs;
    this.#monotonicMs = monotonicMs;
  }
}

/** Lets every promise that can settle do so. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}
