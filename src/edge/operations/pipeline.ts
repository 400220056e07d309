/**
 * The pipeline that every operation of every front door runs through, in this order: read, authorize, hooks, lease, cipher, hooks,
 * record. There is no other way to a key.
 *
 * While the lease is held and no hook answers later, an operation ends at once: no promise, no closure, nothing allocated beside
 * what it gives.
 */
import { messageOf, OperationError } from "../../base/errors.ts";
import type { AccessPolicy } from "../access/access-policy.ts";
import type { LeaseCache } from "../cache/lease-cache.ts";
import { type EncryptionContext, encodeContext } from "../cipher/context.ts";
import * as kinds from "./kinds.ts";
import { type AnyRequest, BATCH_MAX, type Kind, type Subject } from "./kinds.ts";
import type { OperationHooks } from "./operation-hooks.ts";
import type {
  Caller,
  EncryptValueRequest,
  MaybePromise,
  OpenRequest,
  Operations,
  ServiceKeyName,
  TakeResult,
} from "./operations.ts";
import { type Outcome, outcomeOf, type RecordedKind, type Recorder } from "./recorder.ts";
import { checkReservedNames } from "./reserved-names.ts";
import { runEach } from "./slices.ts";

export interface PipelineParts {
  readonly access: AccessPolicy;
  readonly leases: LeaseCache;
  readonly recorder: Recorder;
  /** How long plaintexts of a service key may be kept, in whole seconds; undefined: not at all. */
  readonly cacheSeconds?: ((caller: Caller, name: ServiceKeyName) => number) | undefined;
  /** Undefined where no plugin listens. */
  readonly hooks?: OperationHooks | undefined;
}

/** Of a blob that can't be read, nothing is known. */
const UNREADABLE: Subject = { tenant: "", service: "", version: 0 };

const COLON = 0x3a;

/** An item of a batch is recorded by itself, but not timed. */
const NOT_TIMED = -1;

const DECRYPT_KEYS = { ...kinds.decryptKey, name: "decrypt_batch" } as const;
const DECRYPT_VALUES = { ...kinds.decryptValue, name: "decrypt_batch" } as const;
const REWRAP_MANY = { ...kinds.rewrap, name: "rewrap_batch" } as const;
const ENCRYPT_VALUES = { ...kinds.encrypt, name: "encrypt_batch" } as const;

export function createOperations(parts: PipelineParts): Operations {
  const pipeline = new Pipeline(parts);
  return {
    createKey: (caller, request) => pipeline.run(kinds.create, caller, request),
    createKeys: (caller, request, count) => pipeline.run(kinds.createBatch, caller, request, checkCount(count)),
    decryptKey: (caller, request) => pipeline.run(kinds.decryptKey, caller, request),
    decryptKeys: (caller, requests, take) => pipeline.runMany(DECRYPT_KEYS, caller, requests, take, blobBytes),
    rewrap: (caller, request) => pipeline.run(kinds.rewrap, caller, request),
    rewrapMany: (caller, requests, take) => pipeline.runMany(REWRAP_MANY, caller, requests, take, blobBytes),
    encryptValue: (caller, request) => pipeline.run(kinds.encrypt, caller, request),
    encryptValues: (caller, requests, take) => pipeline.runMany(ENCRYPT_VALUES, caller, requests, take, valueBytes),
    decryptValue: (caller, request) => pipeline.run(kinds.decryptValue, caller, request),
    decryptValues: (caller, requests, take) => pipeline.runMany(DECRYPT_VALUES, caller, requests, take, blobBytes),
    open: (caller, request) => pipeline.run(kinds.open, caller, request),
    describeKey: (caller, name) => pipeline.run(kinds.describe, caller, name),
    cacheSeconds: parts.cacheSeconds ?? (() => 0),
    namedServices: ({ principal }, tenant) => parts.access.namedServices(principal, tenant),
  };
}

class Pipeline {
  readonly #access: AccessPolicy;
  readonly #leases: LeaseCache;
  readonly #recorder: Recorder;
  readonly #hooks: OperationHooks | undefined;

  constructor({ access, leases, recorder, hooks }: PipelineParts) {
    this.#access = access;
    this.#leases = leases;
    this.#recorder = recorder;
    this.#hooks = hooks;
  }

  /** One call under one decision: an operation on one key or value, or `count` keys under one service key. */
  run<Request extends AnyRequest, Read extends Subject, Result>(
    kind: Kind<Request, Read, Result>,
    caller: Caller,
    request: Request,
    count = 1,
  ): MaybePromise<Result> {
    // It throws or rejects with its error: only an item gives it.
    return this.#one(kind, caller, request, count, this.#recorder.now()) as MaybePromise<Result>;
  }

  /** A batch whose items are judged and recorded each by itself, and timed as a whole. */
  runMany<Request extends AnyRequest, Read extends Subject, Result>(
    kind: Kind<Request, Read, Result>,
    caller: Caller,
    requests: readonly Request[],
    take: TakeResult<Result>,
    bytesOf: (request: Request) => number,
  ): MaybePromise<void> {
    checkCount(requests.length);
    const startMs = this.#recorder.now();
    const took = (outcome: Outcome): void => this.#recorder.took(kind, caller, outcome, this.#recorder.now() - startMs);
    const one = (request: Request): MaybePromise<Result | OperationError> =>
      this.#one(kind, caller, request, 1, NOT_TIMED);
    return settle(
      () => runEach(requests, bytesOf, one, take, kind.discard),
      () => took("ok"),
      (error) => {
        took(outcomeOf(error));
        throw error;
      },
    );
  }

