/** What the functions that carry out KMIP operations share. */
import type { Caller, MaybePromise, Operations, ServiceKeyName } from "../../operations/operations.ts";
import type { DoorLog } from "../door.ts";
import type { RevokeService } from "./core-revocation.ts";
import type { Fields } from "./fields.ts";
import type { TtlvWriter } from "./ttlv-writer.ts";
import type { Version } from "./version.ts";

/** Writes an answer's payload. Called once: what it holds of secrets is wiped then. */
export type WritePayload = (writer: TtlvWriter) => void;

/** What the items of one batch share. */
export interface Batch {
  readonly caller: Caller;
  readonly version: Version;
  /** KMIP's "ID placeholder": the identifier of the last object that an item of this batch made. */
  placeholder: string | undefined;
}

export interface HandlerParts {
  readonly operations: Operations;
  readonly log: DoorLog;
  /** Where new objects of this caller belong; undefined where the configuration gives it no place. */
  readonly serviceOf: (caller: Caller) => ServiceKeyName | undefined;
  readonly nowSeconds: () => number;
  /** What Query says of the vendor. */
  readonly vendor: string;
  /** Undefined where revocations are not forwarded to the Core. */
  readonly revokeService: RevokeService | undefined;
}

export interface Handler {
  /** The version of KMIP that brought the operation. */
  readonly since: Version;
  /** @throws {KmipFailure | OperationError} or rejects with it */
  readonly handle: (payload: Fields, batch: Batch, parts: HandlerParts) => MaybePromise<WritePayload>;
}
