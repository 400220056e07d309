/**
 * CreateKey, DecryptKey, RewrapKey and their batches: ADR-602, readable in one sitting.
 *
 * Each operation is: may this principal do this, the lease, the cipher, the answer. While the lease is held, all of it is
 * synchronous and the result is a value; only a miss makes a promise. Nothing is stored: the application keeps the blob.
 */
import type { AccessPolicy, Operation } from "./access/access-policy.ts";
import type { Principal } from "./access/principal.ts";
import type { LeaseCache, LeasedVersion } from "./cache/lease-cache.ts";
import { type DataKeyLength, parseBlob, type WrappedKey } from "./cipher/blob.ts";
import { type EncryptionContext, encodeContext } from "./cipher/context.ts";
import { CryptoEdgeError, messageOf } from "./errors.ts";
import type { Outcome, UsageRecorder } from "./usage/usage-recorder.ts";
import { wipe } from "./wipe.ts";

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
  createKey(principal: Principal, request: CreateKeyRequest, requestId?: string): MaybePromise<CreatedKey>;
  /** Makes `count` (1 to 10,000) data keys under one version. @throws {CryptoEdgeError} */
  createKeys(
    principal: Principal,
    request: CreateKeyRequest,
    count: number,
    requestId?: string,
  ): MaybePromise<CreatedKey[]>;
  /** Opens a wrapped key. @throws {CryptoEdgeError} */
  decryptKey(principal: Principal, request: DecryptKeyRequest, requestId?: string): MaybePromise<DecryptedKey>;
  /** Opens each item, judged by itself: a key or its own error, in the order asked. */
  decryptKeys(
    principal: Principal,
    requests: readonly DecryptKeyRequest[],
    requestId?: string,
  ): MaybePromise<(DecryptedKey | CryptoEdgeError)[]>;
  /** Wraps the same data key under the active version; it is never shown. @throws {CryptoEdgeError} */
  rewrapKey(principal: Principal, request: DecryptKeyRequest, requestId?: string): MaybePromise<RewrappedKey>;
}

export const BATCH_MAX = 10_000;

export interface OrchestratorParts {
  readonly access: AccessPolicy;
  readonly leases: LeaseCache;
  readonly usage: UsageRecorder;
}

export function createOrchestrator({ access, leases, usage }: OrchestratorParts): Orchestrator {
  /** Runs one operation and records how it ended, whether it ends now or later. */
  function recorded<T extends { version: number }>(
    principal: Principal,
    operation: Operation,
    tenant: string,
    service: string,
    version: number,
    count: number,
    requestId: string | undefined,
    run: () => MaybePromise<T>,
  ): MaybePromise<T> {
    const ended = (result: T): T => {
      usage.record(principal, operation, "ok", tenant, service, result.version, count, undefined, requestId);
      return result;
    };
    const failed = (error: unknown): never => {
      usage.record(
        principal,
        operation,
        outcomeOf(error),
        tenant,
        service,
        version,
        count,
        messageOf(error),
        requestId,
      );
      throw error;
    };
    try {
      const result = run();
      return result instanceof Promise ? result.then(ended, failed) : ended(result);
    } catch (error) {
      return failed(error);
    }
  }

  /** `use` on the leased version: at once on a hit, after the fetch on a miss. */
  function withVersion<T>(
    leased: MaybePromise<LeasedVersion>,
    use: (leased: LeasedVersion) => MaybePromise<T>,
  ): MaybePromise<T> {
    return leased instanceof Promise ? leased.then(use) : use(leased);
  }

  function makeKey(leased: LeasedVersion, length: DataKeyLength, context: Uint8Array, plaintext: boolean): CreatedKey {
    const dataKey = new Uint8Array(length);
    crypto.getRandomValues(dataKey);
    const wrapped = leased.session.wrap(dataKey, context);
    if (!plaintext) wipe(dataKey);
    return { wrapped, version: leased.version, plaintext: plaintext ? dataKey : undefined };
  }

  function open(principal: Principal, operation: Operation, wrapped: WrappedKey): MaybePromise<LeasedVersion> {
    access.authorize(principal, operation, wrapped.tenant, wrapped.service);
    return leases.version(wrapped.tenant, wrapped.service, wrapped.version);
  }

  return {
    createKey(principal, request, requestId) {
      const { tenant, service } = request;
      return recorded(principal, "create", tenant, service, 0, 1, requestId, () => {
        access.authorize(principal, "create", tenant, service);
        const context = encodeContext(request.context);
        return withVersion(leases.active(tenant, service), (leased) =>
          makeKey(leased, request.length ?? 32, context, request.plaintext ?? false),
        );
      });
    },

    createKeys(principal, request, count, requestId) {
      const { tenant, service } = request;
      const batch = recorded(principal, "create", tenant, service, 0, count, requestId, () => {
        access.authorize(principal, "create", tenant, service, count);
        const context = encodeContext(request.context);
        return withVersion(leases.active(tenant, service), (leased) => {
          const keys = new Array<CreatedKey>(count);
          for (let index = 0; index < count; index++) {
            keys[index] = makeKey(leased, request.length ?? 32, context, request.plaintext ?? false);
          }
          return { version: leased.version, keys };
        });
      });
      return batch instanceof Promise ? batch.then(({ keys }) => keys) : batch.keys;
    },

    decryptKey(principal, request, requestId) {
      const wrapped = parseBlob(request.wrapped);
      const { tenant, service, version } = wrapped;
      return recorded(principal, "decrypt", tenant, service, version, 1, requestId, () => {
        const context = encodeContext(request.context);
        return withVersion(open(principal, "decrypt", wrapped), (leased) => ({
          plaintext: leased.session.unwrap(wrapped, context),
          tenant,
          service,
          version,
        }));
      });
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

    rewrapKey(principal, request, requestId) {
      const wrapped = parseBlob(request.wrapped);
      const { tenant, service } = wrapped;
      return recorded(principal, "rewrap", tenant, service, wrapped.version, 1, requestId, () => {
        const context = encodeContext(request.context);
        return withVersion(open(principal, "rewrap", wrapped), (old) => {
          const dataKey = old.session.unwrap(wrapped, context);
          const rewrap = (active: LeasedVersion): RewrappedKey => {
            try {
              return { wrapped: active.session.wrap(dataKey, context), tenant, service, version: active.version };
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
            return active instanceof Promise ? active.then(rewrap, abandon) : rewrap(active);
          } catch (error) {
            return abandon(error);
          }
        });
      });
    },
  };
}

/** Expected errors pass; anything else is a defect and must not be turned into an answer of one item. */
function asCryptoEdgeError(error: unknown): CryptoEdgeError {
  if (error instanceof CryptoEdgeError) return error;
  throw error;
}

function outcomeOf(error: unknown): Outcome {
  return error instanceof CryptoEdgeError ? error.code : "internal_error";
}
