/** What hooks see of operations: the pipeline's port over the runner. */
import { OperationError } from "../../base/errors.ts";
import type { Principal } from "../access/principal.ts";
import type { HookedOperation, OperationHooks } from "../operations/operation-hooks.ts";
import type { MaybePromise } from "../operations/operations.ts";
import type { HookPoint, HookRefusal, HookRunner } from "./hook-runner.ts";
import type { CreateEvent, DecryptEvent, DeniedEvent, EncryptEvent } from "./hooks.ts";

const OPERATION_POINTS: readonly HookPoint[] = [
  "beforeCreate",
  "afterCreate",
  "beforeEncrypt",
  "afterEncrypt",
  "beforeDecrypt",
  "afterDecrypt",
  "onDenied",
];

type OperationEvent = CreateEvent | EncryptEvent | DecryptEvent;

/** The hooks around operations; undefined where none is at any of their points. */
export function createOperationHooks(runner: HookRunner): OperationHooks | undefined {
  if (!OPERATION_POINTS.some((point) => runner.has(point))) return undefined;
  const asksAfterCreate = runner.has("afterCreate");
  const asksAfterEncrypt = runner.has("afterEncrypt");

  const hooks: OperationHooks<OperationEvent> = {
    event: (operation) => Object.freeze(eventOf(operation)),

    before(event) {
      if (event.operation === "create") return passed(runner.ask("beforeCreate", event));
      if (event.operation === "encrypt") return passed(runner.ask("beforeEncrypt", event));
      return passed(runner.ask("beforeDecrypt", event));
    },

    after(event, version) {
      if (event.operation === "create") {
        return asksAfterCreate ? passed(runner.ask("afterCreate", Object.freeze({ ...event, version }))) : undefined;
      }
      if (event.operation === "encrypt") {
        return asksAfterEncrypt ? passed(runner.ask("afterEncrypt", Object.freeze({ ...event, version }))) : undefined;
      }
      return passed(runner.ask("afterDecrypt", event));
    },

    denied({ principal, door }, operation, { tenant, service }, code) {
      const event = { principal: observed(principal), door, operation, tenant, service, code } as DeniedEvent;
      runner.tell("onDenied", Object.freeze(event));
    },
  };
  return hooks as OperationHooks;
}

function eventOf(operation: HookedOperation): OperationEvent {
  const { caller, tenant, service, version, length, count, plaintext, content } = operation;
  const who = { principal: observed(caller.principal), door: caller.door, tenant, service };
  switch (operation.operation) {
    case "create":
      return { operation: "create", ...who, length, count, plaintext };
    case "encrypt":
      return { operation: "encrypt", ...who, length };
    default:
      return { operation: operation.operation, ...who, version, content };
  }
}

/** @throws or rejects with {OperationError} `refused_by_hook`, the hook's own code and sentence in its message */
function passed(answer: MaybePromise<HookRefusal | undefined>): MaybePromise<void> {
  if (answer instanceof Promise) return answer.then(check);
  check(answer);
}

function check(refusal: HookRefusal | undefined): void {
  if (refusal === undefined) return;
  const { hook, code, sentence } = refusal;
  throw new OperationError("refused_by_hook", `${sentence} (${hook}: ${code})`);
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
