/**
 * What each operation does once it is allowed: the lease, then the cipher (ADR-602). While the lease is held all of it is
 * synchronous and the result is a value; only a miss makes a promise.
 */
import { OperationError } from "../../base/errors.ts";
import { wipe } from "../../base/wipe.ts";
import type { LeaseCache, LeasedVersion } from "../cache/lease-cache.ts";
import { DATA_KEY_SUITE, type ParsedBlob, readBlob, VALUE_LENGTH_MAX, VALUE_SUITE } from "../cipher/blob.ts";
import type { EncryptionContext } from "../cipher/context.ts";
import { makeInSlices, makeKey } from "./create-keys.ts";
import type { HookedOperation } from "./operation-hooks.ts";
import type {
  CreatedKey,
  CreatedKeys,
  CreateKeyRequest,
  CreateKeysRequest,
  EncryptedValue,
  EncryptValueRequest,
  KeyDescription,
  MaybePromise,
  Opened,
  OpenRequest,
  Rewrapped,
  ServiceKeyName,
} from "./operations.ts";
import type { RecordedKind } from "./recorder.ts";

/** What an operation is about: a service key, and the version that a blob is under. */
export interface Subject extends ServiceKeyName {
  readonly version?: number | undefined;
}

/** Whatever an operation is asked, it may have a context. */
export interface AnyRequest extends Partial<ServiceKeyName> {
  readonly context?: EncryptionContext | undefined;
}

type HookedFacts = Pick<HookedOperation, "operation" | "length" | "plaintext" | "content">;

/** One operation: what it reads, does and gives. Made once, so that a call makes no closure. */
export interface Kind<Request extends AnyRequest, Read extends Subject, Result> extends RecordedKind {
  /** Gives what is wrong with the request, `invalid_blob` or `invalid_request`, as a value. */
  read(request: Request): Read | OperationError;
  perform(leases: LeaseCache, read: Read, context: Uint8Array, count: number): MaybePromise<Result>;
  versionOf(result: Result): number;
  /** Wipes what the caller will not get. */
  discard(result: Result): void;
  /** What hooks may know, beside who and which key; undefined for what they are not asked about. */
  readonly hooked?: (read: Read) => HookedFacts;
}

/** Keys or values of one batch. */
export const BATCH_MAX = 10_000;

// Each of these is one function for all kinds: what the heap holds of code is paid for at each collection.
const same = <Request>(request: Request): Request => request;
const versionOf = ({ version }: { readonly version: number }): number => version;
const nothing = (): void => undefined;

export const create: Kind<CreateKeyRequest, CreateKeyRequest, CreatedKey> = {
  name: "create",
  operation: "create",
  read: same,
  perform(leases, request, context) {
    const leased = leases.active(request.tenant, request.service);
    return leased instanceof Promise
      ? leased.then((fetched) => makeKey(fetched, request, context))
      : makeKey(leased, request, context);
  },
  versionOf,
  discard: wipePlaintext,
  hooked: hookedCreation,
};

export const createBatch: Kind<CreateKeysRequest, CreateKeysRequest, CreatedKeys> = {
  name: "create_batch",
  operation: "create",
  read: same,
  perform(leases, request, context, count) {
    const leased = leases.active(request.tenant, request.service);
    return leased instanceof Promise
      ? leased.then((fetched) => makeInSlices(leases, fetched, request, context, count))
      : makeInSlices(leases, leased, request, context, count);
  },
  versionOf,
  discard: nothing,
  hooked: hookedCreation,
};

export const encrypt: Kind<EncryptValueRequest, EncryptValueRequest, EncryptedValue> = {
  name: "encrypt",
  operation: "encrypt",
  read(request) {
    const { length } = request.value;
    if (length >= 1 && length <= VALUE_LENGTH_MAX) return request;
    return new OperationError(
      "invalid_request",
      `A value has 1 to ${VALUE_LENGTH_MAX} bytes; this one has ${length}. Encrypt longer data under a data key (createKey).`,
    );
  },
  perform(leases, request, context) {
    const leased = leases.active(request.tenant, request.service);
    return leased instanceof Promise
      ? leased.then((fetched) => encryptUnder(fetched, request, context))
      : encryptUnder(leased, request, context);
  },
  versionOf,
  discard: nothing,
  hooked: ({ value }) => ({ operation: "encrypt", length: value.length, plaintext: false, content: "value" }),
};

