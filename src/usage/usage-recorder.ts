/** What was done, for the Core's batches and the audit: the port. Never on the path of a request's answer. */
import type { Operation } from "../access/access-policy.ts";
import type { Principal } from "../access/principal.ts";
import { CryptoEdgeError, type ErrorCode, HTTP_STATUS } from "../errors.ts";

export type Outcome = "ok" | ErrorCode | "internal_error";

export const OUTCOMES: readonly Outcome[] = ["ok", ...(Object.keys(HTTP_STATUS) as ErrorCode[]), "internal_error"];

export function outcomeOf(error: unknown): Outcome {
  return error instanceof CryptoEdgeError ? error.code : "internal_error";
}

/** The listener's name for a request: what `toString` answers, looked for only when someone wants to know. */
export interface RequestId {
  toString(): string;
}

export interface UsageRecorder {
  /**
   * Counts one finished operation (`count` of them for a batch under one key). Synchronous, cheap, never throws.
   * `version` is 0 where none was reached; tenant and service are empty for a blob that can't be read, and else whatever the
   * caller said, so bound what is kept.
   * `reason` is the message of the error that ended it, `requestId` the listener's name for the request: both for audit.
   */
  record(
    principal: Principal,
    operation: Operation,
    outcome: Outcome,
    tenant: string,
    service: string,
    version: number,
    count: number,
    reason?: string,
    requestId?: RequestId,
  ): void;
}
