/** How long to wait before trying again: the one way of it, for edge, Core and plugins. */
export interface Backoff {
  /** The longest wait after the first failure; each further failure doubles it … */
  readonly firstMs: number;
  /** … up to this. */
  readonly maxMs: number;
}

/** The longest wait after `failures` failures in a row beyond the first. */
export function longestBackoffMs({ firstMs, maxMs }: Backoff, failures: number): number {
  return Math.min(maxMs, firstMs * 2 ** Math.min(failures, 30));
}

/**
 * A wait with full jitter, from 0 up to the longest: callers that failed in one moment come back over the whole span.
 *
 * @param random From 0 (included) to 1; injected, so that a test can replay it. Nothing secret comes of it.
 * @example await sleep(clock, backoffMs({ firstMs: 200, maxMs: 10_000 }, failures, Math.random), signal);
 */
export function backoffMs(backoff: Backoff, failures: number, random: () => number): number {
  return random() * longestBackoffMs(backoff, failures);
}
