/** An orchestrator whose operations are timed and counted. Neither changes nor delays what it stands before. */
import { CryptoEdgeError } from "../errors.ts";
import type { MaybePromise, Orchestrator } from "../orchestrator.ts";
import { type Outcome, outcomeOf } from "../usage/usage-recorder.ts";
import type { OperationLatency, TimedOperation } from "./operation-latency.ts";

/** Two readings of the clock take a tenth of a CreateKey: most operations that end at once are counted without. */
const NOT_TIMED = -1;

export function timed(orchestrator: Orchestrator, latency: OperationLatency): Orchestrator {
  function failed(operation: TimedOperation, startMs: number, keys: number, error: unknown): never {
    const outcome = outcomeOf(error);
    latency.observe(operation, outcome, startMs === NOT_TIMED ? 0 : performance.now() - startMs);
    latency.countKeys(operation, outcome, keys);
    throw error;
  }

  function ended<Result>(operation: TimedOperation, startMs: number, keys: number, result: Result): Result {
    if (startMs === NOT_TIMED) {
      latency.repeat(operation);
      return result;
    }
    latency.observe(operation, "ok", performance.now() - startMs);
    if (operation === "decrypt_batch") countEach(result as readonly unknown[]);
    else latency.countKeys(operation, "ok", keys);
    return result;
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

  function after<Result>(
    operation: TimedOperation,
    startMs: number,
    keys: number,
    result: MaybePromise<Result>,
  ): MaybePromise<Result> {
    return result instanceof Promise
      ? later(operation, startMs, keys, result)
      : ended(operation, startMs, keys, result);
  }

  /** Apart from `after`, which without a closure in it makes nothing on a hit. */
  function later<Result>(
    operation: TimedOperation,
    startMs: number,
    keys: number,
    result: Promise<Result>,
  ): Promise<Result> {
    // What waits is timed always, from here if not before: what came until now took microseconds.
    const sinceMs = startMs === NOT_TIMED ? performance.now() : startMs;
    return result.then(
      (value) => ended(operation, sinceMs, keys, value),
      (error: unknown) => failed(operation, sinceMs, keys, error),
    );
  }

  return {
    createKey(principal, request, requestId) {
      const startMs = latency.isDue("create") ? performance.now() : NOT_TIMED;
      let result: ReturnType<Orchestrator["createKey"]>;
      try {
        result = orchestrator.createKey(principal, request, requestId);
      } catch (error) {
        return failed("create", startMs, 1, error);
      }
      return after("create", startMs, 1, result);
    },
    createKeys(principal, request, count, requestId) {
      const startMs = performance.now();
      let result: ReturnType<Orchestrator["createKeys"]>;
      try {
        result = orchestrator.createKeys(principal, request, count, requestId);
      } catch (error) {
        return failed("create_batch", startMs, count, error);
      }
      return after("create_batch", startMs, count, result);
    },
    decryptKey(principal, request, requestId) {
      const startMs = latency.isDue("decrypt") ? performance.now() : NOT_TIMED;
      let result: ReturnType<Orchestrator["decryptKey"]>;
      try {
        result = orchestrator.decryptKey(principal, request, requestId);
      } catch (error) {
        return failed("decrypt", startMs, 1, error);
      }
      return after("decrypt", startMs, 1, result);
    },
    decryptKeys(principal, requests, requestId) {
      const startMs = performance.now();
      let result: ReturnType<Orchestrator["decryptKeys"]>;
      try {
        result = orchestrator.decryptKeys(principal, requests, requestId);
      } catch (error) {
        return failed("decrypt_batch", startMs, requests.length, error);
      }
      return after("decrypt_batch", startMs, requests.length, result);
    },
    rewrapKey(principal, request, requestId) {
      const startMs = latency.isDue("rewrap") ? performance.now() : NOT_TIMED;
      let result: ReturnType<Orchestrator["rewrapKey"]>;
      try {
        result = orchestrator.rewrapKey(principal, request, requestId);
      } catch (error) {
        return failed("rewrap", startMs, 1, error);
      }
      return after("rewrap", startMs, 1, result);
    },
  };
}
