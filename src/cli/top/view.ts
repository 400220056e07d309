/** What `top` draws of an edge and of a Core: lines of text, from two looks. */
import { quantileBetween, type Sample, type Samples, sumOf } from "./samples.ts";

export interface Look {
  readonly atMs: number;
  readonly samples: Samples;
  readonly readiness: { readonly ready: boolean; readonly reasons?: readonly string[] };
}

const DURATION = "crypto_edge_operation_duration_seconds";

export function edgeView(now: Look, before: Look): string[] {
  const { samples } = now;
  const rate = rateBetween(now, before);
  const [build] = samples.get("crypto_edge_build_info") ?? [];
  const circuit =
    (samples.get("crypto_edge_source_circuit") ?? []).find(({ value }) => value === 1)?.labels.state ?? "?";
  const operations = namesOf(samples, `${DURATION}_count`, "operation");
  const outcomes = namesOf(samples, `${DURATION}_count`, "outcome").filter((outcome) => outcome !== "ok");
  return [
    `crypto-edge ${build?.labels.version ?? ""}   ${readinessText(now)}`,
    "",
    `operations  ${perSecond(rate(`${DURATION}_count`))}   keys ${perSecond(rate("crypto_edge_keys_total"))}   p50 ${time(quantileBetween(samples, before.samples, DURATION, 0.5))}   p99 ${time(quantileBetween(samples, before.samples, DURATION, 0.99))}`,
    ...operations.flatMap((operation) => {
      const each = rate(`${DURATION}_count`, (labels) => labels.operation === operation);
      return each === undefined || each === 0 ? [] : [`  ${operation.padEnd(16)} ${perSecond(each)}`];
    }),
    "",
    `leases      ${count(sumOf(samples, "crypto_edge_leases"))} held, ${count(sumOf(samples, "crypto_edge_leases_failing"))} not renewed, first ends in ${span(sumOf(samples, "crypto_edge_lease_deadline_seconds"))}`,
    `            hits ${perSecond(rate("crypto_edge_lease_hits_total"))}, misses ${perSecond(rate("crypto_edge_lease_misses_total"))}`,
    `source      circuit ${circuit}, calls ${perSecond(rate("crypto_edge_source_calls_total"))}, failed ${perSecond(rate("crypto_edge_source_call_failures_total"))}`,
    `revocation  silence ${span(sumOf(samples, "crypto_edge_revocation_silence_seconds"))}, event ${count(sumOf(samples, "crypto_edge_revocation_seq"))}, blocked ${count(sumOf(samples, "crypto_edge_revocation_blocked_scopes"))}`,
    ...(samples.get("crypto_edge_revocation_connected") ?? []).map(
      ({ labels, value }) => `  ${String(labels.transport).padEnd(16)} ${value === 1 ? "connected" : "NOT CONNECTED"}`,
    ),
    "",
    "refusals",
    ...lines(
      outcomes,
      (outcome) => rate(`${DURATION}_count`, (labels) => labels.outcome === outcome),
      (outcome) => sumOf(samples, `${DURATION}_count`, (labels) => labels.outcome === outcome),
    ),
    "",
    `memory ${bytes(sumOf(samples, "process_resident_memory_bytes"))}   event loop late by ${time(sumOf(samples, "crypto_edge_event_loop_delay_seconds"))}   CPU ${percent(rate("process_cpu_seconds_total"))}`,
  ];
}

export function coreView(now: Look, before: Look): string[] {
  const { samples } = now;
  const rate = rateBetween(now, before);
  const [info] = samples.get("crypto_core_info") ?? [];
  return [
    `crypto-edge Core ${info?.labels.version ?? ""}   ${readinessText(now)}`,
    "",
    `database    ${sumOf(samples, "crypto_core_database_up") === 1 ? "answers" : "AWAY"}${sumOf(samples, "crypto_core_disk_full") === 1 ? ", FULL" : ""}`,
    `leases      ${perSecond(rate("crypto_core_lease_calls_total"))}, refused ${perSecond(rate("crypto_core_lease_refusals_total"))}`,
    `events      newest ${count(sumOf(samples, "crypto_core_event_seq"))}, ${count(sumOf(samples, "crypto_core_streams"))} streams, unread ${bytes(sumOf(samples, "crypto_core_unsent_bytes"))}`,
    `usage       ${perSecond(rate("crypto_core_usage_batches_total"))} batches, refused ${perSecond(rate("crypto_core_usage_refused_total"))}`,
    `connections ${count(sumOf(samples, "crypto_core_connections"))}   administration ${perSecond(rate("crypto_core_admin_calls_total"))}`,
    `certificate ends in ${days(sumOf(samples, "crypto_core_certificate_days_left"))}`,
  ];
}

type Rate = (name: string, holds?: (labels: Sample["labels"]) => boolean) => number | undefined;

function rateBetween(now: Look, before: Look): Rate {
  const seconds = Math.max(0.001, (now.atMs - before.atMs) / 1_000);
  return (name, holds) => {
    const end = sumOf(now.samples, name, holds);
    if (end === undefined) return undefined;
    const begin = sumOf(before.samples, name, holds) ?? 0;
    // A counter that has begun anew: the process was restarted.
    return (end < begin ? end : end - begin) / seconds;
  };
}

function readinessText({ readiness }: Look): string {
  return readiness.ready ? "ready" : `NOT READY: ${(readiness.reasons ?? []).join(" ")}`;
}

function lines(
  names: readonly string[],
  rate: (name: string) => number | undefined,
  total: (name: string) => number | undefined,
): string[] {
  const shown = names.filter((name) => (total(name) ?? 0) > 0);
  if (shown.length === 0) return ["  none"];
  return shown.map((name) => `  ${name.padEnd(20)} ${perSecond(rate(name)).padEnd(12)} ${count(total(name))} in all`);
}

function namesOf(samples: Samples, name: string, label: string): string[] {
  return [...new Set((samples.get(name) ?? []).map(({ labels }) => labels[label] ?? ""))].sort();
}

const NOTHING = "–";

function perSecond(rate: number | undefined): string {
  return rate === undefined ? NOTHING : `${rate >= 10 ? Math.round(rate).toLocaleString("en") : rate.toFixed(1)}/s`;
}

function count(value: number | undefined): string {
  return value === undefined ? NOTHING : Math.round(value).toLocaleString("en");
}

/** Of seconds that are few. */
function time(seconds: number | undefined): string {
  if (seconds === undefined) return NOTHING;
  if (seconds === Number.POSITIVE_INFINITY) return "> 10 ms";
  return seconds < 0.001 ? `${Math.round(seconds * 1e6)} µs` : `${(seconds * 1e3).toFixed(1)} ms`;
}

function span(seconds: number | undefined): string {
  if (seconds === undefined) return NOTHING;
  return seconds < 120 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

function days(value: number | undefined): string {
  return value === undefined ? NOTHING : `${value.toFixed(1)} days`;
}

function bytes(value: number | undefined): string {
  return value === undefined ? NOTHING : `${(value / 1024 / 1024).toFixed(1)} MiB`;
}

function percent(share: number | undefined): string {
  return share === undefined ? NOTHING : `${Math.round(share * 100)} %`;
}
