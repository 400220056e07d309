/** Answers and errors as Vault gives them: an envelope around `data`, or `errors`. */
import { type ErrorCode, OperationError, type RequestErrorCode } from "../../../base/errors.ts";
import { retryAfterOf } from "../../../base/network/retry-after.ts";
import type { Caller } from "../../operations/operations.ts";
import type { DoorAnswer } from "../door.ts";

const HEADERS: Readonly<Record<string, string>> = { "Content-Type": "application/json", "Cache-Control": "no-store" };

/** One of Vault's own kinds of refusal, which no code of ours has. */
export class VaultError extends OperationError {
  override readonly name = "VaultError";
  readonly httpStatus: number;

  constructor(httpStatus: number, message: string) {
    super("invalid_request", message);
    this.httpStatus = httpStatus;
  }
}

export function invalid(message: string): OperationError {
  return new OperationError("invalid_request", message);
}

export function json(status: number, body: string | Uint8Array): DoorAnswer {
  return { status, headers: HEADERS, body };
}

/** `data` and `warnings`: JSON already. Request ids hold nothing that JSON escapes. */
export function envelope(
  requestId: string,
  data: string,
  { status = 200, warnings = "null", auth = "null" } = {},
): DoorAnswer {
  const [before, after] = around(requestId, warnings, auth);
  return json(status, before + data + after);
}

/** What stands before and after `data`. */
export function around(requestId: string, warnings = "null", auth = "null"): [before: string, after: string] {
  return [
    `{"request_id":"${requestId}","lease_id":"","renewable":false,"lease_duration":0,"data":`,
    `,"wrap_info":null,"warnings":${warnings},"auth":${auth}}`,
  ];
}

interface Fault {
  readonly status: number;
  readonly text: (message: string) => string;
}

const same = (message: string): string => message;
const denied = (): string => "permission denied";

/** docs/door-vault-transit.md, "Errors". Never 412 (clients repeat it), 501 (hvac: not initialized), 410 or 422 (no exception of their own). */
const FAULTS: Readonly<Partial<Record<ErrorCode | RequestErrorCode, Fault>>> = {
  invalid_request: { status: 400, text: same },
  invalid_blob: { status: 400, text: (message) => `invalid ciphertext: ${message}` },
  decryption_failed: { status: 400, text: () => "cipher: message authentication failed" },
  key_revoked: {
    status: 400,
    text: (message) => `ciphertext or signature version is disallowed by policy (too old): ${message}`,
  },
  key_not_found: { status: 400, text: () => "encryption key not found" },
  unauthenticated: { status: 403, text: denied },
  access_denied: { status: 403, text: denied },
  refused_by_hook: { status: 403, text: (message) => `permission denied: ${message}` },
  rate_limited: { status: 429, text: same },
  lease_unavailable: { status: 503, text: same },
  overloaded: { status: 503, text: same },
  too_large: { status: 413, text: same },
  not_found: { status: 404, text: () => "no handler for route. route entry not found." },
  method_not_allowed: { status: 405, text: () => "unsupported operation" },
};

const INTERNAL: Fault = { status: 500, text: () => "internal error: the edge's log tells more" };

function faultOf(error: unknown): Fault {
  if (!(error instanceof OperationError)) return INTERNAL;
  if (error instanceof VaultError) return { status: error.httpStatus, text: same };
  return FAULTS[error.code] ?? { status: error.status, text: same };
}

/** What an item of a batch says of its failure. */
export function errorText(error: OperationError): string {
  return faultOf(error).text(error.message);
}

/** Whether asking again, unchanged, can help. */
export function isTemporary(error: OperationError): boolean {
  const { status } = faultOf(error);
  return status === 429 || status === 503;
}

export function writeVaultError(error: unknown): DoorAnswer {
  const fault = faultOf(error);
  const message = fault.text(error instanceof OperationError ? error.message : "");
  const headers = { ...HEADERS };
  if (error instanceof OperationError && error.retryAfterMs !== undefined) {
    headers["Retry-After"] = retryAfterOf(error.retryAfterMs);
  }
  return { status: fault.status, headers, body: JSON.stringify({ errors: message === "" ? [] : [message] }) };
}

export function requestIdOf({ requestId }: Caller): string {
  return requestId === undefined ? "" : requestId.toString();
}
