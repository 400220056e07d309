/** What policy, usage, metrics and hooks that are absent cost a CreateKey in process, against the path without them. */

import { systemClock } from "../src/base/time/system-clock.ts";
import { Policy } from "../src/edge/access/policy.ts";
import { openKeyMemory } from "../src/edge/key-memory/open-key-memory.ts";
import type { Operations } from "../src/edge/operations/operations.ts";
import { createOperations } from "../src/edge/operations/pipeline.ts";
import type { Recorder } from "../src/edge/operations/recorder.ts";
import { HookRunner } from "../src/edge/plugin-host/hook-runner.ts";
import { createOperationHooks } from "../src/edge/plugin-host/hooked-operations.ts";
import { OperationLatency } from "../src/edge/telemetry/operation-latency.ts";
import { createRecorder } from "../src/edge/telemetry/operation-recorder.ts";
import { Usage } from "../src/edge/usage/usage.ts";
import { UsageCounters } from "../src/edge/usage/usage-counters.ts";
import { UsageShipper } from "../src/edge/usage/usage-shipper.ts";
import type { BenchContext } from "./harness/context.ts";
import { allowAll, CALLER, ignoreAll, leaseCache } from "./harness/edge-in-process.ts";
import { compare, interleave, ratePerCpuSecond } from "./harness/rounds.ts";
import { type Row, row } from "./harness/row.ts";

export const about = "policy, usage, metrics and absent hooks: each one's share of a CreateKey in process";

/** Many short turns: a difference of some percent must stand out of the noise. */
const TURN_MS = 60;

export async function run(context: BenchContext): Promise<Row[]> {
  const keyMemory = await openKeyMemory({ choice: "auto", expectedKeys: 1, warn: () => undefined });
  const leases = leaseCache(keyMemory, 1);
  context.cleanUp(() => {
    leases.close();
    keyMemory.close();
  });
  await leases.active("tenant-a", "billing");
  const policy = new Policy(
    [
      { principals: ["other-*"], tenants: ["*"], services: ["*"], operations: ["create"] },
      { principals: ["bench"], tenants: ["tenant-*"], services: ["*"], operations: ["create", "decrypt", "rewrap"] },
    ],
    systemClock,
  );
  const counters = new UsageCounters({ maxRows: 10_000, maxPrincipals: 1000 });
  const shipper = new UsageShipper({
    clock: systemClock,
    counters,
    send: async () => undefined,
    sendAfterMs: 3_600_000,
    maxRecords: 1000,
    maxLines: 1000,
    warn: () => undefined,
  });
  context.cleanUp(() => shipper.close(0));
  const usage = new Usage({ clock: systemClock, edgeId: "bench", audited: "failures", counters, shipper });
  const noHooks = new HookRunner([], systemClock, { info() {}, warn() {}, error() {} });
  const bare = { access: allowAll, leases, recorder: ignoreAll };
  const latency = new OperationLatency(systemClock);
  const counting: Recorder = {
    ...ignoreAll,
    record: (kind, caller, key, version, count, outcome, reason) =>
      usage.record(kind, caller, key, version, count, outcome, reason),
  };
  const measuring = createRecorder({ record: () => undefined }, latency);
  const hooks = createOperationHooks(noHooks);
  const candidates = {
    without: createOperations(bare),
    policy: createOperations({ ...bare, access: policy }),
    "usage count": createOperations({ ...bare, recorder: counting }),
    metrics: createOperations({ ...bare, recorder: measuring }),
    "hooks absent": createOperations({ ...bare, hooks }),
    all: createOperations({ access: policy, leases, recorder: createRecorder(usage, latency), hooks }),
  };
  type Name = keyof typeof candidates;
  const request = { tenant: "tenant-a", service: "billing" };
  const microseconds = (edge: Operations) => () =>
    1e6 / ratePerCpuSecond(() => void edge.createKey(CALLER, request), TURN_MS);
  const samples = await interleave(
    Object.fromEntries(Object.entries(candidates).map(([name, edge]) => [name, microseconds(edge)])) as Record<
      Name,
      () => number
    >,
    context.rounds * 5,
  );
  return (Object.keys(candidates) as Name[])
    .filter((name) => name !== "without")
    .map((name) =>
      row({
        name: `cost: ${name}`,
        ...compare(samples[name], samples.without),
        unit: "µs",
        baselineName: "the path without",
        goal: { of: "ratio", atMost: name === "all" ? 1.12 : 1.05 },
      }),
    );
}
