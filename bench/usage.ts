/** What counting, auditing and timing an operation cost on the path of a request. */
import { systemClock } from "../src/base/time/system-clock.ts";
import type { Principal } from "../src/edge/access/principal.ts";
import type { Caller, ServiceKeyName } from "../src/edge/operations/operations.ts";
import type { RecordedKind } from "../src/edge/operations/recorder.ts";
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
  const sink = { name: "none", errors: 0, failing: false, dropped: 0, write() {}, tick() {}, close() {} };
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

  const create: RecordedKind = { name: "create", operation: "create" };
  const decrypt: RecordedKind = { name: "decrypt", operation: "decrypt" };
  const caller: Caller = { principal: { kind: "listener", name: "billing" }, door: "native", requestId: "r-1" };
  const key: ServiceKeyName = { tenant: "tenant-a", service: "billing" };
  const callers = Array.from({ length: 8 }, (_, index): Caller => {
    const principal: Principal = { kind: "spiffe", name: `spiffe://example.org/billing/${index}`, peer: "10.0.0.1" };
    return { principal, door: "native", requestId: undefined };
  });
  // Strings of their own for each request, as a parser of JSON makes them; made before the clock runs.
  const keys = Array.from(
    { length: TENANTS },
    (_, index) => JSON.parse(`{"tenant":"tenant-${index}","service":"billing"}`) as ServiceKeyName,
  );
  const latency = new OperationLatency(systemClock);
  let index = 0;
  const next = (): void => {
    index = (index + 617) % TENANTS;
    counting.record(decrypt, callers[index & 7]!, keys[index]!, 3, 1, "ok");
  };

  const samples = await interleave(
    {
      one: () => nanoseconds(() => counting.record(create, caller, key, 3, 1, "ok"), context.sampleMs),
      many: () => nanoseconds(next, context.sampleMs),
      audit: () =>
        nanoseconds(
          () => auditing.record(create, caller, key, 3, 1, "ok"),
          context.sampleMs,
          () => auditLog.flush(),
        ),
      latency: () => nanoseconds(() => latency.observe("native", "create", "ok", 0.2), context.sampleMs),
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
