import type { Clock, Timer } from "../../src/base/time/clock.ts";
import type { Scheduler } from "./scheduler.ts";

const EPOCH_MS = Date.UTC(2026, 0, 1);

/** True time as UTC. */
export function utcOf(trueMs: number): number {
  return EPOCH_MS + trueMs;
}

/**
 * No machine's timer takes no time. Here one for less than a number of this size can hold would, and who then looks how
 * long is left, and waits for that, would wait for ever (seed 92254).
 */
const LEAST_DELAY_MS = 0.001;

/** The two clocks of one machine, which sleeps and whose wall clock is set by hand. */
export class MachineClock implements Clock {
  readonly #scheduler: Scheduler;
  /** How long it has slept in all. */
  #sleptMs = 0;
  #asleepSinceMs: number | undefined;
  #awakeAtMs = 0;
  #wallOffsetMs: number;

  constructor(scheduler: Scheduler, wallOffsetMs: number) {
    this.#scheduler = scheduler;
    this.#wallOffsetMs = wallOffsetMs;
  }

  monotonicMs(): number {
    return (this.#asleepSinceMs ?? this.#scheduler.nowMs) - this.#sleptMs;
  }

  wallMs(): number {
    return utcOf(this.#scheduler.nowMs) + this.#wallOffsetMs;
  }

  schedule(delayMs: number, callback: () => void): Timer {
    const dueMs = this.monotonicMs() + Math.max(LEAST_DELAY_MS, delayMs);
    let step: Timer;
    const arm = (): void => {
      const wakeMs = this.asleep ? this.#awakeAtMs : this.#scheduler.nowMs;
      step = this.#scheduler.at(wakeMs + (dueMs - this.monotonicMs()), () => {
        // A hair's breadth: sums of fractions need not come out even.
        if (this.asleep || this.monotonicMs() < dueMs - 1e-6) arm();
        else callback();
      });
    };
    arm();
    return { cancel: () => step.cancel() };
  }

  get asleep(): boolean {
    return this.#asleepSinceMs !== undefined;
  }

  /** Runs it now, or when the machine wakes. */
  whenAwake(run: () => void): void {
    if (this.asleep) this.#scheduler.at(this.#awakeAtMs, () => this.whenAwake(run));
    else run();
  }

  sleep(forMs: number): void {
    if (this.asleep) return;
    const fromMs = this.#scheduler.nowMs;
    this.#asleepSinceMs = fromMs;
    this.#awakeAtMs = fromMs + forMs;
    this.#scheduler.at(this.#awakeAtMs, () => {
      this.#asleepSinceMs = undefined;
      this.#sleptMs += forMs;
    });
  }

  setWall(byMs: number): void {
    this.#wallOffsetMs += byMs;
  }
}
