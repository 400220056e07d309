import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CryptoEdgeError } from "../../../src/base/errors.ts";
import { createLeaseCounters } from "../../../src/edge/cache/lease-events.ts";
import type { Orchestrator } from "../../../src/edge/operations/orchestrator.ts";
import { timed } from "../../../src/edge/operations/timed-orchestrator.ts";
import type { MetricSources } from "../../../src/edge/telemetry/edge-metrics.ts";
import { Metrics } from "../../../src/edge/telemetry/metrics.ts";
import { metricsReferencePage } from "../../../src/edge/telemetry/metrics-reference.ts";
import { BUCKETS_MS, OperationLatency } from "../../../src/edge/telemetry/operation-latency.ts";
import { createTelemetry } from "../../../src/edge/telemetry/telemetry.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const principal = { kind: "listener", name: "billing" } as const;

/** An exposition's samples, by series. */
function parse(text: string): Map<string, number> {
  const series = new Map<string, number>();
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const [, name, value] = /^(\S+(?:\{.*\})?) (\S+)$/.exec(line) ?? [];
    expect(name).toBeDefined();
    expect(series.has(name!)).toBe(false);
    series.set(name!, Number(value));
  }
  return series;
}

const SOURCES: Omit<MetricSources, "clock" | "latency" | "eventLoop"> = {
  leases: {
    counters: { ...createLeaseCounters(), hits: 41, renewed: 3, expired: 1 },
    summary: () => ({
      leases: 2,
      shortestRemainingMs: 12_500,
      failing: 1,
      circuit: "half_open",
      callsInFlight: 1,
      callsWaiting: 0,
      calls: 7,
      callFailures: 2,
      refusalsRemembered: 0,
    }),
  },
  revocation: () => ({
    seq: 10,
    newestSeq: 11,
    blocked: 1,
    leaseDrops: 0,
    silentMs: 250,
    transports: [
      {
        name: "core",
        connected: true,
        lastHeardMs: 250,
        lagMs: undefined,
        events: 4,
        duplicates: 1,
        gaps: 0,
        disconnections: 2,
        drops: { signature: 3 },
      },
    ],
  }),
  usage: () => ({ rows: 5, mergedRows: 0, core: undefined, audit: undefined, sinks: [] }),
  keyMemory: () => ({ kind: "secret", keys: 4, heapKeys: 1, mappedBytes: 4096, memlockLimitBytes: undefined }),
  log: { suppressed: 0 },
};

describe("operation latency", () => {
  test("falls into the buckets of ADR-604, per operation and outcome, as Prometheus counts them", async () => {
    const latency = new OperationLatency();
    for (const ms of [0.05, 0.1, 0.2, 0.3, 3, 20]) latency.observe("create", "ok", ms);
    latency.observe("create", "access_denied", 0.01);
    latency.observe("decrypt_batch", "internal_error", 7);
    const metrics = new Metrics();
    metrics.add(...latency.definitions());
    const series = parse(await metrics.text());
    const bucket = (le: string): number | undefined =>
      series.get(`crypto_edge_operation_duration_seconds_bucket{operation="create",outcome="ok",le="${le}"}`);
    expect(BUCKETS_MS).toEqual([0.1, 0.25, 0.5, 1, 2.5, 5, 10]);
    expect(["0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "+Inf"].map(bucket)).toEqual([
      2, 3, 4, 4, 4, 5, 5, 6,
    ]);
    expect(series.get('crypto_edge_operation_duration_seconds_count{operation="create",outcome="ok"}')).toBe(6);
    expect(series.get('crypto_edge_operation_duration_seconds_sum{operation="create",outcome="ok"}')).toBeCloseTo(
      0.02365,
    );
    expect(series.get('crypto_edge_operation_duration_seconds_count{operation="create",outcome="access_denied"}')).toBe(
      1,
    );
    expect(
      series.get('crypto_edge_operation_duration_seconds_count{operation="decrypt_batch",outcome="internal_error"}'),
    ).toBe(1);
  });

  test("is measured for values, promises, refusals and batches alike, and changes none of them", async () => {
    const revoked = new CryptoEdgeError("key_revoked", "gone");
    const inner: Orchestrator = {
      createKey: () => ({ wrapped: new Uint8Array(1), version: 2, plaintext: undefined }),
      createKeys: async (_, __, count) =>
        Array.from({ length: count }, () => ({ wrapped: new Uint8Array(1), version: 2, plaintext: undefined })),
      decryptKey: () => {
        throw revoked;
      },
      decryptKeys: (_, requests) => requests.map(() => revoked),
      rewrapKey: () => Promise.reject(new TypeError("defect")),
    };
    const latency = new OperationLatency();
    const outer = timed(inner, latency);
    const request = { tenant: "tenant-a", service: "billing" };
    const opening = { wrapped: new Uint8Array(1) };
    expect(outer.createKey(principal, request)).toMatchObject({ version: 2 });
    expect(await outer.createKeys(principal, request, 50)).toHaveLength(50);
    expect(() => outer.decryptKey(principal, opening)).toThrow(revoked);
    expect(outer.decryptKeys(principal, [opening, opening])).toEqual([revoked, revoked]);
    await expect(Promise.resolve(outer.rewrapKey(principal, opening))).rejects.toThrow("defect");

    const metrics = new Metrics();
    metrics.add(...latency.definitions());
    const series = parse(await metrics.text());
    expect(series.get('crypto_edge_keys_total{operation="create",outcome="ok"}')).toBe(1);
    expect(series.get('crypto_edge_keys_total{operation="create_batch",outcome="ok"}')).toBe(50);
    expect(series.get('crypto_edge_keys_total{operation="decrypt",outcome="key_revoked"}')).toBe(1);
    expect(series.get('crypto_edge_keys_total{operation="decrypt_batch",outcome="key_revoked"}')).toBe(2);
    expect(series.get('crypto_edge_keys_total{operation="rewrap",outcome="internal_error"}')).toBe(1);
  });
});

