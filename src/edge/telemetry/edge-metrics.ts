/** Every metric of the edge, each read from the module that keeps the figure. docs/metrics.md is made from this. */
import { readdirSync } from "node:fs";
import type { Log } from "../../base/log.ts";
import type { Clock } from "../../base/time/clock.ts";
import { COMMIT, VERSION } from "../../base/version.ts";
import type { LeaseCounters } from "../cache/lease-events.ts";
import type { LeaseCacheSummary } from "../cache/lease-summary.ts";
import type { CipherDescription } from "../cipher/cipher.ts";
import type { KeyMemoryStats } from "../key-memory/key-memory.ts";
import type { UsageStatus } from "../usage/usage.ts";
import type { EventLoopDelay } from "./event-loop-delay.ts";
import type { MetricDefinition, MetricType, Sample } from "./metrics.ts";
import type { OperationLatency } from "./operation-latency.ts";

/** Where the figures are. */
export interface MetricSources {
  readonly clock: Clock;
  readonly latency: OperationLatency;
  readonly leases: { readonly counters: Readonly<LeaseCounters>; summary(): LeaseCacheSummary };
  /** Undefined where nothing pushes revocations. */
  readonly revocation: () => RevocationFigures | undefined;
  readonly usage: () => UsageStatus;
  readonly keyMemory: () => KeyMemoryStats;
  readonly cipher: () => CipherDescription;
  readonly eventLoop: EventLoopDelay;
  readonly log: Pick<Log, "suppressed">;
}

/** Of the revocation guard's status, what metrics show. */
export interface RevocationFigures {
  readonly seq: number;
  readonly newestSeq: number;
  readonly blocked: number;
  readonly leaseDrops: number;
  readonly silentMs: number;
  readonly authorities: readonly { readonly issuer: string; readonly blocks: number }[];
  readonly transports: readonly {
    readonly name: string;
    readonly connected: boolean;
    readonly lastHeardMs: number | undefined;
    readonly lagMs: number | undefined;
    readonly events: number;
    readonly duplicates: number;
    readonly gaps: number;
    readonly disconnections: number;
    readonly drops: Readonly<Partial<Record<string, number>>>;
  }[];
}

type Value = number | undefined | readonly Sample[];

function metric(
  name: string,
  type: MetricType,
  help: string,
  read: () => Value,
  labels?: Readonly<Record<string, string>>,
): MetricDefinition {
  return {
    name: `crypto_edge_${name}`,
    type,
    help,
    ...(labels === undefined ? undefined : { labels }),
    read() {
      const value = read();
      if (value === undefined) return [];
      return typeof value === "number" ? [{ value }] : value;
    },
  };
}

export function edgeMetrics(sources: MetricSources): MetricDefinition[] {
  return [
    ...sources.latency.definitions(),
    ...leaseMetrics(sources),
    ...sourceMetrics(sources),
    ...revocationMetrics(sources),
    ...usageMetrics(sources),
    ...keyMemoryMetrics(sources),
    ...cipherMetrics(sources),
    ...processMetrics(sources),
  ];
}

function leaseMetrics({ leases }: MetricSources): MetricDefinition[] {
  const { counters } = leases;
  return [
    metric("leases", "gauge", "Leases held.", () => leases.summary().leases),
    metric("leases_failing", "gauge", "Leases whose last renewal failed.", () => leases.summary().failing),
    metric("lease_deadline_seconds", "gauge", "Time to the first hard deadline; absent while no lease is held.", () =>
      seconds(leases.summary().shortestRemainingMs),
    ),
    metric("lease_hits_total", "counter", "Keys answered from a lease held.", () => counters.hits),
    metric("lease_misses_total", "counter", "Keys that had to wait for the source.", () => counters.misses),
    metric(
      "lease_refusals_total",
      "counter",
      "Keys refused from memory: not found, revoked, or silence.",
      () => counters.refusals,
    ),
    metric("lease_installs_total", "counter", "Leases installed where none was held.", () => counters.installed),
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
    metric(
      "lease_revoked_versions_total",
      "counter",
      "Versions wiped by a revocation.",
      () => counters.revokedVersions,
    ),
    metric(
      "lease_stale_grants_total",
      "counter",
      "Answers of the source thrown away since a revocation overtook them.",
      () => counters.staleGrants,
    ),
    metric(
      "clock_jumps_total",
      "counter",
      "Times that the wall clock jumped, or the machine slept.",
      () => counters.clockJumps,
    ),
  ];
}

