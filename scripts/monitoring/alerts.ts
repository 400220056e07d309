/** The alerts, once: deploy/prometheus/rules.yaml, the table of docs/operations.md and the tests are made from them. */

export interface Alert {
  /** In CamelCase, as Prometheus has it. */
  readonly name: string;
  /** For the table: when it fires. */
  readonly when: string;
  readonly expression: string;
  readonly for: string;
  readonly severity: "page" | "ticket";
  /** What to do, one sentence; a link in Markdown may be in it. */
  readonly advice: string;
}

/** Outcomes that the edge, and not its caller, answers for. */
const OWN_FAILURES = 'outcome=~"lease_unavailable|internal_error"';
const DURATION = "crypto_edge_operation_duration_seconds";
/** ADR-604: an application sees 99.9 % of its calls answered, and 99 % of them within a millisecond. */
const failures = (window: string): string =>
  `(sum by (instance, job) (rate(${DURATION}_count{${OWN_FAILURES}}[${window}])) / sum by (instance, job) (rate(${DURATION}_count[${window}])))`;
/** Of the operations on one key that a held lease answered: a cold one waits for its key source, and is no slowness of the edge. */
const SINGLE = 'operation=~"create|decrypt|rewrap|encrypt",outcome="ok"';
const slow = (window: string): string =>
  `(1 - sum by (instance, job) (rate(${DURATION}_bucket{${SINGLE},le="0.001"}[${window}])) / sum by (instance, job) (rate(${DURATION}_count{${SINGLE}}[${window}])))`;

export const EDGE_ALERTS: readonly Alert[] = [
  {
    name: "CryptoEdgeDown",
    when: "an edge can't be scraped",
    expression: 'up{job=~".*crypto-edge.*"} == 0',
    for: "1m",
    severity: "page",
    advice: "is the process running? `journalctl --unit crypto-edge`",
  },
  {
    name: "CryptoEdgeServesNothing",
    when: "an edge is not ready: its next callers are refused",
    expression: "crypto_edge_ready == 0",
    for: "30s",
    severity: "page",
    advice: "`crypto-edge status` says why; see [lease_unavailable](#what-to-do-for-each-error)",
  },
  {
    name: "CryptoEdgeAboutToServeNothing",
    when: "leases run out within two minutes and can't be renewed",
    // The time to the deadline is absent once no lease is left: then the edge is not ready, which is no better.
    expression:
      "(crypto_edge_lease_deadline_seconds < 120 and crypto_edge_leases_failing > 0) or (crypto_edge_ready == 0)",
    for: "0s",
    severity: "page",
    advice: "the key source has been away for minutes: look at the Core, then at the network",
  },
  {
    name: "CryptoEdgeErrorBudgetBurnsFast",
    when: "more than 1.4 % of calls fail by the edge's own fault, over 5 minutes and an hour",
    expression: `${failures("5m")} > 14.4 * 0.001 and ${failures("1h")} > 14.4 * 0.001`,
    for: "0s",
    severity: "page",
    advice: "see the outcome in the table of errors; at this rate a month's budget is gone in two days",
  },
  {
    name: "CryptoEdgeErrorBudgetBurnsSlowly",
    when: "more than 0.6 % of calls fail by the edge's own fault, over 30 minutes and six hours",
    expression: `${failures("30m")} > 6 * 0.001 and ${failures("6h")} > 6 * 0.001`,
    for: "0s",
    severity: "ticket",
    advice: "the same, with more time",
  },
  {
    name: "CryptoEdgeLatencyBudgetBurnsFast",
    when: "more than 14 % of calls take over a millisecond, over 5 minutes and an hour",
    expression: `${slow("5m")} > 14.4 * 0.01 and ${slow("1h")} > 14.4 * 0.01`,
    for: "0s",
    severity: "page",
    advice: "look at CPU, `crypto_edge_event_loop_delay_seconds`, and misses (`crypto_edge_lease_misses_total`)",
  },
  {
    name: "CryptoEdgeLatencyBudgetBurnsSlowly",
    when: "more than 6 % of calls take over a millisecond, over 30 minutes and six hours",
    expression: `${slow("30m")} > 6 * 0.01 and ${slow("6h")} > 6 * 0.01`,
    for: "0s",
    severity: "ticket",
    advice: "the same, with more time",
  },
  {
    name: "CryptoEdgeKeySourceFails",
    when: "a fifth of the calls to the key source fail, or it is left alone",
    expression:
      '(rate(crypto_edge_source_call_failures_total[5m]) > 0.2 * rate(crypto_edge_source_calls_total[5m])) or on (instance, job) (crypto_edge_source_circuit{state="open"} == 1)',
    for: "1m",
    severity: "ticket",
    advice: "look at the Core, then at the network; hits go on until the leases' deadline",
  },
  {
    name: "CryptoEdgeRevocationsNotHeard",
    when: "no revocation transport is heard",
    expression: "crypto_edge_revocation_silence_seconds > 30",
    for: "30s",
    severity: "page",
    advice: "the edge renews leases early meanwhile, or stops, as configured; look at the transports",
  },
  {
    name: "CryptoEdgeRevocationTransportDown",
    when: "one transport is down",
    expression: "crypto_edge_revocation_connected == 0",
    for: "2m",
    severity: "ticket",
    advice: "look at that broker or the Core; the others carry on",
  },
  {
    name: "CryptoEdgeForgedRevocations",
    when: "somebody sends events that are not the Core's",
    expression: "increase(crypto_edge_revocation_dropped_events_total[10m]) > 0",
    for: "0s",
    severity: "page",
    advice: "look at who may publish at the broker",
  },
  {
    name: "CryptoEdgeInternalError",
    when: "the edge itself fails",
    expression: `increase(${DURATION}_count{outcome="internal_error"}[10m]) > 0`,
    for: "0s",
    severity: "ticket",
    advice: "a defect: report it with the log line",
  },
  {
    name: "CryptoEdgeCertificateEnds",
    when: "a certificate ends within a week, or has ended",
    expression: "crypto_edge_certificate_days_left < 7",
    for: "5m",
    severity: "ticket",
    advice: "replace the file (`crypto-edge pki renew`, or whatever issues it): it is taken up by itself",
  },
  {
    name: "CryptoEdgeCertificateEndsToday",
    when: "a certificate ends within a day, or has ended",
    expression: "crypto_edge_certificate_days_left < 1",
    for: "5m",
    severity: "page",
    advice: "the same, now",
  },
  {
    name: "CryptoEdgeAuditLost",
    when: "the audit loses lines, or can't be written",
    expression:
      "(increase(crypto_edge_audit_dropped_events_total[10m]) > 0) or (increase(crypto_edge_audit_sink_errors_total[10m]) > 0)",
    for: "0s",
    severity: "page",
    advice: "make room on the disk; look at the sink; the chain shows what is missing",
  },
  {
    name: "CryptoEdgeUsageNotTaken",
    when: "the Core does not take usage",
    expression: "crypto_edge_usage_oldest_seconds > 600",
    for: "5m",
    severity: "ticket",
    advice: "nothing counted is lost; audit lines beyond `usage.max_audit_lines` are",
  },
  {
    name: "CryptoEdgeKeysOnHeap",
    when: "keys are in ordinary memory",
    expression: 'crypto_edge_key_memory_keys{kind="heap"} > 0',
    for: "5m",
    severity: "ticket",
    advice: "raise `LimitMEMLOCK`, or take a kernel with memfd_secret; the log says which",
  },
  {
    name: "CryptoEdgeLeasesMakeRoom",
    when: "leases make room for each other",
    expression: 'rate(crypto_edge_lease_ends_total{reason="evicted"}[5m]) > 1',
    for: "10m",
    severity: "ticket",
    advice: "raise `cache.max_leases`",
  },
];