test("every operation counts, timed or not", async () => {
  const latency = new OperationLatency();
  const wrapped = new Uint8Array(1);
  const edge = timed(
    { createKey: () => ({ wrapped, version: 2, plaintext: undefined }) } as unknown as Orchestrator,
    latency,
  );
  const metrics = new Metrics();
  metrics.add(...latency.definitions());
  for (let done = 1; done <= 40; done++) {
    edge.createKey(principal, { tenant: "tenant-a", service: "billing" });
    if (![1, 2, 16, 17, 40].includes(done)) continue;
    const series = parse(await metrics.text());
    const labels = 'operation="create",outcome="ok"';
    expect(series.get(`crypto_edge_keys_total{${labels}}`)).toBe(done);
    expect(series.get(`crypto_edge_operation_duration_seconds_count{${labels}}`)).toBe(done);
    expect(series.get(`crypto_edge_operation_duration_seconds_sum{${labels}}`)).toBeGreaterThan(0);
  }
});

test("a call that is not timed counts as the one timed last, whatever its outcome, and none as one that waited", async () => {
  const latency = new OperationLatency();
  let answer: () => unknown = () => ({ wrapped: new Uint8Array(1), version: 2, plaintext: undefined });
  const edge = timed({ createKey: () => answer() } as unknown as Orchestrator, latency);
  const create = (): unknown => edge.createKey(principal, { tenant: "tenant-a", service: "billing" });
  const atOnce = answer;
  create();
  answer = () => Bun.sleep(15).then(atOnce);
  await create();
  answer = atOnce;
  for (let done = 0; done < 10; done++) create();
  answer = () => {
    throw new CryptoEdgeError("key_revoked", "gone");
  };
  for (let done = 0; done < 100; done++) expect(create).toThrow("gone");
  const metrics = new Metrics();
  metrics.add(...latency.definitions());
  const series = parse(await metrics.text());
  const of = (what: string, outcome: string, more = ""): number | undefined =>
    series.get(`crypto_edge_operation_duration_seconds_${what}{operation="create",outcome="${outcome}"${more}}`);
  expect([of("count", "ok"), of("bucket", "ok", ',le="0.005"')]).toEqual([12, 11]);
  expect(of("count", "key_revoked")).toBe(100);
  expect(series.get('crypto_edge_keys_total{operation="create",outcome="key_revoked"}')).toBe(100);
  expect(of("sum", "key_revoked")).toBeGreaterThan(0);
  expect(of("sum", "key_revoked")).toBeLessThan(0.1);
});

describe("/metrics", () => {
  test("tells leases, source, revocation, usage, key memory and the process from where they are kept", async () => {
    const telemetry = createTelemetry(new VirtualClock());
    telemetry.observe(SOURCES);
    const series = parse(await telemetry.metrics.text());
    telemetry.close();
    const expected: Record<string, number> = {
      crypto_edge_leases: 2,
      crypto_edge_lease_deadline_seconds: 12.5,
      crypto_edge_lease_hits_total: 41,
      'crypto_edge_lease_renewals_total{outcome="ok"}': 3,
      'crypto_edge_lease_ends_total{reason="expired"}': 1,
      crypto_edge_source_call_failures_total: 2,
      'crypto_edge_source_circuit{state="half_open"}': 1,
      'crypto_edge_source_circuit{state="closed"}': 0,
      'crypto_edge_revocation_connected{transport="core"}': 1,
      'crypto_edge_revocation_dropped_events_total{transport="core",reason="signature"}': 3,
      crypto_edge_revocation_silence_seconds: 0.25,
      crypto_edge_usage_rows: 5,
      'crypto_edge_key_memory_keys{kind="secret"}': 3,
      'crypto_edge_key_memory_keys{kind="heap"}': 1,
    };
    for (const [name, value] of Object.entries(expected)) expect([name, series.get(name)]).toEqual([name, value]);
    expect(series.get("process_resident_memory_bytes")).toBeGreaterThan(1e6);
    expect([...series.values()].every(Number.isFinite)).toBe(true);
  });

  test("is described, each metric, in docs/metrics.md", () => {
    const written = readFileSync(join(import.meta.dir, "../../../docs/metrics.md"), "utf8");
    expect(written).toBe(metricsReferencePage());
  });

  test("holds what plugins add, by their names, within bounds", async () => {
    const metrics = new Metrics();
    const lent = metrics.forPlugin("aws-kms");
    lent.counter("calls_total", "Calls.").add();
    lent.counter("calls_total", "Calls.").add(2);
    lent.gauge("sessions", "Sessions.").set(4);
    lent.histogram("wait_seconds", "Waits.", [0.1, 1]).observe(0.5);
    const series = parse(await metrics.text());
    expect(series.get("crypto_edge_plugin_aws_kms_calls_total")).toBe(3);
    expect(series.get("crypto_edge_plugin_aws_kms_sessions")).toBe(4);
    expect(series.get('crypto_edge_plugin_aws_kms_wait_seconds_bucket{le="1"}')).toBe(1);
    expect(() => lent.gauge("calls_total", "x")).toThrow("another kind");
    expect(() => lent.gauge("Bad name", "x")).toThrow("lower-case");
    for (let index = 0; index < 97; index++) lent.counter(`c${index}`, "x");
    expect(() => lent.counter("one_too_many", "x")).toThrow("100 metrics");
  });
});
