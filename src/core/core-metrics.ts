/** A Core's metrics in Prometheus's text form. docs/core.md lists them; the list is made from here. */
import { VERSION } from "../base/version.ts";
import type { WatchedCore } from "./watch-listener.ts";

export interface CoreMetric {
  readonly name: string;
  readonly type: "counter" | "gauge";
  readonly help: string;
  read(watched: WatchedCore): number | readonly { readonly labels: Readonly<Record<string, string>>; value: number }[];
}

const DAY_MS = 86_400_000;

export const CORE_METRICS: readonly CoreMetric[] = [
  {
    name: "crypto_core_info",
    type: "gauge",
    help: "1, with the version.",
    read: () => [{ labels: { version: VERSION }, value: 1 }],
  },
  {
    name: "crypto_core_database_up",
    type: "gauge",
    help: "1 while the database answers and this Core may go on with it, else 0: no lease is granted and no event told then.",
    read: ({ core }) => (core.health.away === undefined && core.health.unfit === undefined ? 1 : 0),
  },
  {
    name: "crypto_core_disk_full",
    type: "gauge",
    help: "1 while the disk is full: with SQLite, while the room kept for revocations is in use.",
    read: ({ core }) => (core.health.full === undefined ? 0 : 1),
  },
  {
    name: "crypto_core_database_notifications_up",
    type: "gauge",
    help: "1 while the database tells at once what other Cores commit, else 0: it is heard of up to a second late then.",
    read: ({ core }) => (core.health.late === undefined ? 1 : 0),
  },
  {
    name: "crypto_core_event_seq",
    type: "gauge",
    help: "The newest event that this Core has told. It differs between Cores of one database for milliseconds only.",
    read: ({ core }) => core.lastSeq,
  },
  {
    name: "crypto_core_lease_calls_total",
    type: "counter",
    help: "Lease calls.",
    read: ({ core }) => core.counters.leaseCalls,
  },
  {
    name: "crypto_core_lease_refusals_total",
    type: "counter",
    help: "Lease calls that were not granted, whatever the reason.",
    read: ({ core }) => core.counters.leaseRefusals,
  },
  {
    name: "crypto_core_usage_batches_total",
    type: "counter",
    help: "Batches of usage that were taken.",
    read: ({ core }) => core.counters.usageBatches,
  },
  {
    name: "crypto_core_usage_duplicates_total",
    type: "counter",
    help: "Of them, those that had been counted before.",
    read: ({ core }) => core.counters.usageDuplicates,
  },
  {
    name: "crypto_core_usage_refused_total",
    type: "counter",
    help: "Records of tenants and services that the edge may not lease.",
    read: ({ core }) => core.counters.usageRefused,
  },
  {
    name: "crypto_core_admin_calls_total",
    type: "counter",
    help: "Calls of administrators.",
    read: ({ core }) => core.counters.adminCalls,
  },
  {
    name: "crypto_core_publish_failures_total",
    type: "counter",
    help: "Events and heartbeats that a message broker did not take.",
    read: ({ core }) => core.counters.publishFailures,
  },
  {
    name: "crypto_core_streams",
    type: "gauge",
    help: "Event streams of edges that are open.",
    read: ({ core }) => core.counters.streams,
  },
  {
    name: "crypto_core_unsent_bytes",
    type: "gauge",
    help: "What streams were given and have not taken yet.",
    read: ({ core }) => core.counters.unsentBytes,
  },
  {
    name: "crypto_core_connections",
    type: "gauge",
    help: "Connections of edges and administrators.",
    read: ({ core }) => core.counters.connections,
  },
  {
    name: "crypto_core_certificate_days_left",
    type: "gauge",
    help: "Days until a certificate or revocation list that is in use ends; of a chain or a bundle the one that ends first.",
    read: ({ expiry, clock }) =>
      expiry.ends().map(({ role, file, notAfterMs }) => ({
        labels: { role, file },
        value: (notAfterMs - clock.wallMs()) / DAY_MS,
      })),
  },
];

export function coreMetrics(watched: WatchedCore): string {
  const lines: string[] = [];
  for (const { name, type, help, read } of CORE_METRICS) {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    const values = read(watched);
    for (const { labels, value } of typeof values === "number" ? [{ labels: {}, value: values }] : values) {
      const shown = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
      lines.push(`${name}${shown.length === 0 ? "" : `{${shown.join(",")}}`} ${value}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
