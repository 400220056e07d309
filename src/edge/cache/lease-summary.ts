import type { CircuitState } from "../../base/time/circuit-breaker.ts";
import type { LeaseLifecycle } from "./lease-lifecycle.ts";
import type { LeaseTable } from "./lease-table.ts";
import type { SourceCalls } from "./source-calls.ts";

/** For metrics, status and readiness. */
export interface LeaseCacheSummary {
  readonly leases: number;
  /** To the first hard deadline; undefined when nothing is held. */
  readonly shortestRemainingMs: number | undefined;
  /** Leases whose last renewal failed. */
  readonly failing: number;
  readonly circuit: CircuitState;
  readonly callsInFlight: number;
  readonly callsWaiting: number;
  /** Calls made to the source, and how many of them failed. */
  readonly calls: number;
  readonly callFailures: number;
  readonly refusalsRemembered: number;
}

export function summarize(
  table: LeaseTable,
  lifecycle: LeaseLifecycle,
  nowMs: number,
  calls: SourceCalls,
  refusalsRemembered: number,
): LeaseCacheSummary {
  let shortestRemainingMs: number | undefined;
  let failing = 0;
  for (const lease of table.order) {
    const remainingMs = lifecycle.remainingMs(lease, nowMs);
    shortestRemainingMs = Math.min(shortestRemainingMs ?? remainingMs, remainingMs);
    if (lease.failures > 0) failing++;
  }
  return {
    leases: table.order.size,
    shortestRemainingMs,
    failing,
    circuit: calls.state,
    callsInFlight: calls.inFlight,
    callsWaiting: calls.waiting,
    calls: calls.calls,
    callFailures: calls.failures,
    refusalsRemembered,
  };
}
