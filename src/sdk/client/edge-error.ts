import type { ErrorCode } from "../../base/errors.ts";

/**
 * The codes of docs/errors.md, and whatever a newer edge tells. Of the client itself: `lease_unavailable` where no edge
 * answers, `unexpected_answer` where what answers is no edge.
 */
export type EdgeErrorCode =
  | ErrorCode
  | "not_found"
  | "method_not_allowed"
  | "misdirected_request"
  | "internal_error"
  | "overloaded"
  | "unexpected_answer"
  | (string & {});

/** What passes by itself. Any other answer stays the same until something else is changed. */
const PASSING: ReadonlySet<string> = new Set(["lease_unavailable", "rate_limited", "overloaded"]);

/**
 * Every failure of a call: the edge's own code and sentence.
 *
 * @example
 * try {
 *   await edge.decryptKey({ wrapped });
 * } catch (error) {
 *   if (error instanceof CryptoEdgeError && error.code === "key_revoked") discard();
 *   else throw error;
 * }
 */
export class CryptoEdgeError extends Error {
  override readonly name: string = "CryptoEdgeError";
  readonly code: EdgeErrorCode;
  /** Of the answer, or of the item of a batch; undefined where none came. */
  readonly status: number | undefined;
  /** When asking again can help: after this many milliseconds, if the edge said. */
  readonly retryAfterMs: number | undefined;

  constructor(
    code: EdgeErrorCode,
    message: string,
    options: { status?: number | undefined; retryAfterMs?: number | undefined; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = options.status;
    this.retryAfterMs = options.retryAfterMs;
  }

  /**
   * Whether the same call may succeed a little later. Asking again never does harm: nothing is stored, so a call that was
   * carried out and whose answer was lost has left nothing behind.
   */
  get mayPass(): boolean {
    return PASSING.has(this.code);
  }
}
