/** An orchestrator whose operations are timed and counted. Neither changes nor delays what it stands before. */
import { CryptoEdgeError } from "../../base/errors.ts";
import type { OperationLatency, TimedOperation } from "../telemetry/operation-latency.ts";
import type { MaybePromise, Orchestrator } from "./orchestrator.ts";
import { type Outcome, outcomeOf } from "./usage-recorder.ts";

/** Two readings of the clock take a tenth of a CreateKey: most operations that end at once are counted without. */
const NOT_TIMED = -1;

export function timed(orchestrator: Orchestrator, latency: OperationLatency): Orchestrator {
  /** Of one key: the hit path, so nothing is made here but where something is waited for. */
  function after<Result>(
    operation: TimedOperation,
    startMs: number,
    result: MaybePromise<Result>,
  ): MaybePromise<Result> {
    // What waits is timed always, from here if not before: what came until now took microseconds.
    if (result instanceof Promise)
      return waited(operation, startMs === NOT_TIMED ? performance.now() : startMs, 1, result);
    if (startMs === NOT_TIMED) latency.repeat(operation, "ok");
    else latency.observeAtOnce(operation, "ok", performance.now() - startMs);
    return result;
  }

  function failed(operation: TimedOperation, startMs: number, error: unknown): never {
    const outcome = outcomeOf(error);
    if (startMs === NOT_TIMED) latency.repeat(operation, outcome);
    else latency.observeAtOnce(operation, outcome, performance.now() - startMs);
    throw error;
  }

  function waited<Result>(
    operation: TimedOperation,
    startMs: number,
    keys: number,
    result: Promise<Result>,
  ): Promise<Result> {
    return result.then(
      (value) => ended(operation, startMs, keys, value),
      (error: unknown) => failedLater(operation, startMs, keys, error),
    );
  }

  function ended<Result>(operation: TimedOperation, startMs: number, keys: number, result: Result): Result {
    latency.observe(operation, "ok", performance.now() - startMs);
    if (operation === "decrypt_batch") countEach(result as readonly unknown[]);
    else latency.countKeys(operation, "ok", keys);
    return result;
  }

  function failedLater(operation: TimedOperation, startMs: number, keys: number, error: unknown): never {
    const outcome = outcomeOf(error);
    latency.observe(operation, outcome, performance.now() - startMs);
    latency.countKeys(operation, outcome, keys);
    throw error;
  }

  /** Each item of a decrypt-batch ends in its own way. */
  function countEach(results: readonly unknown[]): void {
    let opened = 0;
    for (const result of results) {
      if (result instanceof CryptoEdgeError) latency.countKeys("decrypt_batch", result.code, 1);
      else opened++;
    }
    latency.countKeys("decrypt_batch", "ok" satisfies Outcome, opened);
  }

  function batch<Result>(
    operation: TimedOperation,
    keys: number,
    run: () => MaybePromise<Result>,
  ): MaybePromise<Result> {
    const startMs = performance.now();
    try {
      const result = run();
      if (result instanceof Promise) return waited(operation, startMs, keys, result);
      return ended(operation, startMs, keys, result);
    } catch (error) {
      return failedLater(operation, startMs, keys, error);
    }
  }

  return {
    createKey(principal, request, requestId) {
      const startMs = latency.isDue("create") ? performance.now() : NOT_TIMED;
      let result: ReturnType<Orchestrator["createKey"]>;
      try {
        result = orchestrator.createKey(principal, request, requestId);
      } catch (error) {
        return failed("create", startMs, error);
      }
      return after("create", startMs, result);
    },
    createKeys: (principal, request, count, requestId) =>
      batch("create_batch", count, () => orchestrator.createKeys(principal, request, count, requestId)),
    decryptKey(principal, request, requestId) {
      const startMs = latency.isDue("decrypt") ? performance.now() : NOT_TIMED;
      let result: ReturnType<Orchestrator["decryptKey"]>;
      try {
        result = orchestrator.decryptKey(principal, request, requestId);
      } catch (error) {
        return failed("decrypt", startMs, error);
      }
      return after("decrypt", startMs, result);
    },
    decryptKeys: (principal, requests, requestId) =>
      batch("decrypt_batch", requests.length, () => orchestrator.decryptKeys(principal, requests, requestId)),
    rewrapKey(principal, request, requestId) {
      const startMs = latency.isDue("rewrap") ? performance.now() : NOT_TIMED;
      let result: ReturnType<Orchestrator["rewrapKey"]>;
      try {
        result = orchestrator.rewrapKey(principal, request, requestId);
      } catch (error) {
        return failed("rewrap", startMs, error);
      }
      return after("rewrap", startMs, result);
    },
  };
}
