/** Who may look at operations, and refuse them: the port of the hooks. Undefined where no plugin listens, and then nothing is made for it. */
import type { Operation } from "../access/access-policy.ts";
import type { Caller, MaybePromise, ServiceKeyName } from "./operations.ts";
import type { Outcome, RecordedOperation } from "./recorder.ts";

/** What a hook may know of an operation: never a key, a value, a blob or a context. */
export interface HookedOperation extends ServiceKeyName {
  readonly caller: Caller;
  readonly operation: Operation;
  /** Of an operation that opens a blob, the version that it is under; else 0. */
  readonly version: number;
  readonly count: number;
  /** Bytes of each data key or of the value; 0 where a blob is opened. */
  readonly length: number;
  /** Whether the caller of a creation asked for the data key too. */
  readonly plaintext: boolean;
  readonly content: "data_key" | "value";
}

/** `Event`: what the hooks of one operation are told, made once; the pipeline only hands it on. */
export interface OperationHooks<Event = unknown> {
  event(operation: HookedOperation): Event;
  /** After the policy has allowed it, before the lease. @throws or rejects with {OperationError} `refused_by_hook` */
  before(event: Event): MaybePromise<void>;
  /** After the cipher, before the caller. The same errors; the pipeline then wipes what it has made. */
  after(event: Event, version: number): MaybePromise<void>;
  /** An operation that a policy, a limit or a hook has refused. Never throws, and nobody waits for it. */
  denied(caller: Caller, operation: RecordedOperation, key: ServiceKeyName, outcome: Outcome): void;
}
