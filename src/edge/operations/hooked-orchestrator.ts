/**
 * The orchestrator with hooks around each operation. Where no plugin brings hooks it is not there at all, so the path of a
 * request is exactly what it is without them.
 */

import { CryptoEdgeError, messageOf } from "../../base/errors.ts";
import { wipe } from "../../base/wipe.ts";
import type { AccessPolicy, Operation } from "../access/access-policy.ts";
import type { Principal } from "../access/principal.ts";
import { DATA_KEY_SUITE, type ParsedBlob, parseBlob } from "../cipher/blob.ts";
import type { HookPoint, HookRefusal, HookRunner } from "../plugin-host/hook-runner.ts";
import type { CreatedEvent, CreateEvent, DecryptEvent } from "../plugin-host/hooks.ts";
import {
  type CreatedKey,
  type CreateKeyRequest,
  createOrchestrator,
  type DecryptedKey,
  type DecryptKeyRequest,
  type MaybePromise,
  type Orchestrator,
  type OrchestratorParts,
  type RewrappedKey,
} from "./orchestrator.ts";
import { type OperationCall, outcomeOf, type RequestId } from "./usage-recorder.ts";

const OPERATION_POINTS: readonly HookPoint[] = [
  "beforeCreate",
  "afterCreate",
  "beforeDecrypt",
  "afterDecrypt",
  "onDenied",
];

/** The hooks are asked after the policy, so that who may not do a thing learns nothing from a hook either. */
const DECIDED_BEFORE: AccessPolicy = { authorize() {} };

/** One call in progress, and what the hooks are told of it. */
interface Call<Request, Event> extends OperationCall {
  readonly request: Request;
  /** Frozen. */
  readonly event: Event;
}

/** What the operations differ in; made once, so that a call makes no closure while hooks answer at once. */
interface Kind<Request, Event, Result> {
  ask(event: Event): MaybePromise<HookRefusal | undefined>;
  operate(call: Call<Request, Event>): MaybePromise<Result>;
  askAfter(event: Event, result: Result): MaybePromise<HookRefusal | undefined>;
  versionOf(result: Result): number;
  discard(result: Result): void;
}

