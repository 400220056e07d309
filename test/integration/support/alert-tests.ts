/** Histories of figures, and which alerts they must fire: for `promtool test rules` (https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/). */
import { CORE_ALERTS, EDGE_ALERTS } from "../../../scripts/monitoring/alerts.ts";

interface Drill {
  readonly alert: string;
  /** By series, in Prometheus's notation, a value a minute. */
  readonly series: Readonly<Record<string, string>>;
  /** Minutes at which it fires, and at which it does not. */
  readonly fires: readonly string[];
  readonly silent: readonly string[];
}

const LABELS = 'instance="a", job="crypto-edge"';
const CORE = 'instance="a", job="crypto-core"';
const count = (outcome: string): string =>
  `crypto_edge_operation_duration_seconds_count{${LABELS}, operation="create", outcome="${outcome}"}`;
const bucket = (le: string): string =>
  `crypto_edge_operation_duration_seconds_bucket{${LABELS}, operation="create", outcome="ok", le="${le}"}`;

export const DRILLS: readonly Drill[] = [
  { alert: "CryptoEdgeDown", series: { [`up{${LABELS}}`]: "1 1 0 0 0 0 1" }, fires: ["4m"], silent: ["1m", "6m"] },
  {
    alert: "CryptoEdgeServesNothing",
    series: { [`crypto_edge_ready{${LABELS}}`]: "1 1 0 0 0 1 1" },
    fires: ["4m"],
    silent: ["1m", "6m"],
  },
  {
    // An outage: the time runs out, the last lease goes and its figure with it, and it is no better then.
    alert: "CryptoEdgeAboutToServeNothing",
    series: {
      [`crypto_edge_lease_deadline_seconds{${LABELS}}`]: "300 240 180 110 50 stale stale stale stale 300",
      [`crypto_edge_leases_failing{${LABELS}}`]: "0 0 3 3 3 0 0 0 0 0",
      [`crypto_edge_ready{${LABELS}}`]: "1 1 1 1 1 0 0 0 0 1",
    },
    fires: ["3m", "4m", "5m", "6m", "8m"],
    silent: ["2m", "9m"],
  },
  {
    alert: "CryptoEdgeErrorBudgetBurnsFast",
    series: { [count("ok")]: "0+95x90", [count("lease_unavailable")]: "0+5x90" },
    fires: ["70m", "90m"],
    silent: [],
  },
  {
    // Callers' own mistakes burn nothing.
    alert: "CryptoEdgeErrorBudgetBurnsFast",
    series: { [count("ok")]: "0+50x90", [count("access_denied")]: "0+50x90" },
    fires: [],
    silent: ["70m", "90m"],
  },
  {
    alert: "CryptoEdgeErrorBudgetBurnsSlowly",
    series: { [count("ok")]: "0+990x400", [count("internal_error")]: "0+10x400" },
    fires: ["380m"],
    silent: [],
  },
  {
    alert: "CryptoEdgeLatencyBudgetBurnsFast",
    series: { [bucket("0.001")]: "0+80x90", [count("ok")]: "0+100x90" },
    fires: ["70m"],
    silent: [],
  },
  {
    alert: "CryptoEdgeLatencyBudgetBurnsFast",
    series: { [bucket("0.001")]: "0+995x90", [count("ok")]: "0+1000x90" },
    fires: [],
    silent: ["70m"],
  },
  {
    alert: "CryptoEdgeLatencyBudgetBurnsSlowly",
    series: { [bucket("0.001")]: "0+90x400", [count("ok")]: "0+100x400" },
    fires: ["380m"],
    silent: [],
  },
  {
    alert: "CryptoEdgeKeySourceFails",
    series: { [`crypto_edge_source_circuit{${LABELS}, state="open"}`]: "0 0 1 1 1 1 0 0" },
    fires: ["5m"],
    silent: ["1m", "7m"],
  },
  {
    alert: "CryptoEdgeRevocationsNotHeard",
    series: { [`crypto_edge_revocation_silence_seconds{${LABELS}}`]: "0 20 80 140 200 0" },
    fires: ["4m"],
    silent: ["1m", "5m"],
  },
  {
    alert: "CryptoEdgeRevocationTransportDown",
    series: { [`crypto_edge_revocation_connected{${LABELS}, transport="nats"}`]: "1 0 0 0 0 1" },
    fires: ["4m"],
    silent: ["2m", "5m"],
  },
  {
    alert: "CryptoEdgeForgedRevocations",
    series: {
      [`crypto_edge_revocation_dropped_events_total{${LABELS}, transport="nats", reason="signature"}`]: "0 0 2 2 2",
    },
    fires: ["3m"],
    silent: ["1m"],
  },
  {
    alert: "CryptoEdgeInternalError",
    series: { [count("internal_error")]: "0 0 1 1 1" },
    fires: ["3m"],
    silent: ["1m"],
  },
  {
    alert: "CryptoEdgeCertificateEnds",
    series: {
      [`crypto_edge_certificate_days_left{${LABELS}, role="listener", file="a.pem"}`]:
        "7.1 6.9 6.9 6.9 6.9 6.9 6.9 6.9 90",
    },
    fires: ["7m"],
    silent: ["0m", "8m"],
  },
  {
    alert: "CryptoEdgeCertificateEndsToday",
    series: {
      [`crypto_edge_certificate_days_left{${LABELS}, role="listener", file="a.pem"}`]:
        "2 0.5 0.5 0.5 0.5 0.5 0.5 -1 -1 90",
    },
    fires: ["7m", "8m"],
    silent: ["0m", "9m"],
  },
  {
    alert: "CryptoEdgeAuditLost",
    series: { [`crypto_edge_audit_sink_errors_total{${LABELS}, sink="log"}`]: "0 0 5 9 9" },
    fires: ["3m"],
    silent: ["1m"],
  },
  {
    alert: "CryptoEdgeUsageNotTaken",
    series: { [`crypto_edge_usage_oldest_seconds{${LABELS}}`]: "500 700 700 700 700 700 700 700 0" },
    fires: ["7m"],
    silent: ["0m", "8m"],
  },
  {
    alert: "CryptoEdgeKeysOnHeap",
    series: { [`crypto_edge_key_memory_keys{${LABELS}, kind="heap"}`]: "0 3 3 3 3 3 3 3" },
    fires: ["7m"],
    silent: ["0m"],
  },
  {
    alert: "CryptoEdgeLeasesMakeRoom",
    series: { [`crypto_edge_lease_ends_total{${LABELS}, reason="evicted"}`]: "0+120x20" },
    fires: ["15m"],
    silent: ["5m"],
  },
  { alert: "CryptoCoreDown", series: { [`up{${CORE}}`]: "1 0 0 0 1" }, fires: ["3m"], silent: ["0m", "4m"] },
  {
    alert: "CryptoCoreDatabaseAway",
    series: { [`crypto_core_database_up{${CORE}}`]: "1 0 0 0 1" },
    fires: ["3m"],
    silent: ["0m", "4m"],
  },
  {
    alert: "CryptoCoreDiskFull",
    series: { [`crypto_core_disk_full{${CORE}}`]: "0 1 1 0" },
    fires: ["1m"],
    silent: ["0m", "3m"],
  },
  {
    alert: "CryptoCoreCertificateEnds",
    series: { [`crypto_core_certificate_days_left{${CORE}}`]: "8 6 6 6 6 6 6 6 90" },
    fires: ["7m"],
    silent: ["0m", "8m"],
  },
  {
    alert: "CryptoCorePublishFails",
    series: { [`crypto_core_publish_failures_total{${CORE}}`]: "0 1 2 3 4 5 6 7 8 9" },
    fires: ["8m"],
    silent: ["1m"],
  },
  {
    alert: "CryptoCoreNoEdgeListens",
    series: { [`crypto_core_streams{${CORE}}`]: "3 0 0 0 0 0 0 0 3" },
    fires: ["7m"],
    silent: ["0m", "8m"],
  },
];

/** The file for promtool. Only which alerts fire is compared, not their texts. */
export function alertTests(rulesFile: string): object {
  const named = new Set([...EDGE_ALERTS, ...CORE_ALERTS].map(({ name }) => name));
  for (const { alert } of DRILLS) if (!named.has(alert)) throw new Error(`there is no alert ${alert}`);
  return {
    rule_files: [rulesFile],
    evaluation_interval: "1m",
    tests: DRILLS.map(({ alert, series, fires, silent }) => ({
      interval: "1m",
      input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
      promql_expr_test: [
        ...fires.map((at) => ({ expr: firing(alert), eval_time: at, exp_samples: [{ labels: "{}", value: 1 }] })),
        ...silent.map((at) => ({ expr: firing(alert), eval_time: at, exp_samples: [] })),
      ],
    })),
  };
}

/** 1 where the alert fires for any labels, nothing where it does not. */
function firing(alert: string): string {
  return `min(ALERTS{alertname="${alert}", alertstate="firing"})`;
}
