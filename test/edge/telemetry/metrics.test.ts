import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { allowAll, CALLER, heldLeases } from "../../../bench/harness/edge-in-process.ts";
import { metricsReferencePage } from "../../../scripts/metrics-reference.ts";
import { OperationError } from "../../../src/base/errors.ts";
import type { LeaseCache } from "../../../src/edge/cache/lease-cache.ts";
import { createLeaseCounters } from "../../../src/edge/cache/lease-events.ts";
import type { CreatedKey } from "../../../src/edge/operations/operations.ts";
import { createOperations } from "../../../src/edge/operations/pipeline.ts";
import type { MetricSources } from "../../../src/edge/telemetry/edge-metrics.ts";
import { Metrics } from "../../../src/edge/telemetry/metrics.ts";
import { BUCKETS_MS, OperationLatency } from "../../../src/edge/telemetry/operation-latency.ts";
import { createRecorder } from "../../../src/edge/telemetry/operation-recorder.ts";
import { createTelemetry } from "../../../src/edge/telemetry/telemetry.ts";
import { slowLooks } from "../../support/slow-looks.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

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
    authorities: [],
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
  cipher: () => ({ adapter: "openssl", library: "OpenSSL 3.0.22", fips: false }),
  log: { suppressed: 0 },
};

describe("operation latency", () => {
  test("falls into the buckets of ADR-604, per operation and outcome, as Prometheus counts them", async () => {
    const latency = new OperationLatency(new VirtualClock());
    for (const ms of [0.05, 0.1, 0.2, 0.3, 3, 20]) latency.observe("native", "create", "ok", ms);
    latency.observe("native", "create", "access_denied", 0.01);
    latency.observe("native", "decrypt_batch", "internal_error", 7);
    const metrics = new Metrics();
    metrics.add(...latency.definitions());
    const series = parse(await metrics.text("prometheus"));
    const bucket = (le: string): number | undefined =>
      series.get(
        `crypto_edge_operation_duration_seconds_bucket{door="native",operation="create",outcome="ok",le="${le}"}`,
      );
    expect(BUCKETS_MS).toEqual([0.1, 0.25, 0.5, 1, 2.5, 5, 10]);
    expect(["0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "+Inf"].map(bucket)).toEqual([
      2, 3, 4, 4, 4, 5, 5, 6,
    ]);
    expect(
      series.get('crypto_edge_operation_duration_seconds_count{door="native",operation="create",outcome="ok"}'),
    ).toBe(6);
    expect(
      series.get('crypto_edge_operation_duration_seconds_sum{door="native",operation="create",outcome="ok"}'),
    ).toBeCloseTo(0.02365);
    expect(
      series.get(
        'crypto_edge_operation_duration_seconds_count{door="native",operation="create",outcome="access_denied"}',
      ),
    ).toBe(1);
    expect(
      series.get(
        'crypto_edge_operation_duration_seconds_count{door="native",operation="decrypt_batch",outcome="internal_error"}',
      ),
    ).toBe(1);
  });

  test("tells the front doors apart, and bounds how many it does", async () => {
    const latency = new OperationLatency(new VirtualClock());
    latency.observe("native", "create", "ok", 1);
    for (let door = 0; door < 100; door++) latency.countKeys(`door-${door}`, "decrypt", "ok", 1);
    latency.countKeys("native", "create", "ok", 5);
    const metrics = new Metrics();
    metrics.add(...latency.definitions());
    const series = parse(await metrics.text("prometheus"));
    expect(series.get('crypto_edge_keys_total{door="native",operation="create",outcome="ok"}')).toBe(5);
    const doors = [...series.keys()].filter((name) => name.startsWith("crypto_edge_keys_total"));
    expect(doors.length).toBeLessThan(40);
    expect(doors.reduce((sum, name) => sum + series.get(name)!, 0)).toBe(105);
  });
});

