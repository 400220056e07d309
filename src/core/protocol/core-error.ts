/** What a Core answers when it does not do what was asked (core-protocol.md): a status, a stable code, a sentence. */
export type CoreErrorCode =
  | "invalid_request"
  | "edge_not_allowed"
  | "not_allowed"
  | "key_not_found"
  | "not_found"
  | "method_not_allowed"
  | "conflict"
  | "key_revoked"
  | "too_large"
  | "rate_limited"
  | "storage_full"
  | "unavailable";

export const CORE_STATUS: Readonly<Record<CoreErrorCode, number>> = {
  invalid_request: 400,
  edge_not_allowed: 403,
  not_allowed: 403,
  key_not_found: 404,
  not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  key_revoked: 410,
  too_large: 413,
  rate_limited: 429,
  storage_full: 503,
  unavailable: 503,
};

export class CoreError extends Error {
  override readonly name = "CoreError";
  readonly code: CoreErrorCode;
  /** Further members of the problem document. */
  readonly details: Readonly<Record<string, unknown>>;
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: CoreErrorCode,
    message: string,
    options: { details?: Readonly<Record<string, unknown>>; retryAfterSeconds?: number } = {},
  ) {
    super(message);
    this.code = code;
    this.details = options.details ?? {};
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}