export const CORE_ALERTS: readonly Alert[] = [
  {
    name: "CryptoCoreDown",
    when: "a Core can't be scraped",
    expression: 'up{job=~".*crypto-core.*"} == 0',
    for: "1m",
    severity: "page",
    advice: "edges serve on until their leases end; start it, or another Core over the same database",
  },
  {
    name: "CryptoCoreDatabaseAway",
    when: "a Core's database does not answer",
    expression: "crypto_core_database_up == 0",
    for: "30s",
    severity: "page",
    advice: "no lease is granted and no event told meanwhile; look at the database",
  },
  {
    name: "CryptoCoreDiskFull",
    when: "a Core takes no usage for want of room",
    expression: "crypto_core_disk_full == 1",
    for: "0s",
    severity: "page",
    advice: "revocations still have their reserved room; make more",
  },
  {
    name: "CryptoCoreCertificateEnds",
    when: "the Core's certificate ends within a week, or has ended",
    expression: "crypto_core_certificate_days_left < 7",
    for: "5m",
    severity: "ticket",
    advice: "replace the file: it is taken up by itself",
  },
  {
    name: "CryptoCorePublishFails",
    when: "events don't reach a message broker",
    expression: "increase(crypto_core_publish_failures_total[10m]) > 0",
    for: "5m",
    severity: "ticket",
    advice: "edges hear them from the Core's own stream meanwhile; look at the broker",
  },
  {
    name: "CryptoCoreNoEdgeListens",
    when: "no edge listens to the Core's events",
    expression: "sum by (job) (crypto_core_streams) == 0",
    for: "5m",
    severity: "ticket",
    advice: "are the edges running, and do they reach the Core?",
  },
];
