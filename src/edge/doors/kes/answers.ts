/**
 * Answers in KES's words. Its clients compare status *and* text exactly (kms-go, `error.go`), and decide by them what to do: MinIO makes a new key
 * on "key does not exist", tries again on 503, and tells its user the rest.
 */
import { OperationError } from "../../../base/errors.ts";
import { retryAfterOf } from "../../../base/network/retry-after.ts";
import type { DoorAnswer } from "../door.ts";

export class KesError extends Error {
  override readonly name = "KesError";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export const keyNotFound = (): KesError => new KesError(404, "key does not exist");
export const notAllowed = (): KesError => new KesError(403, "not authorized: insufficient permissions");
export const notAuthentic = (): KesError => new KesError(400, "decryption failed: ciphertext is not authentic");
export const badRequest = (message: string): KesError => new KesError(400, message);

const JSON_TYPE = { "Content-Type": "application/json" } as const;

export function answerJson(value: unknown): DoorAnswer {
  return { status: 200, headers: JSON_TYPE, body: JSON.stringify(value) };
}

export function answerNothing(): DoorAnswer {
  return { status: 200, headers: {}, body: "" };
}

/** A defect, which the listener has logged, is told as such and no more. */
export function answerError(error: unknown): DoorAnswer {
  const { status, message } = kesErrorOf(error) ?? { status: 500, message: "internal server error" };
  const retry = error instanceof OperationError ? error.retryAfterMs : undefined;
  return {
    status,
    headers: retry === undefined ? JSON_TYPE : { ...JSON_TYPE, "Retry-After": retryAfterOf(retry) },
    body: JSON.stringify({ message }),
  };
}

function kesErrorOf(error: unknown): { readonly status: number; readonly message: string } | undefined {
  if (error instanceof KesError) return error;
  if (!(error instanceof OperationError)) return undefined;
  switch (error.code) {
    case "key_not_found":
      return keyNotFound();
    // A key that is revoked is one that nobody may use: MinIO gives its user 403, and does not try again.
    case "key_revoked":
    case "access_denied":
    case "refused_by_hook":
    case "unauthenticated":
      return notAllowed();
    case "invalid_blob":
    case "decryption_failed":
      return notAuthentic();
    default:
      return error;
  }
}
