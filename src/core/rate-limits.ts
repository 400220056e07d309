import type { Clock } from "../base/time/clock.ts";
import { TokenBucket } from "../base/time/token-bucket.ts";

/** Ten seconds' worth at once: an edge that starts asks for all its keys. */
const BURST_SECONDS = 10;
const MAX_BUCKETS = 100_000;

/** So many calls a second, for each edge by itself. */
export class RateLimits {
  readonly #clock: Clock;
  readonly #perSecond: number;
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(clock: Clock, perSecond: number) {
    this.#clock = clock;
    this.#perSecond = perSecond;
  }

  /** Takes one call. Returns 0, or after how many seconds the next one may pass. */
  take(edge: string): number {
    let bucket = this.#buckets.get(edge);
    if (bucket === undefined) {
      if (this.#buckets.size >= MAX_BUCKETS) this.#buckets.clear();
      bucket = new TokenBucket({ perSecond: this.#perSecond, burst: this.#perSecond * BURST_SECONDS }, this.#clock);
      this.#buckets.set(edge, bucket);
    }
    return Math.ceil(bucket.take(1) / 1_000);
  }
}
