import { token } from "../module.ts";

/**
 * The one way to know or wait for time. Everything about leases reads this port, so tests run it in virtual time.
 *
 * Two clocks, because either alone can be fooled: the monotonic one stands still while a VM is suspended, the wall
 * clock can be set back (design.md, "Leases": the one that says "over" first wins).
 */
export interface Clock {
  /** Milliseconds since an arbitrary point; never goes back; may stand still while the machine sleeps. */
  monotonicMs(): number;
  /** Milliseconds since 1970-01-01T00:00:00Z; may jump either way. */
  wallMs(): number;
  /** Calls `callback` once, `delayMs` monotonic milliseconds from now (at least). Never keeps the process alive. */
  schedule(delayMs: number, callback: () => void): Timer;
}

export const CLOCK = token<Clock>("Clock");

/** A scheduled call. */
export interface Timer {
  /** Harmless when the call has been made or cancelled already. */
  cancel(): void;
}

/**
 * Resolves after `delayMs`, or at once when `signal` aborts; never rejects.
 *
 * @example
 * ```ts
 * await sleep(clock, 200, signal);
 * if (signal.aborted) return;
 * ```
 */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = (): void => {
      timer.cancel();
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = clock.schedule(delayMs, done);
    signal?.addEventListener("abort", done, { once: true });
  });
}
