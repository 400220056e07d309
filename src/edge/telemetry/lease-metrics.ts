/** Of leases, and of the calls to the key source that bring them. */
import type { LeaseCounters } from "../cache/lease-events.ts";
import type { LeaseCacheSummary } from "../cache/lease-summary.ts";
import { figuresOf, MS_IN_SECONDS, metric } from "./define-metric.ts";
import type { MetricDefinition } from "./metrics.ts";

export interface LeaseFigures {
  readonly counters: Readonly<LeaseCounters>;
  summary(): LeaseCacheSummary;
}

export function leaseMetrics(leases: LeaseFigures): MetricDefinition[] {
  const { counters } = leases;
  const held = figuresOf(() => leases.summary());
  const counted = figuresOf(() => counters);
  return [
    metric("leases", "gauge", "Leases held.", held("leases")),
    metric("leases_failing", "gauge", "Leases whose last renewal failed.", held("failing")),
    metric(
      "lease_deadline_seconds",
      "gauge",
      "Time to the first hard deadline; absent while no lease is held.",
      held("shortestRemainingMs", MS_IN_SECONDS),
    ),
    metric("lease_hits_total", "counter", "Keys answered from a lease held.", counted("hits")),
    metric("lease_misses_total", "counter", "Keys that had to wait for the source.", counted("misses")),
    metric(
      "lease_refusals_total",
      "counter",
      "Keys refused from memory: not found, revoked, or silence.",
      counted("refusals"),
    ),
    metric("lease_installs_total", "counter", "Leases installed where none was held.", counted("installed")),
    metric(
      "lease_renewals_total",
      "counter",
      "Renewals in the background.",
      () => [
        { labels: { outcome: "ok" }, value: counters.renewed },
        { labels: { outcome: "failed" }, value: counters.renewalFailures },
      ],
      { outcome: "`ok`, `failed`" },
    ),
    metric(
      "lease_ends_total",
      "counter",
      "Leases that ended, by why: hard deadline, room for others, the source's refusal, all dropped for safety.",
      () => [
        { labels: { reason: "expired" }, value: counters.expired },
        { labels: { reason: "evicted" }, value: counters.evicted },
        { labels: { reason: "withdrawn" }, value: counters.withdrawn },
        { labels: { reason: "dropped" }, value: counters.dropped },
      ],
      { reason: "`expired`, `evicted`, `withdrawn`, `dropped`" },
    ),
    metric("lease_revoked_versions_total", "counter", "Versions wiped by a revocation.", counted("revokedVersions")),
    metric(
      "lease_stale_grants_total",
      "counter",
      "Answers of the source thrown away since a revocation overtook them.",
      counted("staleGrants"),
    ),
    metric(
      "clock_jumps_total",
      "counter",
      "Times that the wall clock jumped, or the machine slept.",
      counted("clockJumps"),
    ),
  ];
}

export function sourceMetrics(leases: LeaseFigures): MetricDefinition[] {
  const held = figuresOf(() => leases.summary());
  return [
    metric("source_calls_total", "counter", "Calls to the key source that ended or are under way.", held("calls")),
    metric("source_call_failures_total", "counter", "Of these, the failed ones.", held("callFailures")),
    metric("source_calls_in_flight", "gauge", "Calls under way.", held("callsInFlight")),
    metric("source_calls_waiting", "gauge", "Calls that wait for their turn.", held("callsWaiting")),
    metric(
      "source_circuit",
      "gauge",
      "1 for the state that the circuit breaker before the source is in.",
      () => {
        const { circuit } = leases.summary();
        return ["closed", "half_open", "open"].map((state) => ({
          labels: { state },
          value: Number(state === circuit),
        }));
      },
      { state: "`closed`, `half_open`, `open`" },
    ),
  ];
}
