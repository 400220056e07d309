/** Work that has to end: by its own word, by time, or by a signal, and only once. */
import type { Clock, Timer } from "./clock.ts";

/** Why a deadline ended the work: its time was over, or its signal aborted. */
export type DeadlineCause = "timeout" | "aborted";

export interface DeadlineOptions {
  readonly clock: Pick<Clock, "schedule">;
  readonly timeoutMs: number;
  /** Ends the work early. One that has aborted already ends it at once, before the constructor returns. */
  readonly signal?: AbortSignal | undefined;
  /** The time is over, or `signal` has aborted, before `settle`. Called once at most. */
  readonly onOver: (cause: DeadlineCause) => void;
}

const ONCE = { once: true } as const;

/**
 * For work that settles by events. Whatever happens first counts: `settle` tells by its answer whether the caller was first.
 *
 * @example
 * const deadline = new Deadline({ clock, timeoutMs, signal, onOver: (cause) => reject(new Error(cause)) });
 * socket.on("data", (data) => deadline.settle() && resolve(data));
 */
export class Deadline implements EventListenerObject {
  readonly #options: DeadlineOptions;
  #timer: Timer | undefined;
  #settled = false;

  constructor(options: DeadlineOptions) {
    this.#options = options;
    if (options.signal?.aborted) {
      this.#end("aborted");
      return;
    }
    options.signal?.addEventListener("abort", this, ONCE);
    this.extend();
  }

  get settled(): boolean {
    return this.#settled;
  }

  /** Starts the time anew: something was heard. Harmless after the end. */
  extend(timeoutMs = this.#options.timeoutMs): void {
    if (this.#settled) return;
    this.#timer?.cancel();
    this.#timer = this.#options.clock.schedule(timeoutMs, () => this.#end("timeout"));
  }

  /** Ends the wait. True for the first word about it; then timer and listener are gone, and `onOver` is not called. */
  settle(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    this.#timer?.cancel();
    this.#options.signal?.removeEventListener("abort", this);
    return true;
  }

  /** The signal has aborted: it holds this object, where a closure would be one more to collect. */
  handleEvent(): void {
    this.#end("aborted");
  }

  #end(cause: DeadlineCause): void {
    if (this.settle()) this.#options.onOver(cause);
  }
}

export interface TimedWork<Value> extends Omit<DeadlineOptions, "onOver"> {
  /** Gets a signal that aborts when the time is over, or the outer signal aborts. */
  readonly work: (signal: AbortSignal) => Promise<Value>;
  /** What the promise rejects with then. */
  readonly errorFor: (cause: DeadlineCause) => Error;
  /** A value that comes too late: what has to be let go of (wiped) in it. */
  readonly discard?: ((late: Value) => void) | undefined;
}

/**
 * Does work that gives a promise, for so long and no longer.
 *
 * @throws what `work` throws or rejects with, or what `errorFor` gives.
 * @example
 * const keys = await withDeadline({
 *   clock, timeoutMs: 5_000, work: fetchKeys, errorFor: () => new Error("no answer in 5 s"),
 * });
 */
export function withDeadline<Value>(options: TimedWork<Value>): Promise<Value> {
  const { work, errorFor, discard } = options;
  const abort = new AbortController();
  return new Promise<Value>((resolve, reject) => {
    const deadline = new Deadline({
      ...options,
      onOver(cause) {
        const error = errorFor(cause);
        reject(error);
        abort.abort(error);
      },
    });
    if (deadline.settled) return;
    let working: Promise<Value>;
    try {
      working = work(abort.signal);
    } catch (error) {
      working = Promise.reject(error);
    }
    working.then(
      (value) => (deadline.settle() ? resolve(value) : discard?.(value)),
      (error: unknown) => {
        if (deadline.settle()) reject(error);
      },
    );
  });
}
