/** Why a call got no usable answer. The message is for a person. */
export class CoreCallError extends Error {
  override readonly name = "CoreCallError";
  /** The HTTP status, where there was an answer. */
  readonly status: number | undefined;
  /** The problem document's `code`, where the answer was one. */
  readonly code: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(
    message: string,
    options: { status?: number; code?: string; retryAfterMs?: number; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.status = options.status;
    this.code = options.code;
    this.retryAfterMs = options.retryAfterMs;
  }

  /** Whether the same call may succeed later: no answer, 408, 429 or 5xx. */
  get retryable(): boolean {
    return this.status === undefined || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}