describe("in OpenMetrics", () => {
  const bucket =
    'crypto_edge_operation_duration_seconds_bucket{door="native",operation="create",outcome="ok",le="0.005"}';

  test("a bucket has the newest call with a trace as its exemplar, and in plain text none", () => {
    const clock = new VirtualClock();
    const latency = new OperationLatency(clock);
    latency.observe("native", "create", "ok", 3, "4bf92f3577b34da6a3ce929d0e0e4736");
    latency.observe("native", "create", "ok", 4, "0af7651916cd43dd8448eb211c80319c");
    latency.observe("native", "create", "ok", 4.5);
    const metrics = new Metrics();
    metrics.add(...latency.definitions());
    const seconds = (clock.wallMs() / 1000).toFixed(3);
    const lines = metrics.text("openmetrics").split("\n");
    expect(lines).toContain(`${bucket} 3 # {trace_id="0af7651916cd43dd8448eb211c80319c"} 0.004 ${seconds}`);
    expect(lines.filter((line) => line.includes(" # "))).toHaveLength(1);
    expect(metrics.text("prometheus").split("\n")).toContain(`${bucket} 3`);
  });

  test("series have the same names as in plain text, and the text ends as it must", () => {
    const metrics = new Metrics();
    const read = () => [{ value: 1 }];
    metrics.add(
      { name: "a_total", type: "counter", help: 'Says "a".\n', read },
      { name: "b", type: "counter", help: "A plugin's.", read },
      { name: "c", type: "gauge", help: "c", read },
    );
    expect(metrics.text("openmetrics")).toBe(`# HELP a Says \\"a\\".\\n
# TYPE a counter
a_total 1
# HELP b A plugin's.
# TYPE b unknown
b 1
# HELP c c
# TYPE c gauge
c 1
# EOF
`);
    expect([...parse(metrics.text("openmetrics")).keys()]).toEqual([...parse(metrics.text("prometheus")).keys()]);
  });
});

test("the histogram counts every call with the time that it took, whether it ends now or later, well or not", async () => {
  const latency = new OperationLatency(new VirtualClock());
  const held = heldLeases();
  let wait = 0;
  const leases: LeaseCache = {
    ...held,
    active: (tenant, service) => {
      if (wait === 0) return held.active(tenant, service);
      return Bun.sleep(wait).then(() => held.active(tenant, service));
    },
    version() {
      throw new OperationError("key_revoked", "gone");
    },
  };
  let clockMs = 0;
  const recorder = createRecorder({ record() {} }, latency);
  const edge = createOperations({ access: allowAll, leases, recorder: { ...recorder, now: () => clockMs++ } });
  const request = { tenant: "tenant-a", service: "billing" };
  const { wrapped } = edge.createKey(CALLER, request) as CreatedKey;
  for (let done = 0; done < 10; done++) edge.createKey(CALLER, request);
  wait = 5;
  const waiting = edge.createKey(CALLER, request);
  clockMs += 100;
  await waiting;
  wait = 0;
  {
    // In one slice, on whatever machine: a second one would ask for the lease again.
    using _ = slowLooks();
    await edge.createKeys(CALLER, { ...request, take() {} }, 40);
  }
  expect(() => edge.decryptKey(CALLER, { wrapped })).toThrow("gone");
  edge.decryptKeys(CALLER, [{ wrapped }, { wrapped }], () => {});
  const metrics = new Metrics();
  metrics.add(...latency.definitions());
  const series = parse(await metrics.text("prometheus"));
  const of = (what: string, operation: string, outcome: string, more = ""): number | undefined =>
    series.get(
      `crypto_edge_operation_duration_seconds_${what}{door="native",operation="${operation}",outcome="${outcome}"${more}}`,
    );
  const keys = (operation: string, outcome: string): number | undefined =>
    series.get(`crypto_edge_keys_total{door="native",operation="${operation}",outcome="${outcome}"}`);
  expect([of("count", "create", "ok"), of("bucket", "create", "ok", ',le="0.001"')]).toEqual([12, 11]);
  expect(of("sum", "create", "ok")).toBeCloseTo(0.112);
  expect([of("count", "create_batch", "ok"), of("count", "decrypt", "key_revoked")]).toEqual([1, 1]);
  expect(of("count", "decrypt_batch", "ok")).toBe(1);
  expect([keys("create", "ok"), keys("create_batch", "ok")]).toEqual([12, 40]);
  expect([keys("decrypt", "key_revoked"), keys("decrypt_batch", "key_revoked")]).toEqual([1, 2]);
});

describe("/metrics", () => {
  test("tells leases, source, revocation, usage, key memory and the process from where they are kept", async () => {
    const telemetry = createTelemetry(new VirtualClock());
    telemetry.observe(SOURCES);
    const series = parse(await telemetry.metrics.text("prometheus"));
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
      'crypto_edge_cipher_info{adapter="openssl",library="OpenSSL 3.0.22",fips="false"}': 1,
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
    const series = parse(await metrics.text("prometheus"));
    expect(series.get("crypto_edge_plugin_aws_kms_calls_total")).toBe(3);
    expect(series.get("crypto_edge_plugin_aws_kms_sessions")).toBe(4);
    expect(series.get('crypto_edge_plugin_aws_kms_wait_seconds_bucket{le="1"}')).toBe(1);
    expect(() => lent.gauge("calls_total", "x")).toThrow("another kind");
    expect(() => lent.gauge("Bad name", "x")).toThrow("lower-case");
    for (let index = 0; index < 97; index++) lent.counter(`c${index}`, "x");
    expect(() => lent.counter("one_too_many", "x")).toThrow("100 metrics");
  });
});