  /** Of an item of a batch (`NOT_TIMED`) the error is given as a value, else thrown. */
  #one<Request extends AnyRequest, Read extends Subject, Result>(
    kind: Kind<Request, Read, Result>,
    caller: Caller,
    request: Request,
    count: number,
    startMs: number,
  ): MaybePromise<Result | OperationError> {
    let subject: Subject = UNREADABLE;
    let failure: unknown;
    try {
      const read = kind.read(request);
      if (read instanceof OperationError) failure = read;
      else {
        subject = read;
        this.#authorize(kind, caller, read, count);
        const context = contextOf(caller, request.context);
        const hooks = this.#hooks;
        const result =
          hooks === undefined || kind.hooked === undefined
            ? kind.perform(this.#leases, read, context, count)
            : this.#performHooked(hooks, kind, caller, read, context, count);
        // Closures are made for a promise alone: a hit has none.
        if (result instanceof Promise) return this.#later(kind, caller, read, count, startMs, result);
        return this.#ended(kind, caller, read, count, startMs, result);
      }
    } catch (error) {
      failure = error;
    }
    return this.#failed(kind, caller, subject, count, startMs, failure);
  }

  #authorize(kind: RecordedKind, { principal }: Caller, { tenant, service }: Subject, count: number): void {
    const { operation } = kind;
    if (operation === "describe") this.#access.authorizeAny(principal, tenant, service);
    else this.#access.authorize(principal, operation, tenant, service, count);
  }

  #performHooked<Request extends AnyRequest, Read extends Subject, Result>(
    hooks: OperationHooks,
    kind: Kind<Request, Read, Result>,
    caller: Caller,
    read: Read,
    context: Uint8Array,
    count: number,
  ): MaybePromise<Result> {
    const { tenant, service, version = 0 } = read;
    const event = hooks.event({ caller, tenant, service, version, count, ...kind.hooked!(read) });
    const perform = (): MaybePromise<Result> => {
      const result = kind.perform(this.#leases, read, context, count);
      return result instanceof Promise ? result.then(check) : check(result);
    };
    const check = (result: Result): MaybePromise<Result> =>
      settle(
        () => hooks.after(event, kind.versionOf(result)),
        () => result,
        (error) => {
          kind.discard(result);
          throw error;
        },
      );
    const before = hooks.before(event);
    return before instanceof Promise ? before.then(perform) : perform();
  }

  #later<Request extends AnyRequest, Read extends Subject, Result>(
    kind: Kind<Request, Read, Result>,
    caller: Caller,
    read: Read,
    count: number,
    startMs: number,
    result: Promise<Result>,
  ): Promise<Result | OperationError> {
    const traceId = this.#recorder.waits?.(kind, caller);
    return result.then(
      (value) => this.#ended(kind, caller, read, count, startMs, value, traceId),
      (error: unknown) => this.#failed(kind, caller, read, count, startMs, error, traceId),
    );
  }

  #ended<Request extends AnyRequest, Read extends Subject, Result>(
    kind: Kind<Request, Read, Result>,
    caller: Caller,
    read: Read,
    count: number,
    startMs: number,
    result: Result,
    traceId?: string,
  ): Result {
    const recorder = this.#recorder;
    recorder.record(kind, caller, read, kind.versionOf(result), count, "ok");
    if (startMs !== NOT_TIMED) recorder.took(kind, caller, "ok", recorder.now() - startMs, traceId);
    return result;
  }

  #failed(
    kind: RecordedKind,
    caller: Caller,
    subject: Subject,
    count: number,
    startMs: number,
    error: unknown,
    traceId?: string,
  ): OperationError {
    const recorder = this.#recorder;
    const outcome = outcomeOf(error);
    recorder.record(kind, caller, subject, subject.version ?? 0, count, outcome, messageOf(error));
    if (startMs !== NOT_TIMED) recorder.took(kind, caller, outcome, recorder.now() - startMs, traceId);
    if (outcome === "access_denied" || outcome === "rate_limited" || outcome === "refused_by_hook") {
      this.#hooks?.denied(caller, kind.operation, subject, outcome);
    }
    if (startMs === NOT_TIMED && error instanceof OperationError) return error;
    throw error;
  }
}

/** Goes on with what `run` gives or throws, now or later. */
function settle<From, To>(
  run: () => MaybePromise<From>,
  ended: (value: From) => To,
  failed: (error: unknown) => To,
): MaybePromise<To> {
  let value: MaybePromise<From>;
  try {
    value = run();
  } catch (error) {
    return failed(error);
  }
  return value instanceof Promise ? value.then(ended, failed) : ended(value);
}

function contextOf({ door }: Caller, context: EncryptionContext | undefined): Uint8Array {
  const encoded = encodeContext(context);
  // A reserved name has a colon: to look for one in the encoding takes a tenth of looking at each name.
  if (context !== undefined && encoded.includes(COLON)) checkReservedNames(context, door);
  return encoded;
}

function checkCount(count: number): number {
  if (Number.isInteger(count) && count >= 1 && count <= BATCH_MAX) return count;
  throw new OperationError("invalid_request", `A batch has 1 to ${BATCH_MAX} items. Ask for fewer at a time.`);
}

/** About the work of encoding one entry, in bytes that are encrypted. */
const CONTEXT_ENTRY_BYTES = 256;

function blobBytes({ wrapped, context }: OpenRequest): number {
  return wrapped.length + contextBytes(context);
}

function valueBytes({ value, context }: EncryptValueRequest): number {
  return value.length + contextBytes(context);
}

function contextBytes(context: EncryptionContext | undefined): number {
  let entries = 0;
  if (typeof context === "object") for (const _ in context) entries++;
  return entries * CONTEXT_ENTRY_BYTES;
}
