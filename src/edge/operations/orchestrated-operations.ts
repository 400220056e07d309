/** The port of operations over the orchestrator, until the pipeline stands in its place. */
import { CryptoEdgeError } from "../../base/errors.ts";
import type { Operations, Rewrapped } from "./operations.ts";
import type { Orchestrator } from "./orchestrator.ts";

export function orchestratedOperations(orchestrator: Orchestrator): Operations {
  const missing = (): never => {
    throw new CryptoEdgeError("invalid_request", "This edge does not serve values.");
  };
  const rewrap: Operations["rewrap"] = ({ principal, requestId }, request) => {
    const show = (made: Omit<Rewrapped, "wasActive">): Rewrapped => ({ ...made, wasActive: false });
    const made = orchestrator.rewrapKey(principal, request, requestId);
    return made instanceof Promise ? made.then(show) : show(made);
  };
  return {
    createKey: ({ principal, requestId }, request) => orchestrator.createKey(principal, request, requestId),
    createKeys: ({ principal, requestId }, request, count) =>
      orchestrator.createKeys(principal, request, count, requestId),
    decryptKey: ({ principal, requestId }, request) => orchestrator.decryptKey(principal, request, requestId),
    decryptKeys: ({ principal, requestId }, requests) => orchestrator.decryptKeys(principal, requests, requestId),
    rewrap,
    rewrapMany: missing,
    encryptValue: missing,
    encryptValues: missing,
    decryptValue: missing,
    decryptValues: missing,
    open: ({ principal, requestId }, request) => orchestrator.decryptKey(principal, request, requestId),
    describeKey: missing,
  };
}
