/**
 * CreateKey, DecryptKey, RewrapKey and their batches: ADR-602, readable in one sitting.
 *
 * Each operation is: may this principal do this, the lease, the cipher, the answer. While the lease is held, all of it is
 * synchronous and the result is a value; only a miss makes a promise. Nothing is stored: the application keeps the blob.
 */

import { CryptoEdgeError, messageOf } from "../../base/errors.ts";
import { othersTurn, TURN_KEYS } from "../../base/time/turns.ts";
import { wipe } from "../../base/wipe.ts";
import type { AccessPolicy, Operation } from "../access/access-policy.ts";
import type { Principal } from "../access/principal.ts";
import type { LeaseCache, LeasedVersion } from "../cache/lease-cache.ts";
import { DATA_KEY_SUITE, type DataKeyLength, type ParsedBlob, parseBlob } from "../cipher/blob.ts";
import { type EncryptionContext, encodeContext } from "../cipher/context.ts";
import { type OperationCall, outcomeOf, type RequestId, type UsageRecorder } from "./usage-recorder.ts";

/** A value at once when the lease is held, else a promise of it. */
export type MaybePromise<T> = T | Promise<T>;

export interface CreateKeyRequest {
  readonly tenant: string;
  readonly service: string;
  readonly context?: EncryptionContext | undefined;
  readonly length?: DataKeyLength | undefined;
  /** Whether the plaintext is wanted too; by default the wrapped key alone is returned (ADR-602, "L4 Generation"). */
  readonly plaintext?: boolean | undefined;
}

export interface CreatedKey {
  readonly wrapped: Uint8Array;
  readonly version: number;
  /** The data key, if asked for. The caller owns and wipes it. */
  readonly plaintext: Uint8Array | undefined;
}

export interface DecryptKeyRequest {
  /** The blob's bytes; not changed, not kept. */
  readonly wrapped: Uint8Array;
  readonly context?: EncryptionContext | undefined;
}

export interface DecryptedKey {
  /** The data key. The caller owns and wipes it. */
  readonly plaintext: Uint8Array;
  readonly tenant: string;
  readonly service: string;
  readonly version: number;
}

export interface RewrappedKey {
  readonly wrapped: Uint8Array;
  readonly tenant: string;
  readonly service: string;
  readonly version: number;
}

/** `requestId`, everywhere, names the request in the audit. */
export interface Orchestrator {
  /** Makes a data key and wraps it under the active version. @throws {CryptoEdgeError} */
  createKey(principal: Principal, request: CreateKeyRequest, requestId?: RequestId): MaybePromise<CreatedKey>;
  /** Makes `count` (1 to 10,000) data keys under one version, a long batch in turns. @throws {CryptoEdgeError} */
  createKeys(
    principal: Principal,
    request: CreateKeyRequest,
    count: number,
    requestId?: RequestId,
  ): MaybePromise<CreatedKey[]>;
  /** Opens a wrapped key. @throws {CryptoEdgeError} */
  decryptKey(principal: Principal, request: DecryptKeyRequest, requestId?: RequestId): MaybePromise<DecryptedKey>;
  /** Opens each item, judged by itself: a key or its own error, in the order asked. */
  decryptKeys(
    principal: Principal,
    requests: readonly DecryptKeyRequest[],
    requestId?: RequestId,
  ): MaybePromise<(DecryptedKey | CryptoEdgeError)[]>;
  /** Wraps the same data key under the active version; it is never shown. @throws {CryptoEdgeError} */
  rewrapKey(principal: Principal, request: DecryptKeyRequest, requestId?: RequestId): MaybePromise<RewrappedKey>;
}

export const BATCH_MAX = 10_000;

export interface OrchestratorParts {
  readonly access: AccessPolicy;
  readonly leases: LeaseCache;
  readonly usage: UsageRecorder;
}

interface CreatedBatch {
  readonly version: number;
  readonly keys: CreatedKey[];
}

