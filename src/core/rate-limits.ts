import type { Clock } from "../clock/clock.ts";

/** A token bucket for each edge: `perSecond` on average, ten seconds' worth at once. */
export class RateLimits {
  readonly #clock: Clock;
  readonly #perSecond: number;
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>();

  constructor(clock: Clock, perSecond: number) {
    this.#clock = clock;
    this.#perSecond = perSecond;
  }

  /** Takes one call. Returns 0, or after how many seconds the next one may pass. */
  take(edge: string): number {
    const burst = Math.max(1, this.#perSecond * 10);
    const nowMs = this.#clock.monotonicMs();
    let bucket = this.#buckets.get(edge);
    if (bucket === undefined) {
      if (this.#buckets.size >= 100_000) this.#buckets.clear();
      bucket = { tokens: burst, atMs: nowMs };
      this.#buckets.set(edge, bucket);
    }
    bucket.tokens = Math.min(burst, bucket.tokens + ((nowMs - bucket.atMs) / 1_000) * this.#perSecond);
    bucket.atMs = nowMs;
    if (bucket.tokens < 1) return Math.max(1, Math.ceil((1 - bucket.tokens) / this.#perSecond));
    bucket.tokens -= 1;
    return 0;
  }
}
