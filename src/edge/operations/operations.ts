/**
 * What an edge does for its callers: the port that every front door calls, and the only one. A door knows no cache, no cipher, no
 * policy. Implemented by the pipeline beside it: authorize, hooks, lease, cipher, hooks, record.
 *
 * Where an answer can be made from what is held, it comes at once, without a promise; only a miss (or an asynchronous hook) makes
 * one. Buffers given in stay the caller's and are not kept; buffers given out are the caller's, who wipes those that hold keys or
 * values.
 */
import type { OperationError } from "../../base/errors.ts";
import type { RequestId } from "../../base/network/trace-context.ts";
import type { Principal } from "../access/principal.ts";
import type { LeasedVersion } from "../cache/lease-cache.ts";
import type { EncryptionContext } from "../cipher/context.ts";

/** An answer that is there at once on the hot path, and later where a lease must be asked for. */
export type MaybePromise<T> = T | Promise<T>;

/** Who calls, made once a connection (or once a request, where each request brings its own proof), and given on whole. */
export interface Caller {
  readonly principal: Principal;
  /** The front door's name: `native`, `aws-kms` … In metrics and audit. */
  readonly door: string;
  /** The request's name, for log and audit; looked for only when someone wants to know. */
  readonly requestId: RequestId | undefined;
}

/** Tenant and service of a service key. */
export interface ServiceKeyName {
  readonly tenant: string;
  readonly service: string;
}

export type DataKeyLength = 16 | 32 | 64;

export interface CreateKeyRequest extends ServiceKeyName {
  readonly context?: EncryptionContext | undefined;
  /** Bytes of the data key; 32 where it is left out. */
  readonly length?: DataKeyLength | undefined;
  /** Whether the plaintext is wanted too; by default the wrapped key alone (ADR-602, "L4 Generation"). */
  readonly plaintext?: boolean | undefined;
}

export interface CreatedKey {
  readonly wrapped: Uint8Array;
  readonly version: number;
  /** The data key, if asked for. */
  readonly plaintext: Uint8Array | undefined;
}

/**
 * Gets each key of a batch as it is made. Its buffers are good inside the call only, in which it calls no operation; the data key, if asked
 * for, is wiped then.
 */
export type TakeKey = (wrapped: Uint8Array, plaintext: Uint8Array | undefined, version: number) => void;

export interface CreateKeysRequest extends CreateKeyRequest {
  readonly take: TakeKey;
}

/** What the keys of a batch have in common. */
export interface CreatedKeys {
  readonly version: number;
}

export interface EncryptValueRequest extends ServiceKeyName {
  /** 1 to 65,536 bytes. */
  readonly value: Uint8Array;
  readonly context?: EncryptionContext | undefined;
}

export interface EncryptedValue {
  readonly wrapped: Uint8Array;
  readonly version: number;
}

export interface OpenRequest {
  /** The blob's bytes. */
  readonly wrapped: Uint8Array;
  readonly context?: EncryptionContext | undefined;
}

export interface Opened extends ServiceKeyName {
  /** The data key or the value. */
  readonly plaintext: Uint8Array;
  readonly version: number;
}

export interface Rewrapped extends ServiceKeyName {
  readonly wrapped: Uint8Array;
  readonly version: number;
  /** Whether the blob was under the active version already (it is wrapped anew all the same). */
  readonly wasActive: boolean;
}

/** What a door may tell of a service key: whether it can be used, and under which version. */
export interface KeyDescription extends ServiceKeyName {
  /** The active version, which new blobs are made under. */
  readonly version: number;
  readonly versions: readonly { readonly version: number; readonly state: LeasedVersion["state"] }[];
}

/**
 * Gets what each item of a batch ended with, in the order asked: its result, whose buffers are its own to wipe, or its own error. It must not
 * throw.
 */
export type TakeResult<Result> = (result: Result | OperationError) => void;

/** Every method: @throws {OperationError} or rejects with it (docs/errors.md); anything else is a defect. */
export interface Operations {
  /** Makes a data key under the active version (suite 1; policy operation `create`). */
  createKey(caller: Caller, request: CreateKeyRequest): MaybePromise<CreatedKey>;
  /**
   * `count` (1 to 10,000) data keys under one version and one decision; long batches yield to other requests. Where it throws or rejects,
   * what `take` has made of the first keys is for nobody: whoever asked wipes it.
   */
  createKeys(caller: Caller, request: CreateKeysRequest, count: number): MaybePromise<CreatedKeys>;
  /** Opens a wrapped data key (suite 1; `decrypt`). */
  decryptKey(caller: Caller, request: OpenRequest): MaybePromise<Opened>;
  /**
   * Each item judged by itself; long batches yield to other requests. Where it throws or rejects, the batch has ended by a defect, and what
   * `take` has got is for nobody: whoever asked wipes it. So it is of every batch below.
   */
  decryptKeys(caller: Caller, requests: readonly OpenRequest[], take: TakeResult<Opened>): MaybePromise<void>;
  /** Wraps what the blob holds, of either suite, under the active version; it is never shown (`rewrap`). */
  rewrap(caller: Caller, request: OpenRequest): MaybePromise<Rewrapped>;
  rewrapMany(caller: Caller, requests: readonly OpenRequest[], take: TakeResult<Rewrapped>): MaybePromise<void>;
  /** Encrypts bytes that the caller chose (suite 2; `encrypt`). */
  encryptValue(caller: Caller, request: EncryptValueRequest): MaybePromise<EncryptedValue>;
  encryptValues(
    caller: Caller,
    requests: readonly EncryptValueRequest[],
    take: TakeResult<EncryptedValue>,
  ): MaybePromise<void>;
  /** Opens an encrypted value (suite 2; `decrypt`). */
  decryptValue(caller: Caller, request: OpenRequest): MaybePromise<Opened>;
  decryptValues(caller: Caller, requests: readonly OpenRequest[], take: TakeResult<Opened>): MaybePromise<void>;
  /** Opens a blob of either suite: for front doors that have one operation for both. */
  open(caller: Caller, request: OpenRequest): MaybePromise<Opened>;
  /**
   * Whether the service key can be used, and its active version. For a caller that may do anything with it at all, else
   * `access_denied`. Takes a lease where none is held; `key_not_found`, `key_revoked` and `lease_unavailable` say why there is none.
   */
  describeKey(caller: Caller, name: ServiceKeyName): MaybePromise<KeyDescription>;
  /**
   * How long a caller may keep plaintexts of a service key, in whole seconds: as the policy says, and no longer than the lease that is
   * held. 0: not at all. At once, from memory.
   */
  cacheSeconds(caller: Caller, name: ServiceKeyName): number;
  /**
   * The services of a tenant that the policies name literally for this caller, sorted: for front doors whose clients list keys. Whether
   * they exist is not looked up, and what a pattern allows is not told.
   */
  namedServices(caller: Caller, tenant: string): readonly string[];
}
