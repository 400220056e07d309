import type { Clock } from "./clock.ts";

/** So many a second, and at most a second's worth (or `burst`) at once. */
export interface Rate {
  readonly perSecond: number;
  /** How many may come at once after a rest. By default `perSecond`. */
  readonly burst?: number | undefined;
}

/**
 * A rate limit's state. A batch that is larger than what is left is let through whole and leaves a debt that has to be
 * paid off first: else a batch larger than the burst could never pass.
 */
export class TokenBucket {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #perMs: number;
  readonly #burst: number;
  #tokens: number;
  #atMs: number;

  constructor(rate: Rate, clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
    this.#perMs = rate.perSecond / 1000;
    this.#burst = Math.max(1, rate.burst ?? rate.perSecond);
    this.#tokens = this.#burst;
    this.#atMs = clock.monotonicMs();
  }

  /** Takes `count`. Returns 0, or after how many milliseconds asking again can help; then nothing was taken. */
  take(count: number): number {
    this.#refill();
    if (this.#tokens < 1) return Math.ceil((1 - this.#tokens) / this.#perMs);
    this.#tokens -= count;
    return 0;
  }

  /** Gives back what `take` took, where another limit refused. */
  giveBack(count: number): void {
    this.#tokens = Math.min(this.#burst, this.#tokens + count);
  }

  /** `take` would refuse now. */
  get isEmpty(): boolean {
    this.#refill();
    return this.#tokens < 1;
  }

  /** Full: as good as new, so it need not be remembered. */
  get full(): boolean {
    this.#refill();
    return this.#tokens >= this.#burst;
  }

  #refill(): void {
    const nowMs = this.#clock.monotonicMs();
    this.#tokens = Math.min(this.#burst, this.#tokens + (nowMs - this.#atMs) * this.#perMs);
    this.#atMs = nowMs;
  }
}

/** One bucket for each name, as many as `max`: full ones are forgotten first, then the oldest. */
export class TokenBuckets {
  readonly #rate: Rate;
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #max: number;
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(rate: Rate, clock: Pick<Clock, "monotonicMs">, max: number) {
    this.#rate = rate;
    this.#clock = clock;
    this.#max = max;
  }

  get(name: string): TokenBucket {
    let bucket = this.#buckets.get(name);
    if (bucket === undefined) {
      if (this.#buckets.size >= this.#max) this.#makeRoom();
      bucket = new TokenBucket(this.#rate, this.#clock);
      this.#buckets.set(name, bucket);
    }
    return bucket;
  }

  /** Makes none. */
  peek(name: string): TokenBucket | undefined {
    return this.#buckets.get(name);
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** Makes room for a tenth at once, so that a flood of names doesn't sweep for each. */
  #makeRoom(): void {
    const target = Math.floor(this.#max * 0.9);
    for (const [name, bucket] of this.#buckets) {
      if (this.#buckets.size <= target) return;
      if (bucket.full) this.#buckets.delete(name);
    }
    for (const name of this.#buckets.keys()) {
      if (this.#buckets.size <= target) return;
      this.#buckets.delete(name);
    }
  }
}
