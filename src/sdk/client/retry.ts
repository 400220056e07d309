/** How often a call is asked again, and when. */
import { CryptoEdgeError } from "./edge-error.ts";
import { pause } from "./pause.ts";

/** How often a call that failed for a passing reason is sent again, and after which pauses. */
export interface RetryOptions {
  /** How often a call is sent at most; 3 unless given, 1 for no retries. */
  readonly attempts?: number;
  /** The first pause's upper bound in milliseconds (each pause is a random part of its bound); 50 unless given. It doubles each time. */
  readonly firstDelayMs?: number;
  /** No bound of a pause is longer; 2,000 unless given. `Retry-After` goes before it. */
  readonly longestDelayMs?: number;
}

const ATTEMPTS = 3;
const FIRST_DELAY_MS = 50;
const LONGEST_DELAY_MS = 2_000;

/**
 * Calls `work` again while its error may pass, the edge's `Retry-After` is kept, and `leftMs` suffices for the pause. The last
 * error is thrown.
 */
export async function withRetries<T>(
  work: (attempt: number) => Promise<T>,
  options: RetryOptions,
  leftMs: () => number,
  signal: AbortSignal,
): Promise<T> {
  const attempts = options.attempts ?? ATTEMPTS;
  let boundMs = options.firstDelayMs ?? FIRST_DELAY_MS;
  for (let attempt = 1; ; attempt++) {
    try {
      return await work(attempt);
    } catch (error) {
      if (!(error instanceof CryptoEdgeError) || !error.mayPass || attempt >= attempts || signal.aborted) throw error;
      const pauseMs = Math.max(error.retryAfterMs ?? 0, Math.random() * boundMs);
      if (pauseMs >= leftMs()) throw error;
      await pause(pauseMs, signal);
      if (signal.aborted) throw error;
      boundMs = Math.min(boundMs * 2, options.longestDelayMs ?? LONGEST_DELAY_MS);
    }
  }
}
