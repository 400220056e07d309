/** What counting, auditing and timing an operation cost on the path of a request. */
import { Histogram, Registry } from "prom-client";
import { systemClock } from "../src/base/time/system-clock.ts";
import type { Principal } from "../src/edge/access/principal.ts";
import type { OperationCall } from "../src/edge/operations/usage-recorder.ts";
import { OperationLatency } from "../src/edge/telemetry/operation-latency.ts";
import { AuditLog } from "../src/edge/usage/audit-log.ts";
import { Usage } from "../src/edge/usage/usage.ts";
import { UsageCounters } from "../src/edge/usage/usage-counters.ts";
import { UsageShipper } from "../src/edge/usage/usage-shipper.ts";
import type { BenchContext } from "./harness/context.ts";
import { interleave, median, spread } from "./harness/rounds.ts";
import { type Row, row } from "./harness/row.ts";

export const about = "usage counts, audit events and latency histograms, in nanoseconds an operation";
export const guards = true;

const CALLS = 256;
const TENANTS = 1000;

export async function run(context: BenchContext): Promise<Row[]> {
  const shipper = new UsageShipper({
    clock: systemClock,
    counters: new UsageCounters({ maxRows: 10_000, maxPrincipals: 1000 }),
    send: async () => {},
    sendAfterMs: 3_600_000,
    maxRecords: 1000,
    maxLines: 1000,
    warn: () => {},
  });
  const sink = { name: "none", errors: 0, dropped: 0, write() {}, tick() {}, close() {} };
  const auditLog = new AuditLog({
    clock: systemClock,
    edgeId: "bench",
    sinks: [sink],
    writeAfterMs: 3_600_000,
    maxQueued: CALLS,
  });
  const usageOf = (audited: "failures" | "all") =>
    new Usage({
      clock: systemClock,
      edgeId: "bench",
      audited,
      counters: new UsageCounters({ maxRows: 10_000, maxPrincipals: 1000 }),
      shipper,
      auditLog,
    });
  const counting = usageOf("failures");
  const auditing = usageOf("all");
  context.cleanUp(() => Promise.all([counting.close(1000), auditing.close(1000)]));

  const call: OperationCall = {
    principal: { kind: "listener", name: "billing" },
    operation: "create",
    tenant: "tenant-a",
    service: "billing",
    version: 0,
    count: 1,
    requestId: "r-1",
  };
  const principals = Array.from(
    { length: 8 },
    (_, index): Principal => ({ kind: "spiffe", name: `spiffe://example.org/billing/${index}`, peer: "10.0.0.1" }),
  );
  // Strings of their own for each request, as a parser of JSON makes them; made before the clock runs.
  const requests = Array.from({ length: TENANTS }, (_, index): OperationCall => {
    const names = JSON.parse(`{"tenant":"tenant-${index}","service":"billing"}`) as { tenant: string; service: string };
    return { ...call, ...names, principal: principals[index & 7]!, operation: "decrypt" };
  });
  const latency = new OperationLatency();
  const histogram = new Histogram({
    name: "operation_seconds",
    help: "For comparison.",
    labelNames: ["operation", "outcome"],
    buckets: [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01],
    registers: [new Registry()],
  });
  let index = 0;
  const next = () => {
    index = (index + 617) % TENANTS;
    return requests[index]!;
  };

  const samples = await interleave(
    {
      one: () => nanoseconds(() => counting.record(call, "ok", 3), context.sampleMs),
      many: () =>
        nanoseconds(() => {
          counting.record(next(), "ok", 3);
        }, context.sampleMs),
      audit: () =>
        nanoseconds(
          () => auditing.record(call, "ok", 3),
          context.sampleMs,
          () => auditLog.flush(),
        ),
      latency: () => nanoseconds(() => latency.observe("create", "ok", 0.2), context.sampleMs),
      promClient: () =>
        nanoseconds(() => histogram.observe({ operation: "create", outcome: "ok" }, 0.0002), context.sampleMs),
    },
    context.rounds,
  );
  const facts = (values: number[]) => ({ value: median(values), spread: spread(values), unit: "ns" });
  return [
    row({
      name: "usage: one count, the caller's last key again",
      ...facts(samples.one),
      goal: { of: "value", atMost: 60 },
    }),
    row({
      name: `usage: one count, ${TENANTS} tenants by 8 principals at random`,
      ...facts(samples.many),
      goal: { of: "value", atMost: 250 },
      note: "the strings of 1,000 tenants, met at random, are not in the processor's cache",
    }),
    row({
      name: "usage: one audit event queued (audit.operations: all)",
      ...facts(samples.audit),
      goal: { of: "value", atMost: 1500 },
      note: "chaining and writing it come later, and are not in this figure",
    }),
    row({
      name: "usage: one latency observed",
      ...facts(samples.latency),
      baseline: median(samples.promClient),
      baselineName: "prom-client's histogram",
      goal: { of: "value", atMost: 20 },
    }),
  ];
}

/** Of one operation; what `between` does is not measured. */
function nanoseconds(operation: () => void, forMs: number, between?: () => void): number {
  const startedMs = performance.now();
  let spentMs = 0;
  let calls = 0;
  do {
    const beganMs = performance.now();
    for (let index = 0; index < CALLS; index++) operation();
    spentMs += performance.now() - beganMs;
    calls += CALLS;
    between?.();
  } while (performance.now() - startedMs < forMs);
  return (spentMs / calls) * 1e6;
}