const opening = {
  operation: "decrypt",
  perform(leases, blob, context) {
    const leased = leases.version(blob.tenant, blob.service, blob.version);
    return leased instanceof Promise
      ? leased.then((fetched) => openUnder(fetched, blob, context))
      : openUnder(leased, blob, context);
  },
  versionOf,
  discard: wipePlaintext,
  hooked: (blob) => hookedBlob(blob, "decrypt"),
} satisfies Partial<Kind<OpenRequest, ParsedBlob, Opened>>;

export const decryptKey: Kind<OpenRequest, ParsedBlob, Opened> = {
  ...opening,
  name: "decrypt",
  read: ({ wrapped }) => readBlob(wrapped, DATA_KEY_SUITE),
};

export const decryptValue: Kind<OpenRequest, ParsedBlob, Opened> = {
  ...opening,
  name: "decrypt",
  read: ({ wrapped }) => readBlob(wrapped, VALUE_SUITE),
};

export const open: Kind<OpenRequest, ParsedBlob, Opened> = {
  ...opening,
  name: "decrypt",
  read: ({ wrapped }) => readBlob(wrapped),
};

export const rewrap: Kind<OpenRequest, ParsedBlob, Rewrapped> = {
  name: "rewrap",
  operation: "rewrap",
  read: open.read,
  perform(leases, blob, context) {
    const leased = leases.version(blob.tenant, blob.service, blob.version);
    return leased instanceof Promise
      ? leased.then((fetched) => rewrapFrom(leases, fetched, blob, context))
      : rewrapFrom(leases, leased, blob, context);
  },
  versionOf,
  discard: nothing,
  hooked: (blob) => hookedBlob(blob, "rewrap"),
};

export const describe: Kind<ServiceKeyName, ServiceKeyName, KeyDescription> = {
  name: "describe",
  operation: "describe",
  read: same,
  perform(leases, { tenant, service }) {
    const leased = leases.active(tenant, service);
    const held = ({ version }: LeasedVersion): KeyDescription => ({
      tenant,
      service,
      version,
      versions: leases.versions(tenant, service),
    });
    return leased instanceof Promise ? leased.then(held) : held(leased);
  },
  versionOf,
  discard: nothing,
};

function encryptUnder(leased: LeasedVersion, { value }: EncryptValueRequest, context: Uint8Array): EncryptedValue {
  return { wrapped: leased.session.wrap(value, context, VALUE_SUITE), version: leased.version };
}

function openUnder(leased: LeasedVersion, blob: ParsedBlob, context: Uint8Array): Opened {
  const plaintext = leased.session.unwrap(blob, context);
  return { plaintext, tenant: blob.tenant, service: blob.service, version: blob.version };
}

/** Opens under the version of the blob and wraps under the active one, which may have to be fetched. */
function rewrapFrom(
  leases: LeaseCache,
  old: LeasedVersion,
  blob: ParsedBlob,
  context: Uint8Array,
): MaybePromise<Rewrapped> {
  const plaintext = old.session.unwrap(blob, context);
  let active: LeasedVersion | Promise<LeasedVersion>;
  try {
    active = leases.active(blob.tenant, blob.service);
    if (!(active instanceof Promise)) return rewrapUnder(active, blob, plaintext, context);
  } catch (error) {
    wipe(plaintext);
    throw error;
  }
  return active.then((fetched) => rewrapUnder(fetched, blob, plaintext, context)).finally(() => wipe(plaintext));
}

/** Wipes the plaintext, come what may. */
function rewrapUnder(active: LeasedVersion, blob: ParsedBlob, plaintext: Uint8Array, context: Uint8Array): Rewrapped {
  try {
    const wrapped = active.session.wrap(plaintext, context, blob.suite);
    const { tenant, service, version } = blob;
    return { wrapped, tenant, service, version: active.version, wasActive: version === active.version };
  } finally {
    wipe(plaintext);
  }
}

function hookedCreation({ length = 32, plaintext = false }: CreateKeyRequest): HookedFacts {
  return { operation: "create", length, plaintext, content: "data_key" };
}

function hookedBlob(blob: ParsedBlob, operation: "decrypt" | "rewrap"): HookedFacts {
  return { operation, length: 0, plaintext: false, content: blob.suite === VALUE_SUITE ? "value" : "data_key" };
}

function wipePlaintext({ plaintext }: { readonly plaintext: Uint8Array | undefined }): void {
  if (plaintext !== undefined) wipe(plaintext);
}
