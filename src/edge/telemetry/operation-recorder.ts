/** The recorder of the edge's operations: usage and audit of what was done, metrics of how long it took. */
import type { Recorder } from "../operations/recorder.ts";
import type { OperationLatency } from "./operation-latency.ts";

/** Counts and audit of what has ended: `Usage`. */
export type UsageRecorder = Pick<Recorder, "record">;

/** `tracing`: who is told of operations that wait. */
export function createRecorder(
  usage: UsageRecorder,
  latency: OperationLatency,
  tracing?: { waits: NonNullable<Recorder["waits"]> },
): Recorder {
  return {
    now: () => performance.now(),
    record(kind, caller, key, version, count, outcome, reason) {
      latency.countKeys(caller.door, kind.name, outcome, count);
      usage.record(kind, caller, key, version, count, outcome, reason);
    },
    waits: tracing && ((kind, caller) => tracing.waits(kind, caller)),
    took: (kind, caller, outcome, durationMs, traceId) =>
      latency.observe(caller.door, kind.name, outcome, durationMs, traceId),
  };
}
