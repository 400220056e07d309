/**
 * The orchestrator with hooks around each operation. Where no plugin brings hooks it is not there at all, so the path of a
 * request is exactly what it is without them.
 */
import type { AccessPolicy, Operation } from "../access/access-policy.ts";
import type { Principal } from "../access/principal.ts";
import { parseBlob, type WrappedKey } from "../cipher/blob.ts";
import { CryptoEdgeError, messageOf } from "../errors.ts";
import {
  type CreatedKey,
  type CreateKeyRequest,
  createOrchestrator,
  type MaybePromise,
  type Orchestrator,
  type OrchestratorParts,
} from "../orchestrator.ts";
import type { Outcome, RequestId } from "../usage/usage-recorder.ts";
import { wipe } from "../wipe.ts";
import type { HookPoint, HookRefusal, HookRunner } from "./hook-runner.ts";
import type { CreatedEvent, CreateEvent, DecryptEvent } from "./hooks.ts";

const OPERATION_POINTS: readonly HookPoint[] = [
  "beforeCreate",
  "afterCreate",
  "beforeDecrypt",
  "afterDecrypt",
  "onDenied",
];

/** The hooks are asked after the policy, so that who may not do a thing learns nothing from a hook either. */
const DECIDED_BEFORE: AccessPolicy = { authorize() {} };

interface Call {
  readonly principal: Principal;
  readonly operation: Operation;
  readonly tenant: string;
  readonly service: string;
  /** 0 until one is known. */
  readonly version: number;
  readonly count: number;
  readonly requestId: RequestId | undefined;
}

/** Makes an orchestrator whose operations `hooks` sees; the plain one where no hook is at any of its points. */
export function createHookedOrchestrator(parts: OrchestratorParts, hooks: HookRunner): Orchestrator {
  if (!OPERATION_POINTS.some((point) => hooks.has(point))) return createOrchestrator(parts);
  const { access, usage } = parts;
  const inner = createOrchestrator({ access: DECIDED_BEFORE, leases: parts.leases, usage: { record() {} } });

  /** Policy, hooks before, the operation, hooks after; then usage is told how it ended. */
  function perform<Result>(
    call: Call,
    before: () => MaybePromise<HookRefusal | undefined>,
    operate: () => MaybePromise<Result>,
    after: (result: Result) => MaybePromise<HookRefusal | undefined>,
    versionOf: (result: Result) => number,
    discard: (result: Result) => void,
  ): MaybePromise<Result> {
    const { principal, operation, tenant, service, count, requestId } = call;
    const ended = (result: Result): Result => {
      usage.record(principal, operation, "ok", tenant, service, versionOf(result), count, undefined, requestId);
      return result;
    };
    const failed = (error: unknown): never => {
      const outcome: Outcome = error instanceof CryptoEdgeError ? error.code : "internal_error";
      usage.record(principal, operation, outcome, tenant, service, call.version, count, messageOf(error), requestId);
      if (outcome === "access_denied" || outcome === "rate_limited" || outcome === "refused_by_hook") {
        if (hooks.has("onDenied")) {
          const event = { principal: observed(principal), operation, tenant, service, code: outcome } as const;
          hooks.tell("onDenied", Object.freeze(event));
        }
      }
      throw error;
    };
    const checked = (result: Result): MaybePromise<Result> => {
      const passed = (refusal: HookRefusal | undefined): Result => {
        if (refusal === undefined) return result;
        discard(result);
        throw refused(refusal);
      };
      const refusal = after(result);
      return refusal instanceof Promise ? refusal.then(passed) : passed(refusal);
    };
    const allowed = (refusal: HookRefusal | undefined): MaybePromise<Result> => {
      if (refusal !== undefined) throw refused(refusal);
      const result = operate();
      return result instanceof Promise ? result.then(checked) : checked(result);
    };
    try {
      access.authorize(principal, operation, tenant, service, count);
      const refusal = before();
      const result = refusal instanceof Promise ? refusal.then(allowed) : allowed(refusal);
      return result instanceof Promise ? result.then(ended, failed) : ended(result);
    } catch (error) {
      return failed(error);
    }
  }

  function create<Result>(
    principal: Principal,
    request: CreateKeyRequest,
    count: number,
    requestId: RequestId | undefined,
    operate: () => MaybePromise<Result>,
    keysOf: (result: Result) => readonly CreatedKey[],
  ): MaybePromise<Result> {
    const { tenant, service } = request;
    const event: CreateEvent = {
      operation: "create",
      principal: observed(principal),
      tenant,
      service,
      length: request.length ?? 32,
      count,
      plaintext: request.plaintext === true,
    };
    return perform(
      { principal, operation: "create", tenant, service, version: 0, count, requestId },
      () => (hooks.has("beforeCreate") ? hooks.ask("beforeCreate", Object.freeze(event)) : undefined),
      operate,
      (result) => {
        if (!hooks.has("afterCreate")) return undefined;
        const created: CreatedEvent = { ...event, version: keysOf(result)[0]?.version ?? 0 };
        return hooks.ask("afterCreate", Object.freeze(created));
      },
      (result) => keysOf(result)[0]?.version ?? 0,
      (result) => {
        for (const { plaintext } of keysOf(result)) if (plaintext !== undefined) wipe(plaintext);
      },
    );
  }

  function decrypt<Result>(
    principal: Principal,
    operation: "decrypt" | "rewrap",
    blob: Uint8Array,
    requestId: RequestId | undefined,
    operate: () => MaybePromise<Result>,
    versionOf: (result: Result) => number,
    discard: (result: Result) => void,
  ): MaybePromise<Result> {
    let wrapped: WrappedKey;
    try {
      wrapped = parseBlob(blob);
    } catch {
      // There is nothing to observe; the inner one says what is wrong with it.
      return operate();
    }
    const { tenant, service, version } = wrapped;
    const event: DecryptEvent = Object.freeze({ operation, principal: observed(principal), tenant, service, version });
    return perform(
      { principal, operation, tenant, service, version, count: 1, requestId },
      () => (hooks.has("beforeDecrypt") ? hooks.ask("beforeDecrypt", event) : undefined),
      operate,
      () => (hooks.has("afterDecrypt") ? hooks.ask("afterDecrypt", event) : undefined),
      versionOf,
      discard,
    );
  }

  return {
    // `decryptKeys` among them, which opens each item by `this.decryptKey`: the one below.
    ...inner,

    createKey(principal, request, requestId) {
      const operate = () => inner.createKey(principal, request, requestId);
      return create(principal, request, 1, requestId, operate, (key) => [key]);
    },

    createKeys(principal, request, count, requestId) {
      const operate = () => inner.createKeys(principal, request, count, requestId);
      return create(principal, request, count, requestId, operate, (keys) => keys);
    },

    decryptKey(principal, request, requestId) {
      const operate = () => inner.decryptKey(principal, request, requestId);
      return decrypt(
        principal,
        "decrypt",
        request.wrapped,
        requestId,
        operate,
        ({ version }) => version,
        ({ plaintext }) => wipe(plaintext),
      );
    },

    rewrapKey(principal, request, requestId) {
      const operate = () => inner.rewrapKey(principal, request, requestId);
      return decrypt(
        principal,
        "rewrap",
        request.wrapped,
        requestId,
        operate,
        ({ version }) => version,
        () => {},
      );
    },
  };
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
