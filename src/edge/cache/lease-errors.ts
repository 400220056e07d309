/** What a caller is told when no lease can be used: the edge's own words for the key source's. */
import { OperationError } from "../../base/errors.ts";
import type { KeySourceError } from "../key-source/key-source.ts";
import { SourceNotCalled } from "./source-call.ts";

export function stopping(): OperationError {
  return new OperationError("lease_unavailable", "This edge is stopping.", { retryAfterMs: 1_000 });
}

export function silenced(): OperationError {
  return new OperationError(
    "lease_unavailable",
    "No revocation transport is alive, and this edge is configured to serve nothing meanwhile.",
    { retryAfterMs: 1_000 },
  );
}

export function revoked(): OperationError {
  return new OperationError("key_revoked", "This service key was revoked: nothing is wrapped or opened under it.");
}

/** For each request that a block refuses: to note where it arose would take longer than all else that is done for it. */
export const REVOKED = revoked();

export function leaseEnded(): OperationError {
  return new OperationError("lease_unavailable", "The lease ended as soon as it came. Ask again.", {
    retryAfterMs: 100,
  });
}

/** Of an authoritative answer. */
export function refusalOf(error: KeySourceError): OperationError {
  switch (error.code) {
    case "key_revoked":
      return revoked();
    case "edge_not_allowed":
      return new OperationError("access_denied", "The key source does not let this edge have that key.");
    default:
      return new OperationError("key_not_found", "The key source knows no such tenant, service or version.");
  }
}

/**
 * Of anything else. What went wrong between the edge and its source (addresses, certificates) is for the edge's operator: it is the
 * error's cause, which the log shows; a caller is told what it can do.
 */
export function unavailable(error: unknown, retryAfterMs?: number): OperationError {
  const message =
    "No lease is held on this key, and the key source can't give one now. Ask again; the edge's log says why.";
  const waitMs = retryAfterMs ?? (error instanceof SourceNotCalled ? error.retryAfterMs : 1_000);
  return new OperationError("lease_unavailable", message, { retryAfterMs: waitMs, cause: error });
}

/** What a fetch rejects with is a `OperationError`; anything else is a defect, and goes on as it is. */
export function asOperationError(error: unknown): OperationError {
  if (error instanceof OperationError) return error;
  throw error;
}
