/** What was done, for the Core's batches and the audit: the port. Never on the path of a request's answer. */

import { CryptoEdgeError, type ErrorCode, OPERATION_ERROR_CODES } from "../../base/errors.ts";
import type { Operation } from "../access/access-policy.ts";
import type { Principal } from "../access/principal.ts";

export type Outcome = "ok" | ErrorCode | "internal_error";

export const OUTCOMES: readonly Outcome[] = ["ok", ...OPERATION_ERROR_CODES, "internal_error"];

export function outcomeOf(error: unknown): Outcome {
  return error instanceof CryptoEdgeError ? error.code : "internal_error";
}

/** The listener's name for a request: what `toString` answers, looked for only when someone wants to know. */
export interface RequestId {
  toString(): string;
}

/** One call in progress: who wants what. */
export interface OperationCall {
  readonly principal: Principal;
  readonly operation: Operation;
  /** Tenant and service are empty for a blob that can't be read, and else whatever the caller said: bound what is kept. */
  readonly tenant: string;
  readonly service: string;
  /** 0 until one is known. */
  readonly version: number;
  /** How many keys: more than one for a batch under one key. */
  readonly count: number;
  /** The listener's name for the request, for audit. */
  readonly requestId: RequestId | undefined;
}

export interface UsageRecorder {
  /**
   * Counts one call that has ended. Synchronous, cheap, never throws; keeps nothing of `call`. `version` is the one that was
   * used, 0 where none was reached; `reason` is the message of the error that ended the call, for audit.
   */
  record(call: OperationCall, outcome: Outcome, version: number, reason?: string): void;
}