function sourceMetrics({ leases }: MetricSources): MetricDefinition[] {
  return [
    metric(
      "source_calls_total",
      "counter",
      "Calls to the key source that ended or are under way.",
      () => leases.summary().calls,
    ),
    metric("source_call_failures_total", "counter", "Of these, the failed ones.", () => leases.summary().callFailures),
    metric("source_calls_in_flight", "gauge", "Calls under way.", () => leases.summary().callsInFlight),
    metric("source_calls_waiting", "gauge", "Calls that wait for their turn.", () => leases.summary().callsWaiting),
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

function revocationMetrics({ revocation }: MetricSources): MetricDefinition[] {
  type Transport = RevocationFigures["transports"][number];
  const labels = { transport: "the names of the configured transports" };
  const each = (read: (transport: Transport) => number | undefined) => (): readonly Sample[] =>
    (revocation()?.transports ?? []).flatMap((transport) => {
      const value = read(transport);
      return value === undefined ? [] : [{ labels: { transport: transport.name }, value }];
    });
  return [
    metric(
      "revocation_connected",
      "gauge",
      "1 while the transport is connected.",
      each(({ connected }) => Number(connected)),
      labels,
    ),
    metric(
      "revocation_last_heard_seconds",
      "gauge",
      "Time since the transport's last event or heartbeat.",
      each(({ lastHeardMs }) => seconds(lastHeardMs)),
      labels,
    ),
    metric(
      "revocation_lag_seconds",
      "gauge",
      "From the Core's clock to the arrival here, of the newest event or heartbeat.",
      each(({ lagMs }) => seconds(lagMs)),
      labels,
    ),
    metric(
      "revocation_events_total",
      "counter",
      "Events that this transport was first to bring.",
      each(({ events }) => events),
      labels,
    ),
    metric(
      "revocation_duplicates_total",
      "counter",
      "Events that another transport had brought before.",
      each(({ duplicates }) => duplicates),
      labels,
    ),
    metric(
      "revocation_gaps_total",
      "counter",
      "Times that the transport showed that an event was missing.",
      each(({ gaps }) => gaps),
      labels,
    ),
    metric(
      "revocation_disconnections_total",
      "counter",
      "Times that the transport's connection went.",
      each(({ disconnections }) => disconnections),
      labels,
    ),
    metric(
      "revocation_dropped_events_total",
      "counter",
      "Events not believed, by why: signature, age, scope.",
      () =>
        (revocation()?.transports ?? []).flatMap(({ name, drops }) =>
          Object.entries(drops).map(([reason, value]) => ({ labels: { transport: name, reason }, value: value ?? 0 })),
        ),
      { ...labels, reason: "why the event was dropped" },
    ),
    metric("revocation_silence_seconds", "gauge", "How long no transport has been heard.", () =>
      seconds(revocation()?.silentMs),
    ),
    metric("revocation_seq", "gauge", "The newest event applied with no hole before it.", () => revocation()?.seq),
    metric("revocation_newest_seq", "gauge", "The newest event heard of.", () => revocation()?.newestSeq),
    metric(
      "revocation_blocked_scopes",
      "gauge",
      "Versions, services and tenants blocked.",
      () => revocation()?.blocked,
    ),
    metric(
      "revocation_authority_blocks",
      "gauge",
      "Scopes that authorities other than the Core have blocked.",
      () => (revocation()?.authorities ?? []).map(({ issuer, blocks }) => ({ labels: { issuer }, value: blocks })),
      { issuer: "the configured issuers that have blocked something" },
    ),
    metric(
      "revocation_lease_drops_total",
      "counter",
      "Times that every lease was dropped for safety.",
      () => revocation()?.leaseDrops,
    ),
  ];
}

function usageMetrics({ usage }: MetricSources): MetricDefinition[] {
  const core = (): UsageStatus["core"] => usage().core;
  return [
    metric("usage_rows", "gauge", "Usage counts kept apart (principal, tenant, service, version).", () => usage().rows),
    metric(
      "usage_merged_rows_total",
      "counter",
      "Counts merged into a principal's `*` row for want of room.",
      () => usage().mergedRows,
    ),
    metric(
      "usage_waiting_records",
      "gauge",
      "Usage records in batches that the Core has not taken.",
      () => core()?.waitingRecords,
    ),
    metric("usage_waiting_audit_lines", "gauge", "Audit lines that wait for a batch.", () => core()?.waitingLines),
    metric("usage_oldest_seconds", "gauge", "Age of the oldest count that the Core has not taken.", () =>
      seconds(core()?.oldestMs),
    ),
    metric("usage_batches_total", "counter", "Batches that the Core took.", () => core()?.sentBatches),
    metric("usage_records_total", "counter", "Usage records that the Core took.", () => core()?.sentRecords),
    metric("usage_retries_total", "counter", "Batches tried again.", () => core()?.retries),
    metric(
      "usage_refused_records_total",
      "counter",
      "Usage records that the Core refused for good: lost.",
      () => core()?.refusedRecords,
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

function keyMemoryMetrics({ keyMemory }: MetricSources): MetricDefinition[] {
  return [
    metric(
      "key_memory_keys",
      "gauge",
      "Service keys in key memory, by its kind.",
      () => {
        const { kind, keys, heapKeys } = keyMemory();
        if (kind === "heap") return [{ labels: { kind }, value: keys }];
        return [
          { labels: { kind }, value: keys - heapKeys },
          { labels: { kind: "heap" }, value: heapKeys },
        ];
      },
      { kind: "`secret`, `locked`, `heap`" },
    ),
    metric("key_memory_mapped_bytes", "gauge", "Memory taken for keys.", () => keyMemory().mappedBytes),
    metric(
      "key_memory_limit_bytes",
      "gauge",
      "RLIMIT_MEMLOCK; absent where there is none.",
      () => keyMemory().memlockLimitBytes,
    ),
  ];
}

function cipherMetrics({ cipher }: MetricSources): MetricDefinition[] {
  return [
    metric(
      "cipher_info",
      "gauge",
      "Which adapter does the cryptography: 1.",
      () => {
        const { adapter, library, fips } = cipher();
        return [{ labels: { adapter, library, fips: String(fips) }, value: 1 }];
      },
      {
        adapter: "`openssl`, `node`, or the name of a plugin's",
        library: "the library and its version",
        fips: "`true` where a FIPS module does the work",
      },
    ),
  ];
}

function processMetrics({ clock, eventLoop, log }: MetricSources): MetricDefinition[] {
  const startSeconds = (clock.wallMs() - process.uptime() * 1000) / 1000;
  const standard = (name: string, type: MetricType, help: string, read: () => Value): MetricDefinition => ({
    ...metric("", type, help, read),
    name,
  });
  return [
    metric(
      "build_info",
      "gauge",
      "1, with the version and the commit as labels.",
      () => [{ labels: { version: VERSION, commit: COMMIT }, value: 1 }],
      { version: "of the edge", commit: "that it was built from" },
    ),
    metric("event_loop_delay_seconds", "gauge", "The longest that the event loop was late since the last scrape.", () =>
      seconds(eventLoop.takeLongestMs()),
    ),
    metric("log_suppressed_total", "counter", "Log lines left out since too many said the same.", () => log.suppressed),
    standard("process_cpu_seconds_total", "counter", "User and system CPU time.", () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    }),
    standard("process_resident_memory_bytes", "gauge", "Resident memory.", () => process.memoryUsage.rss()),
    standard("process_heap_bytes", "gauge", "The garbage-collected heap in use.", () => process.memoryUsage().heapUsed),
    standard("process_start_time_seconds", "gauge", "Start, in seconds since 1970.", () => startSeconds),
    standard("process_open_fds", "gauge", "Open file descriptors, where the system tells.", openDescriptors),
  ];
}

/** A process that can't be dumped may not list its own descriptors unless it is root. */
function openDescriptors(): number | undefined {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return undefined;
  }
}

function seconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / 1000;
}
