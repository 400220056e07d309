/** What another place says, such as a key set, kept here: nobody waits for a place that hangs while a good copy is there. */
import type { Clock } from "./clock.ts";

/** What a `KeptCopy` is read by, and when. Times are in milliseconds of the monotonic clock. */
export interface KeptCopyOptions<Value> {
  readonly clock: Pick<Clock, "monotonicMs">;
  /** Gives the whole of it, or rejects. It has to end: by its own limit of time. */
  readonly read: () => Promise<Value>;
  /** From this age on the copy is read again beside those who use it. */
  readonly refreshAfterMs: number;
  /** From this age on they wait for the reading, unless the one before has failed. */
  readonly waitAfterMs: number;
  /** From this age on it is not used, whatever keeps it from being read. By default it always is. */
  readonly usedForMs?: number;
  /** The least time between two readings. */
  readonly retryAfterMs: number;
}

/**
 * A copy, and when it is read again.
 *
 * @example
 * ```ts
 * const keys = new KeptCopy({
 *   clock,
 *   read: fetchKeys,
 *   refreshAfterMs: 300_000,
 *   waitAfterMs: 600_000,
 *   retryAfterMs: 5_000,
 * });
 * let key = (await keys.get()).find(isWanted);
 * if (key === undefined) {
 *   await keys.renew();
 *   key = (await keys.get()).find(isWanted);
 * }
 * ```
 */
export class KeptCopy<Value> {
  readonly #options: KeptCopyOptions<Value>;
  #value: Value | undefined;
  #readMs = Number.NEGATIVE_INFINITY;
  #triedMs = Number.NEGATIVE_INFINITY;
  #failure: unknown;
  /** All who wait have one. */
  #reading: Promise<void> | undefined;

  constructor(options: KeptCopyOptions<Value>) {
    this.#options = options;
  }

  /** Why the last reading failed; undefined after one that did not. */
  get failure(): unknown {
    return this.#failure;
  }

  /** The copy; a promise where somebody has to wait for it. @throws (rejects with) what `read` did, where there is none to use */
  get(): Value | Promise<Value> {
    const { refreshAfterMs, waitAfterMs } = this.#options;
    const ageMs = this.#ageMs;
    if (ageMs < refreshAfterMs) return this.#value!;
    const reading = this.renew();
    const isEnough = ageMs < waitAfterMs || this.#failure !== undefined;
    return this.#isUsable && isEnough ? this.#value! : this.#after(reading);
  }

  /** Reads it again, for what it lacks; nothing where that was done a moment ago. Never rejects: the last copy stays. */
  renew(): Promise<void> {
    const { clock, read, retryAfterMs } = this.#options;
    if (this.#reading !== undefined) return this.#reading;
    if (clock.monotonicMs() - this.#triedMs < retryAfterMs) return Promise.resolve();
    this.#triedMs = clock.monotonicMs();
    const reading: Promise<void> = read().then(
      (value) => this.#ended(reading, () => this.#take(value)),
      (error: unknown) => this.#ended(reading, () => this.#fail(error)),
    );
    this.#reading = reading;
    return reading;
  }

  /** It must be read again before it is used, by what it is read with from now on; it is used where that fails. */
  expire(): void {
    const { clock, waitAfterMs } = this.#options;
    this.#readMs = Math.min(this.#readMs, clock.monotonicMs() - waitAfterMs);
    this.#triedMs = Number.NEGATIVE_INFINITY;
    this.#failure = undefined;
    this.#reading = undefined;
  }

  get #ageMs(): number {
    return this.#options.clock.monotonicMs() - this.#readMs;
  }

  get #isUsable(): boolean {
    return this.#ageMs < (this.#options.usedForMs ?? Number.POSITIVE_INFINITY);
  }

  async #after(reading: Promise<void>): Promise<Value> {
    await reading;
    if (!this.#isUsable) throw this.#failure;
    return this.#value!;
  }

  #ended(reading: Promise<void>, settle: () => void): Promise<void> | undefined {
    // The copy has expired meanwhile: what was read before says nothing.
    if (reading !== this.#reading) return this.renew();
    this.#reading = undefined;
    settle();
    return undefined;
  }

  #take(value: Value): void {
    this.#value = value;
    this.#readMs = this.#options.clock.monotonicMs();
    this.#failure = undefined;
  }

  #fail(error: unknown): void {
    this.#triedMs = this.#options.clock.monotonicMs();
    this.#failure = error;
  }
}