export function createOrchestrator({ access, leases, usage }: OrchestratorParts): Orchestrator {
  /** Runs one operation and records how it ended, whether it ends now or later. On a hit it makes no closure. */
  function recorded<Request, Result extends { version: number }>(
    call: OperationCall,
    request: Request,
    run: (call: OperationCall, request: Request) => MaybePromise<Result>,
  ): MaybePromise<Result> {
    try {
      const result = run(call, request);
      if (!(result instanceof Promise)) return ended(call, result);
      return result.then(
        (value) => ended(call, value),
        (error: unknown) => failed(call, error),
      );
    } catch (error) {
      return failed(call, error);
    }
  }

  function ended<Result extends { version: number }>(call: OperationCall, result: Result): Result {
    usage.record(call, "ok", result.version);
    return result;
  }

  function failed(call: OperationCall, error: unknown): never {
    usage.record(call, outcomeOf(error), call.version, messageOf(error));
    throw error;
  }

  function create(call: OperationCall, request: CreateKeyRequest): MaybePromise<CreatedKey> {
    access.authorize(call.principal, "create", call.tenant, call.service);
    const context = encodeContext(request.context);
    const leased = leases.active(call.tenant, call.service);
    return leased instanceof Promise
      ? leased.then((fetched) => makeKey(fetched, request, context))
      : makeKey(leased, request, context);
  }

  function createMany(call: OperationCall, request: CreateKeyRequest): MaybePromise<CreatedBatch> {
    access.authorize(call.principal, "create", call.tenant, call.service, call.count);
    const context = encodeContext(request.context);
    const make = (leased: LeasedVersion): MaybePromise<CreatedBatch> =>
      call.count <= TURN_KEYS
        ? { version: leased.version, keys: makeKeys(leased, request, context, call.count) }
        : makeInTurns(call, request, leased, context);
    const leased = leases.active(call.tenant, call.service);
    return leased instanceof Promise ? leased.then(make) : make(leased);
  }

  /** All under the version of the first turn, and none when its lease ends before the last. */
  async function makeInTurns(
    { tenant, service, count }: OperationCall,
    request: CreateKeyRequest,
    first: LeasedVersion,
    context: Uint8Array,
  ): Promise<CreatedBatch> {
    const { version } = first;
    const keys: CreatedKey[] = [];
    try {
      for (let leased = first; ; leased = await leases.version(tenant, service, version)) {
        keys.push(...makeKeys(leased, request, context, Math.min(TURN_KEYS, count - keys.length)));
        if (keys.length === count) return { version, keys };
        await othersTurn();
      }
    } catch (error) {
      for (const { plaintext } of keys) if (plaintext !== undefined) wipe(plaintext);
      throw error;
    }
  }

  function makeKeys(
    leased: LeasedVersion,
    request: CreateKeyRequest,
    context: Uint8Array,
    count: number,
  ): CreatedKey[] {
    return Array.from({ length: count }, () => makeKey(leased, request, context));
  }

  function makeKey(leased: LeasedVersion, request: CreateKeyRequest, context: Uint8Array): CreatedKey {
    const length = request.length ?? 32;
    const plaintext = request.plaintext === true ? new Uint8Array(length) : undefined;
    return { wrapped: leased.session.createKey(length, context, plaintext), version: leased.version, plaintext };
  }

  function decrypt(call: OperationCall, opening: Opening): MaybePromise<DecryptedKey> {
    const context = encodeContext(opening.context);
    const leased = versionFor(call, opening.wrapped);
    return leased instanceof Promise
      ? leased.then((fetched) => openKey(fetched, opening.wrapped, context))
      : openKey(leased, opening.wrapped, context);
  }

  /** The version to open a blob under, once it is known that the principal may. */
  function versionFor(call: OperationCall, wrapped: ParsedBlob): MaybePromise<LeasedVersion> {
    access.authorize(call.principal, call.operation, wrapped.tenant, wrapped.service);
    return leases.version(wrapped.tenant, wrapped.service, wrapped.version);
  }

  function openKey(leased: LeasedVersion, wrapped: ParsedBlob, context: Uint8Array): DecryptedKey {
    const plaintext = leased.session.unwrap(wrapped, context);
    return { plaintext, tenant: wrapped.tenant, service: wrapped.service, version: wrapped.version };
  }

  function rewrap(call: OperationCall, opening: Opening): MaybePromise<RewrappedKey> {
    const context = encodeContext(opening.context);
    const leased = versionFor(call, opening.wrapped);
    return leased instanceof Promise
      ? leased.then((fetched) => wrapAgain(fetched, opening.wrapped, context))
      : wrapAgain(leased, opening.wrapped, context);
  }

  function wrapAgain(old: LeasedVersion, wrapped: ParsedBlob, context: Uint8Array): MaybePromise<RewrappedKey> {
    const { tenant, service } = wrapped;
    const dataKey = old.session.unwrap(wrapped, context);
    const wrap = (active: LeasedVersion): RewrappedKey => {
      try {
        return {
          wrapped: active.session.wrap(dataKey, context, wrapped.suite),
          tenant,
          service,
          version: active.version,
        };
      } finally {
        wipe(dataKey);
      }
    };
    const abandon = (error: unknown): never => {
      wipe(dataKey);
      throw error;
    };
    try {
      const active = leases.active(tenant, service);
      return active instanceof Promise ? active.then(wrap, abandon) : wrap(active);
    } catch (error) {
      return abandon(error);
    }
  }

  /** A blob that can't be read is an operation too: the usage recorder is told, though not whose key it was. */
  function read(
    principal: Principal,
    operation: Operation,
    bytes: Uint8Array,
    requestId: RequestId | undefined,
  ): ParsedBlob {
    try {
      return parseBlob(bytes, operation === "rewrap" ? undefined : DATA_KEY_SUITE);
    } catch (error) {
      return failed({ principal, operation, tenant: "", service: "", version: 0, count: 1, requestId }, error);
    }
  }

  function opened(
    principal: Principal,
    operation: Operation,
    wrapped: ParsedBlob,
    requestId: RequestId | undefined,
  ): OperationCall {
    const { tenant, service, version } = wrapped;
    return { principal, operation, tenant, service, version, count: 1, requestId };
  }

  return {
    createKey(principal, request, requestId) {
      const { tenant, service } = request;
      const call = { principal, operation: "create", tenant, service, version: 0, count: 1, requestId } as const;
      return recorded(call, request, create);
    },

    createKeys(principal, request, count, requestId) {
      const { tenant, service } = request;
      const call = { principal, operation: "create", tenant, service, version: 0, count, requestId } as const;
      const batch = recorded(call, request, createMany);
      return batch instanceof Promise ? batch.then(({ keys }) => keys) : batch.keys;
    },

    decryptKey(principal, { wrapped: bytes, context }, requestId) {
      const wrapped = read(principal, "decrypt", bytes, requestId);
      return recorded(opened(principal, "decrypt", wrapped, requestId), { wrapped, context }, decrypt);
    },

    decryptKeys(principal, requests, requestId) {
      const results = requests.map((request) => {
        try {
          const result = this.decryptKey(principal, request, requestId);
          return result instanceof Promise ? result.catch(asCryptoEdgeError) : result;
        } catch (error) {
          return asCryptoEdgeError(error);
        }
      });
      return results.some((result) => result instanceof Promise)
        ? Promise.all(results)
        : (results as (DecryptedKey | CryptoEdgeError)[]);
    },

    rewrapKey(principal, { wrapped: bytes, context }, requestId) {
      const wrapped = read(principal, "rewrap", bytes, requestId);
      return recorded(opened(principal, "rewrap", wrapped, requestId), { wrapped, context }, rewrap);
    },
  };
}

/** A blob that was read, to be opened. */
interface Opening {
  readonly wrapped: ParsedBlob;
  readonly context: EncryptionContext | undefined;
}

/** Expected errors pass; anything else is a defect and must not be turned into an answer of one item. */
function asCryptoEdgeError(error: unknown): CryptoEdgeError {
  if (error instanceof CryptoEdgeError) return error;
  throw error;
}
