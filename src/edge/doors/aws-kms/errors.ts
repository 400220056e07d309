/** Errors as AWS KMS gives them: a status, and `__type` in the body, which clients make typed exceptions of. */
import { type ErrorCode, OperationError, type RequestErrorCode } from "../../../base/errors.ts";
import { retryAfterOf } from "../../../base/network/retry-after.ts";
import type { DoorAnswer } from "../door.ts";

/** One that the door itself raises, under AWS's name. */
export class KmsError extends OperationError {
  override readonly name = "KmsError";
  readonly type: string;

  constructor(type: string, message: string, code: ErrorCode = "invalid_request") {
    super(code, message);
    this.type = type;
  }
}

export function invalid(message: string): KmsError {
  return new KmsError("ValidationException", message);
}

interface KmsFault {
  readonly type: string;
  readonly status: number;
}

/** docs/door-aws-kms.md, "Errors". What clients retry by themselves has a status of 500 or more, or is a ThrottlingException. */
const FAULTS: Readonly<Partial<Record<ErrorCode | RequestErrorCode, KmsFault>>> = {
  invalid_request: { type: "ValidationException", status: 400 },
  invalid_blob: { type: "InvalidCiphertextException", status: 400 },
  decryption_failed: { type: "InvalidCiphertextException", status: 400 },
  access_denied: { type: "AccessDeniedException", status: 400 },
  refused_by_hook: { type: "AccessDeniedException", status: 400 },
  unauthenticated: { type: "UnrecognizedClientException", status: 400 },
  key_not_found: { type: "NotFoundException", status: 400 },
  key_revoked: { type: "DisabledException", status: 400 },
  rate_limited: { type: "ThrottlingException", status: 400 },
  lease_unavailable: { type: "KeyUnavailableException", status: 500 },
  too_large: { type: "RequestEntityTooLargeException", status: 413 },
  not_found: { type: "UnknownOperationException", status: 404 },
  method_not_allowed: { type: "UnknownOperationException", status: 405 },
  overloaded: { type: "ServiceUnavailableException", status: 503 },
};

const INTERNAL: KmsFault = { type: "KMSInternalException", status: 500 };
const INTERNAL_MESSAGE = "The edge failed at this request. Its log tells more under the request id.";

/** `types`: another type than the table's, for operations that have one of their own. */
export function writeKmsError(
  error: unknown,
  requestId: string | undefined,
  types: Readonly<Partial<Record<ErrorCode | RequestErrorCode, KmsFault>>> = {},
): DoorAnswer {
  const known = error instanceof OperationError;
  const fault = known
    ? (types[error.code] ?? FAULTS[error.code] ?? { type: "ValidationException", status: error.status })
    : INTERNAL;
  const type = error instanceof KmsError ? error.type : fault.type;
  const message = known ? error.message : INTERNAL_MESSAGE;
  const headers: Record<string, string> = { "Content-Type": "application/x-amz-json-1.1" };
  if (requestId !== undefined) headers["x-amzn-RequestId"] = requestId;
  if (known && error.retryAfterMs !== undefined) {
    headers["Retry-After"] = retryAfterOf(error.retryAfterMs);
    // In milliseconds; the SDKs heed this one, and it alone.
    headers["x-amz-retry-after"] = String(Math.max(1, Math.ceil(error.retryAfterMs)));
  }
  return { status: fault.status, headers, body: JSON.stringify({ __type: type, message }) };
}
