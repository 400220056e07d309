/** Calls in flight at first. */
const INITIAL = 4;

/**
 * How many calls may be in flight: grows with success, halves with failure (as TCP's congestion window does), so that a source
 * that is slow or coming back is not flattened.
 */
export class CallWindow {
  readonly #max: number;
  #bound: number;
  /** Up to here the bound grows by one per success; then by one per round. */
  #threshold: number;
  #halvedMs = Number.NEGATIVE_INFINITY;

  constructor(max: number) {
    this.#max = max;
    this.#bound = Math.min(INITIAL, max);
    this.#threshold = max;
  }

  get bound(): number {
    return Math.floor(this.#bound);
  }

  grow(): void {
    const step = this.#bound < this.#threshold ? 1 : 1 / this.#bound;
    this.#bound = Math.min(this.#max, this.#bound + step);
  }

  /** Halves, once for all calls that were in flight together. */
  shrink(askedMs: number, nowMs: number): void {
    if (askedMs <= this.#halvedMs) return;
    this.#halvedMs = nowMs;
    this.#bound = Math.max(1, this.#bound / 2);
    this.#threshold = Math.max(2, this.#bound);
  }

  /** After an outage: from one call on. */
  restart(): void {
    this.#bound = 1;
    this.#threshold = Math.max(2, this.#max / 2);
  }
}
