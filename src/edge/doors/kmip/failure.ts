/** Why a request, or one item of it, fails: in KMIP's reasons, with a sentence that says what to do, since clients show it to people. */
import { OperationError } from "../../../base/errors.ts";
import { RESULT_REASON, type ResultReason } from "./enumerations.ts";

export class KmipFailure extends Error {
  override readonly name = "KmipFailure";
  readonly reason: ResultReason;

  constructor(reason: ResultReason, message: string) {
    super(message);
    this.reason = reason;
  }
}

/**
 * Databases shut down, or make a new key, when they are told that theirs is not there or not valid. So whatever may be better in a moment is a
 * General Failure, and so is each code that is not in this table.
 */
const REASON_OF: Readonly<Partial<Record<OperationError["code"], ResultReason>>> = {
  invalid_request: RESULT_REASON.invalidField,
  invalid_blob: RESULT_REASON.itemNotFound,
  decryption_failed: RESULT_REASON.itemNotFound,
  key_not_found: RESULT_REASON.itemNotFound,
  unauthenticated: RESULT_REASON.permissionDenied,
  access_denied: RESULT_REASON.permissionDenied,
  refused_by_hook: RESULT_REASON.permissionDenied,
  key_revoked: RESULT_REASON.permissionDenied,
  too_large: RESULT_REASON.invalidField,
};

const NO_SUCH_OBJECT =
  "There is no object with this unique identifier. The identifier is the wrapped object itself: give it exactly as Create, Register or Activate returned it, to an edge of the same Core.";

/** The failure that an operation's error is told as; undefined for what is a defect. */
export function failureOf(error: unknown): KmipFailure | undefined {
  if (error instanceof KmipFailure) return error;
  if (!(error instanceof OperationError)) return undefined;
  const { code, message } = error;
  const reason = REASON_OF[code] ?? RESULT_REASON.generalFailure;
  return new KmipFailure(reason, code === "invalid_blob" || code === "decryption_failed" ? NO_SUCH_OBJECT : message);
}

export function noSuchObject(): KmipFailure {
  return new KmipFailure(RESULT_REASON.itemNotFound, NO_SUCH_OBJECT);
}

export function invalidMessage(message: string): KmipFailure {
  return new KmipFailure(RESULT_REASON.invalidMessage, message);
}

export function invalidField(message: string): KmipFailure {
  return new KmipFailure(RESULT_REASON.invalidField, message);
}

export function featureNotSupported(message: string): KmipFailure {
  return new KmipFailure(RESULT_REASON.featureNotSupported, message);
}
