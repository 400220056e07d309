/** What was done, for usage, audit and metrics: the port. Never on the path of a request's answer. */

import { ERROR_CODES, type ErrorCode, isOperationCode, OperationError } from "../../base/errors.ts";
import type { Operation } from "../access/access-policy.ts";
import type { Caller, ServiceKeyName } from "./operations.ts";

export type Outcome = "ok" | ErrorCode | "internal_error";

export const OUTCOMES: readonly Outcome[] = ["ok", ...ERROR_CODES, "internal_error"];

export function outcomeOf(error: unknown): Outcome {
  return error instanceof OperationError && isOperationCode(error.code) ? error.code : "internal_error";
}

/** What is recorded: what policies allow, and the look at a service key that any of those allows. */
export type RecordedOperation = Operation | "describe";

/** As metrics tell operations apart: a batch is timed as a whole, so it has a name of its own. */
export const OPERATION_NAMES = [
  "create",
  "decrypt",
  "rewrap",
  "encrypt",
  "describe",
  "create_batch",
  "decrypt_batch",
  "rewrap_batch",
  "encrypt_batch",
] as const;

export type OperationName = (typeof OPERATION_NAMES)[number];

/** The kind of an operation, as the recorder sees it. */
export interface RecordedKind {
  readonly name: OperationName;
  readonly operation: RecordedOperation;
}

export interface Recorder {
  /** A monotonic time in milliseconds, for `took`. */
  now(): number;

  /**
   * Counts one key or value, or `count` under one key and one decision, that an operation has ended with. Synchronous, cheap, never
   * throws; keeps nothing of what it is given. `key` has empty names for a blob that can't be read, and else whatever the caller said:
   * bound what is kept. `version` is the one that was used, 0 where none was reached; `reason` is the message of the error, for
   * audit.
   */
  record(
    kind: RecordedKind,
    caller: Caller,
    key: ServiceKeyName,
    version: number,
    count: number,
    outcome: Outcome,
    reason?: string,
  ): void;

  /**
   * An operation has to wait, and has just begun to: for a lease, in whose miss this is told in the same turn, or for something else (a
   * hook, its turn in a long batch). Undefined where nobody wants to know; never called for what ends at once. It gives the id of the
   * trace that the operation's span is in, where it has one that is sent.
   */
  readonly waits?: ((kind: RecordedKind, caller: Caller) => string | undefined) | undefined;

  /**
   * Counts a whole call, and how long it took in milliseconds; a batch is one. Its items are recorded by themselves. `traceId` is what
   * `waits` gave, where it was called.
   */
  took(kind: RecordedKind, caller: Caller, outcome: Outcome, durationMs: number, traceId?: string): void;
}
