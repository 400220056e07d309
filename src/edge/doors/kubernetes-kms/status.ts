/** Errors as gRPC has them: a status, and a text that the API server writes to its log. */
import { Metadata, status } from "@grpc/grpc-js";
import { type ErrorCode, OperationError, type RequestErrorCode } from "../../../base/errors.ts";

/** As a handler's callback takes it. */
export interface GrpcError {
  readonly code: status;
  readonly details: string;
  readonly metadata: Metadata;
}

const CODES: Readonly<Partial<Record<ErrorCode | RequestErrorCode, status>>> = {
  invalid_request: status.INVALID_ARGUMENT,
  invalid_blob: status.INVALID_ARGUMENT,
  decryption_failed: status.INVALID_ARGUMENT,
  too_large: status.INVALID_ARGUMENT,
  unauthenticated: status.UNAUTHENTICATED,
  access_denied: status.PERMISSION_DENIED,
  refused_by_hook: status.PERMISSION_DENIED,
  key_not_found: status.NOT_FOUND,
  key_revoked: status.FAILED_PRECONDITION,
  rate_limited: status.RESOURCE_EXHAUSTED,
  lease_unavailable: status.UNAVAILABLE,
  overloaded: status.UNAVAILABLE,
};

export function grpcErrorOf(error: unknown): GrpcError {
  if (!(error instanceof OperationError)) {
    return {
      code: status.INTERNAL,
      details: "the edge failed at this call: its log tells more",
      metadata: new Metadata(),
    };
  }
  const code = CODES[error.code] ?? status.INTERNAL;
  return { code, details: `${error.code}: ${error.message}`, metadata: new Metadata() };
}
