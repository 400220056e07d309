/** Operations on a real cipher under leases that the test holds back, with every record, duration and hook noted. */
import { OperationError } from "../../../src/base/errors.ts";
import type { LeaseCache, LeasedVersion } from "../../../src/edge/cache/lease-cache.ts";
import type { HookedOperation, OperationHooks } from "../../../src/edge/operations/operation-hooks.ts";
import type { Caller, MaybePromise, Operations } from "../../../src/edge/operations/operations.ts";
import { createOperations, type PipelineParts } from "../../../src/edge/operations/pipeline.ts";
import { nodeCipher } from "../../support/ciphers.ts";

export const CALLER: Caller = { principal: { kind: "listener", name: "local" }, door: "native", requestId: undefined };
export const NAME = { tenant: "tenant-a", service: "billing" } as const;

/** What each call of a hook does: nothing, throws at once, or rejects later. */
export interface HookPlan {
  before?: () => MaybePromise<void>;
  after?: () => MaybePromise<void>;
}

export class NotingHooks implements OperationHooks<HookedOperation> {
  readonly events: HookedOperation[] = [];
  readonly calls: string[] = [];
  readonly plan: HookPlan = {};
  event(operation: HookedOperation): HookedOperation {
    this.events.push(operation);
    return operation;
  }
  before(): MaybePromise<void> {
    this.calls.push("before");
    return this.plan.before?.();
  }
  after(_event: HookedOperation, version: number): MaybePromise<void> {
    this.calls.push(`after v${version}`);
    return this.plan.after?.();
  }
  denied(...[, operation, { service }, outcome]: Parameters<OperationHooks["denied"]>): void {
    this.calls.push(`denied ${operation} ${service} ${outcome}`);
  }
}

export const refusal = (): OperationError => new OperationError("refused_by_hook", "A hook has refused it.");

export interface World {
  readonly operations: Operations;
  readonly hooks: NotingHooks;
  /** Every plaintext that the cipher has given, to look whether it was wiped. */
  readonly plaintexts: Uint8Array[];
  readonly recorded: string[];
  readonly tookMs: number[];
  /** The operations that had to wait, as the recorder was told. */
  readonly waited: string[];
  /** The version that wraps; the next lookups reject with `fail`, or answer later. */
  readonly lease: { active: number; later: boolean; fail: Error | undefined };
}

export function createWorld(parts: Partial<PipelineParts> = {}): World {
  const plaintexts: Uint8Array[] = [];
  const recorded: string[] = [];
  const tookMs: number[] = [];
  const waited: string[] = [];
  const lease: World["lease"] = { active: 1, later: false, fail: undefined };
  const hooks = new NotingHooks();
  const find = (version: number): LeasedVersion => {
    const identity = { ...NAME, version };
    const serviceKey = new Uint8Array(32).fill(version);
    const session = nodeCipher().begin(identity, { use: (reader) => reader(serviceKey) });
    return {
      ...identity,
      state: "active",
      session: {
        createKey(length, context, plaintext) {
          if (plaintext !== undefined) plaintexts.push(plaintext);
          return session.createKey(length, context, plaintext);
        },
        createKeyTo: (length, context, isTold, take) =>
          session.createKeyTo(length, context, isTold, (blob, dataKey) => {
            if (dataKey !== undefined) plaintexts.push(dataKey);
            take(blob, dataKey);
          }),
        wrap: (...given) => session.wrap(...given),
        unwrap(...given) {
          const plaintext = session.unwrap(...given);
          plaintexts.push(plaintext);
          return plaintext;
        },
        wipe: () => session.wipe(),
      },
    };
  };
  const held = (version: number): LeasedVersion | Promise<LeasedVersion> => {
    const { later, fail } = lease;
    if (!later && fail !== undefined) throw fail;
    if (!later) return find(version);
    return Promise.resolve().then(() => {
      if (fail !== undefined) throw fail;
      return find(version);
    });
  };
  const leases: LeaseCache = {
    active: () => held(lease.active),
    version: (_tenant, _service, version) => (lease.fail === undefined ? held(version) : find(version)),
    versions: () => [{ version: 1, state: "active" }],
    close() {},
  };
  let nowMs = 100;
  const operations = createOperations({
    access: {
      authorize() {},
      authorizeAny() {},
      namedServices: () => ["billing"],
    } as unknown as PipelineParts["access"],
    leases,
    hooks,
    recorder: {
      now: () => (nowMs += 7),
      record: ({ operation }, _caller, _key, version, count, outcome, reason) =>
        void recorded.push(`${operation} ${outcome} v${version} x${count}${reason === undefined ? "" : `: ${reason}`}`),
      waits: ({ name }) => void waited.push(name),
      took: ({ name }, _caller, outcome, durationMs) => {
        recorded.push(`took ${name} ${outcome}`);
        tookMs.push(durationMs);
      },
    },
    ...parts,
  });
  return { operations, hooks, plaintexts, recorded, tookMs, waited, lease };
}

export const isWiped = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);
