/**
 * Hooks: what a plugin may see of the edge's operations, and where it may say no. A hook never sees a data key (L4), a
 * service key (L3), a blob or a context, and can change none of them; the events it gets are frozen copies.
 */

import type { ErrorCode } from "../../base/errors.ts";
import type { Health } from "../../base/health.ts";
import type { Principal } from "../access/principal.ts";
import type { RevocationScope } from "../cache/lease-cache.ts";
import type { LeasableState } from "../key-source/key-source.ts";
import type { RecordedOperation } from "../operations/recorder.ts";

/**
 * Any of these. A hook that returns at once costs a function call; one that returns a promise makes its own operation
 * asynchronous, and is given the time that the configuration allows. What happens when a hook throws, is late, or has too
 * many calls open is the operator's choice (`on_failure`): the operation is refused, or goes on. Either way it is counted.
 */
export interface Hooks {
  /** Connects, if there is anything to connect. Called once, before any hook; a rejection stops the edge's start. */
  start?(): Promise<void>;

  /** After the policy has allowed it, before the lease is asked for. A refusal ends the operation. */
  beforeCreate?(event: CreateEvent): Verdict | Promise<Verdict>;
  /** The key is made. A refusal wipes it and ends the operation. */
  afterCreate?(event: CreatedEvent): Verdict | Promise<Verdict>;
  /** As `beforeCreate`, for a value that the caller chose. In a batch it is called for each item, as those below are. */
  beforeEncrypt?(event: EncryptEvent): Verdict | Promise<Verdict>;
  /** The value is encrypted. A refusal drops the blob and ends the operation. */
  afterEncrypt?(event: EncryptedEvent): Verdict | Promise<Verdict>;
  /** As `beforeCreate`; `operation` tells a rewrap from a decryption, `content` a data key from a value. */
  beforeDecrypt?(event: DecryptEvent): Verdict | Promise<Verdict>;
  /** The key or value is opened (and, in a rewrap, wrapped anew). A refusal wipes it and ends the operation. */
  afterDecrypt?(event: DecryptEvent): Verdict | Promise<Verdict>;
  /** A source has granted a lease. A refusal wipes its keys; the edge acts as if the source had refused it. */
  onLease?(event: LeaseEvent): Verdict | Promise<Verdict>;

  /** A revocation was applied: the keys are wiped already, and nothing a hook does can hold that up. Only observes. */
  onRevocation?(event: RevocationApplied): void | Promise<void>;
  /** An operation was denied by the policy, a limit or a hook. Only observes, and nobody waits for it. */
  onDenied?(event: DeniedEvent): void | Promise<void>;

  health?(): Health;

  /** Lets go of connections and secrets. May be called twice. */
  close?(): Promise<void>;
}

/** Nothing, or a refusal made by `refuse`. */
// biome-ignore lint/suspicious/noConfusingVoidType: a hook that only observes returns nothing.
export type Verdict = Refusal | undefined | void;

const REFUSAL: unique symbol = Symbol.for("crypto-edge.refusal");

/** A hook's refusal, made by `refuse` alone: its code and sentence go to the caller. */
export interface Refusal {
  readonly [REFUSAL]: true;
  readonly code: string;
  readonly sentence: string;
}

/**
 * What a hook returns to refuse. The caller gets `refused_by_hook` with both: `code` is the hook's own (lower-case words with
 * `_`), `sentence` says what to do. Neither may hold a secret, nor anything that the caller must not know.
 *
 * @example
 * beforeCreate: ({ tenant }) => (closed.has(tenant) ? refuse("tenant_closed", "Ask for the tenant to be opened.") : undefined)
 */
export function refuse(code: string, sentence: string): Refusal {
  return { [REFUSAL]: true, code, sentence };
}

/**
 * Whether a hook's answer is a refusal. True across copies of this module too: the mark is a registered symbol.
 *
 * @example
 * ```ts
 * const verdict = await hook.beforeDecrypt(event);
 * if (isRefusal(verdict)) console.log(verdict.code);
 * ```
 */
export function isRefusal(value: unknown): value is Refusal {
  return typeof value === "object" && value !== null && (value as Partial<Refusal>)[REFUSAL] === true;
}

interface OperationEvent {
  readonly principal: Principal;
  /** The front door that the caller came by: `native`, `aws-kms` … */
  readonly door: string;
  readonly tenant: string;
  readonly service: string;
}

/** Data keys are about to be made. */
export interface CreateEvent extends OperationEvent {
  readonly operation: "create";
  /** Bytes of each data key: 16, 32 or 64. */
  readonly length: number;
  /** How many keys are asked for. */
  readonly count: number;
  /** Whether the caller asked for the plaintext too. */
  readonly plaintext: boolean;
}

/** Data keys were made, under this version of the service key. */
export interface CreatedEvent extends CreateEvent {
  readonly version: number;
}

/** A value is about to be encrypted. */
export interface EncryptEvent extends OperationEvent {
  readonly operation: "encrypt";
  /** Bytes of the value: 1 to 65,536. */
  readonly length: number;
}

/** A value was encrypted, under this version of the service key. */
export interface EncryptedEvent extends EncryptEvent {
  readonly version: number;
}

/** A wrapped key or value is about to be opened, or rewrapped. */
export interface DecryptEvent extends OperationEvent {
  readonly operation: "decrypt" | "rewrap";
  /** The version that the blob is under. */
  readonly version: number;
  /** What the blob holds: a data key that the edge made, or a value that a caller chose. */
  readonly content: "data_key" | "value";
}

/** A lease was taken or renewed; it holds no key. */
export interface LeaseEvent {
  /** The name of the key source. */
  readonly source: string;
  readonly tenant: string;
  readonly service: string;
  readonly versions: readonly { readonly version: number; readonly state: LeasableState }[];
  readonly ttlMs: number;
}

/** A revocation is in force at this edge. */
export interface RevocationApplied {
  readonly scope: RevocationScope;
  /** How many versions were held and wiped. */
  readonly wiped: number;
}

/** An operation was denied, by policy, rate or a hook. */
export interface DeniedEvent extends OperationEvent {
  readonly operation: RecordedOperation;
  readonly code: Extract<ErrorCode, "access_denied" | "rate_limited" | "refused_by_hook">;
}
