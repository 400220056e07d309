/**
 * Every error that crosses a boundary of the edge: one class, a stable `code`, and a sentence that says what to do.
 * The codes are part of the interface (docs/errors.md); a message never holds a key, a blob, a context value or a token.
 *
 * @example
 * try {
 *   edge.decryptKey(principal, request);
 * } catch (error) {
 *   if (error instanceof CryptoEdgeError && error.code === "key_revoked") discard();
 *   else throw error;
 * }
 */
export type ErrorCode = OperationErrorCode | RequestErrorCode;

/** How an operation can end, besides well. */
export type OperationErrorCode =
  | "invalid_request"
  | "invalid_blob"
  | "unauthenticated"
  | "access_denied"
  | "key_not_found"
  | "key_revoked"
  | "too_large"
  | "rate_limited"
  | "decryption_failed"
  | "refused_by_hook"
  | "lease_unavailable";

/** Why a listener turns a request away before any operation. */
export type RequestErrorCode =
  | "not_found"
  | "method_not_allowed"
  | "unsupported_media_type"
  | "misdirected_request"
  | "overloaded";

/** The HTTP status of each code (design.md, "The API"). */
const OPERATION_STATUS: Readonly<Record<OperationErrorCode, number>> = {
  invalid_request: 400,
  invalid_blob: 400,
  unauthenticated: 401,
  access_denied: 403,
  refused_by_hook: 403,
  key_not_found: 404,
  key_revoked: 410,
  too_large: 413,
  decryption_failed: 422,
  rate_limited: 429,
  lease_unavailable: 503,
};

export const OPERATION_ERROR_CODES = Object.keys(OPERATION_STATUS) as readonly OperationErrorCode[];

export const HTTP_STATUS: Readonly<Record<ErrorCode, number>> = {
  ...OPERATION_STATUS,
  not_found: 404,
  method_not_allowed: 405,
  unsupported_media_type: 415,
  misdirected_request: 421,
  overloaded: 503,
};

export class CryptoEdgeError extends Error {
  override readonly name: string = "CryptoEdgeError";
  readonly code: ErrorCode;
  /** When asking again can help: after this many milliseconds. */
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, options: { retryAfterMs?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryAfterMs = options.retryAfterMs;
  }

  get status(): number {
    return HTTP_STATUS[this.code];
  }
}

/** The first line of any thrown value, for logs; never its stack. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
