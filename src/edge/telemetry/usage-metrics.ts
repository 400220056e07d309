/** Of usage counts and of the audit. */
import type { UsageStatus } from "../usage/usage.ts";
import { figuresOf, MS_IN_SECONDS, metric } from "./define-metric.ts";
import type { MetricDefinition, Sample } from "./metrics.ts";

export function usageMetrics(usage: () => UsageStatus): MetricDefinition[] {
  const kept = figuresOf(usage);
  const core = figuresOf(() => usage().core);
  return [
    metric("usage_rows", "gauge", "Usage counts kept apart (principal, tenant, service, version).", kept("rows")),
    metric(
      "usage_merged_rows_total",
      "counter",
      "Counts merged into a principal's `*` row for want of room.",
      kept("mergedRows"),
    ),
    metric(
      "usage_waiting_records",
      "gauge",
      "Usage records in batches that the Core has not taken.",
      core("waitingRecords"),
    ),
    metric("usage_waiting_audit_lines", "gauge", "Audit lines that wait for a batch.", core("waitingLines")),
    metric(
      "usage_oldest_seconds",
      "gauge",
      "Age of the oldest count that the Core has not taken.",
      core("oldestMs", MS_IN_SECONDS),
    ),
    metric("usage_batches_total", "counter", "Batches that the Core took.", core("sentBatches")),
    metric("usage_records_total", "counter", "Usage records that the Core took.", core("sentRecords")),
    metric("usage_retries_total", "counter", "Batches tried again.", core("retries")),
    metric(
      "usage_refused_records_total",
      "counter",
      "Usage records that the Core refused for good: lost.",
      core("refusedRecords"),
    ),
    metric(
      "audit_dropped_events_total",
      "counter",
      "Audit events lost for want of room, by where they were to go.",
      () => {
        const { audit, core: toCore, sinks } = usage();
        const samples: Sample[] = sinks.map(({ name, dropped }) => ({ labels: { sink: name }, value: dropped }));
        if (toCore !== undefined) samples.push({ labels: { sink: "core" }, value: toCore.droppedLines });
        if (audit !== undefined) samples.push({ labels: { sink: "log" }, value: audit.dropped });
        return samples;
      },
      { sink: "`core`, `log` (file and standard output), `otlp`, the names of plugins' sinks" },
    ),
    metric(
      "audit_sink_errors_total",
      "counter",
      "Failed writes, by sink.",
      () => {
        const { audit, sinks } = usage();
        const samples: Sample[] = sinks.map(({ name, errors }) => ({ labels: { sink: name }, value: errors }));
        if (audit !== undefined) samples.push({ labels: { sink: "log" }, value: audit.errors });
        return samples;
      },
      { sink: "`log` (file and standard output), `otlp`, the names of plugins' sinks" },
    ),
    metric("audit_seq", "gauge", "The number of the newest audit line.", () => usage().audit?.seq),
  ];
}