/** Makes an orchestrator whose operations `hooks` sees; the plain one where no hook is at any of its points. */
export function createHookedOrchestrator(parts: OrchestratorParts, hooks: HookRunner): Orchestrator {
  if (!OPERATION_POINTS.some((point) => hooks.has(point))) return createOrchestrator(parts);
  const { access, usage } = parts;
  const inner = createOrchestrator({ access: DECIDED_BEFORE, leases: parts.leases, usage: { record() {} } });
  const asksAfterCreate = hooks.has("afterCreate");

  const createOne: Kind<CreateKeyRequest, CreateEvent, CreatedKey> = {
    ask: (event) => hooks.ask("beforeCreate", event),
    operate: ({ principal, request, requestId }) => inner.createKey(principal, request, requestId),
    askAfter: (event, { version }) => (asksAfterCreate ? askAfterCreate(event, version) : undefined),
    versionOf: ({ version }) => version,
    discard: wipePlaintext,
  };
  const createMany: Kind<CreateKeyRequest, CreateEvent, CreatedKey[]> = {
    ask: createOne.ask,
    operate: ({ principal, request, count, requestId }) => inner.createKeys(principal, request, count, requestId),
    askAfter: (event, keys) => (asksAfterCreate ? askAfterCreate(event, versionOfAll(keys)) : undefined),
    versionOf: versionOfAll,
    discard: (keys) => keys.forEach(wipePlaintext),
  };
  const decryptOne: Kind<DecryptKeyRequest, DecryptEvent, DecryptedKey> = {
    ask: (event) => hooks.ask("beforeDecrypt", event),
    operate: ({ principal, request, requestId }) => inner.decryptKey(principal, request, requestId),
    askAfter: (event) => hooks.ask("afterDecrypt", event),
    versionOf: ({ version }) => version,
    discard: wipePlaintext,
  };
  const rewrapOne: Kind<DecryptKeyRequest, DecryptEvent, RewrappedKey> = {
    ask: decryptOne.ask,
    operate: ({ principal, request, requestId }) => inner.rewrapKey(principal, request, requestId),
    askAfter: decryptOne.askAfter as () => MaybePromise<HookRefusal | undefined>,
    versionOf: ({ version }) => version,
    discard: () => {},
  };

  function askAfterCreate(event: CreateEvent, version: number): MaybePromise<HookRefusal | undefined> {
    const created: CreatedEvent = { ...event, version };
    return hooks.ask("afterCreate", Object.freeze(created));
  }

  /** Policy, hooks before, the operation, hooks after; then usage is told how it ended. */
  function perform<Request, Event, Result>(
    kind: Kind<Request, Event, Result>,
    call: Call<Request, Event>,
  ): MaybePromise<Result> {
    try {
      access.authorize(call.principal, call.operation, call.tenant, call.service, call.count);
      const refusal = kind.ask(call.event);
      const result =
        refusal instanceof Promise ? refusal.then((later) => operate(kind, call, later)) : operate(kind, call, refusal);
      if (!(result instanceof Promise)) return ended(kind, call, result);
      return result.then(
        (value) => ended(kind, call, value),
        (error: unknown) => failed(call, error),
      );
    } catch (error) {
      return failed(call, error);
    }
  }

  function operate<Request, Event, Result>(
    kind: Kind<Request, Event, Result>,
    call: Call<Request, Event>,
    refusal: HookRefusal | undefined,
  ): MaybePromise<Result> {
    if (refusal !== undefined) throw refused(refusal);
    const result = kind.operate(call);
    return result instanceof Promise ? result.then((value) => check(kind, call, value)) : check(kind, call, result);
  }

  function check<Request, Event, Result>(
    kind: Kind<Request, Event, Result>,
    call: Call<Request, Event>,
    result: Result,
  ): MaybePromise<Result> {
    const refusal = kind.askAfter(call.event, result);
    if (refusal === undefined) return result;
    if (refusal instanceof Promise) return refusal.then((later) => passed(kind, result, later));
    return passed(kind, result, refusal);
  }

  function ended<Request, Event, Result>(
    { versionOf }: Kind<Request, Event, Result>,
    call: Call<Request, Event>,
    result: Result,
  ): Result {
    usage.record(call, "ok", versionOf(result));
    return result;
  }

  function failed(call: OperationCall, error: unknown): never {
    const { principal, operation, tenant, service } = call;
    const outcome = outcomeOf(error);
    usage.record(call, outcome, call.version, messageOf(error));
    if (outcome === "access_denied" || outcome === "rate_limited" || outcome === "refused_by_hook") {
      const event = { principal: observed(principal), operation, tenant, service, code: outcome } as const;
      hooks.tell("onDenied", Object.freeze(event));
    }
    throw error;
  }

  function creating(
    principal: Principal,
    request: CreateKeyRequest,
    count: number,
    requestId: RequestId | undefined,
  ): Call<CreateKeyRequest, CreateEvent> {
    const { tenant, service } = request;
    const event: CreateEvent = Object.freeze({
      operation: "create",
      principal: observed(principal),
      tenant,
      service,
      length: request.length ?? 32,
      count,
      plaintext: request.plaintext === true,
    });
    return { principal, operation: "create", tenant, service, version: 0, count, requestId, request, event };
  }

  /** A blob that can't be read is recorded like any other failure; hooks have nothing to see of it. */
  function parsed(
    principal: Principal,
    operation: Operation,
    blob: Uint8Array,
    requestId: RequestId | undefined,
  ): ParsedBlob {
    try {
      return parseBlob(blob, operation === "rewrap" ? undefined : DATA_KEY_SUITE);
    } catch (error) {
      return failed({ principal, operation, tenant: "", service: "", version: 0, count: 1, requestId }, error);
    }
  }

  function opening(
    principal: Principal,
    operation: "decrypt" | "rewrap",
    request: DecryptKeyRequest,
    requestId: RequestId | undefined,
  ): Call<DecryptKeyRequest, DecryptEvent> {
    const { tenant, service, version } = parsed(principal, operation, request.wrapped, requestId);
    const event: DecryptEvent = Object.freeze({ operation, principal: observed(principal), tenant, service, version });
    return { principal, operation, tenant, service, version, count: 1, requestId, request, event };
  }

  return {
    // `decryptKeys` among them, which opens each item by `this.decryptKey`: the one below.
    ...inner,
    createKey: (principal, request, requestId) => perform(createOne, creating(principal, request, 1, requestId)),
    createKeys: (principal, request, count, requestId) =>
      perform(createMany, creating(principal, request, count, requestId)),
    decryptKey: (principal, request, requestId) =>
      perform(decryptOne, opening(principal, "decrypt", request, requestId)),
    rewrapKey: (principal, request, requestId) => perform(rewrapOne, opening(principal, "rewrap", request, requestId)),
  };
}

function passed<Request, Event, Result>(
  { discard }: Kind<Request, Event, Result>,
  result: Result,
  refusal: HookRefusal | undefined,
): Result {
  if (refusal === undefined) return result;
  discard(result);
  throw refused(refusal);
}

function wipePlaintext({ plaintext }: { readonly plaintext: Uint8Array | undefined }): void {
  if (plaintext !== undefined) wipe(plaintext);
}

function versionOfAll(keys: readonly CreatedKey[]): number {
  return keys[0]?.version ?? 0;
}

const OBSERVED = new WeakMap<Principal, Principal>();

/** A frozen copy: a principal is shared by every request of a listener, and a hook must not rename it. */
function observed(principal: Principal): Principal {
  let copy = OBSERVED.get(principal);
  if (copy === undefined) {
    copy = Object.freeze({ ...principal });
    OBSERVED.set(principal, copy);
  }
  return copy;
}

/** What the caller of a refused operation gets. */
export function refused({ hook, code, sentence }: HookRefusal): CryptoEdgeError {
  return new CryptoEdgeError("refused_by_hook", `${sentence} (${hook}: ${code})`);
}
