/** The header `Retry-After` (RFC 9110, 10.2.3), as it is written and as it is read. */

/** In whole seconds. */
export function retryAfterOf(retryAfterMs: number): string {
  return String(Math.max(1, Math.ceil(retryAfterMs / 1000)));
}

/** Milliseconds from seconds or a date, at most `maxMs`; undefined where there is no such header or it makes no sense. */
export function parseRetryAfter(value: string | undefined, nowMs: number, maxMs: number): number | undefined {
  if (value === undefined) return undefined;
  const ms = /^\d{1,9}$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - nowMs;
  return Number.isFinite(ms) ? Math.min(Math.max(0, ms), maxMs) : undefined;
}
