/** What policy, usage, metrics and hooks that are absent cost a CreateKey in process, against the path without them. */

import { systemClock } from "../src/base/time/system-clock.ts";
import { Policy } from "../src/edge/access/policy.ts";
import { openKeyMemory } from "../src/edge/key-memory/open-key-memory.ts";
import { createHookedOrchestrator } from "../src/edge/operations/hooked-orchestrator.ts";
import { createOrchestrator, type Orchestrator } from "../src/edge/operations/orchestrator.ts";
import { timed } from "../src/edge/operations/timed-orchestrator.ts";
import { HookRunner } from "../src/edge/plugin-host/hook-runner.ts";
import { OperationLatency } from "../src/edge/telemetry/operation-latency.ts";
import { Usage } from "../src/edge/usage/usage.ts";
import { UsageCounters } from "../src/edge/usage/usage-counters.ts";
import { UsageShipper } from "../src/edge/usage/usage-shipper.ts";
import type { BenchContext } from "./harness/context.ts";
import { allowAll, ignoreUsage, leaseCache, PRINCIPAL } from "./harness/edge-in-process.ts";
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
  const bare = { access: allowAll, leases, usage: ignoreUsage };
  const candidates = {
    without: createOrchestrator(bare),
    policy: createOrchestrator({ ...bare, access: policy }),
    "usage count": createOrchestrator({ ...bare, usage }),
    metrics: timed(createOrchestrator(bare), new OperationLatency()),
    "hooks absent": createHookedOrchestrator(bare, noHooks),
    all: timed(createHookedOrchestrator({ access: policy, leases, usage }, noHooks), new OperationLatency()),
  };
  type Name = keyof typeof candidates;
  const request = { tenant: "tenant-a", service: "billing" };
  const microseconds = (edge: Orchestrator) => () =>
    1e6 / ratePerCpuSecond(() => void edge.createKey(PRINCIPAL, request), TURN_MS);
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
