import { expect, test } from "bun:test";
import { HeldVersion } from "../../../src/edge/cache/lease.ts";
import { LeaseClock } from "../../../src/edge/cache/lease-clock.ts";
import { createLeaseCounters } from "../../../src/edge/cache/lease-events.ts";
import { LeaseLifecycle } from "../../../src/edge/cache/lease-lifecycle.ts";
import { LeaseTable } from "../../../src/edge/cache/lease-table.ts";
import { DEFAULT_TUNING } from "../../../src/edge/cache/lease-tuning.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { createWorld } from "./world.ts";

test("a lease that ended is forgotten, and with it how often its renewal failed", () => {
  const table = new LeaseTable();
  const clock = new VirtualClock();
  const lifecycle = new LeaseLifecycle({
    clock,
    table,
    time: new LeaseClock(clock, () => {}),
    tuning: DEFAULT_TUNING,
    maxLeases: 10,
    counters: createLeaseCounters(),
    onEvent() {},
    onRenewalDue() {},
  });
  const lease = table.onService("t", "a");
  const identity = { tenant: "t", service: "a", version: 1 };
  let released = 0;
  lease.versions = [new HeldVersion(identity, "active", undefined as never, { release: () => released++ } as never)];
  lifecycle.begin(lease);
  lease.failures = 3;
  lifecycle.end(lease);
  expect([released, lease.failures, table.order.size, table.tenants.size]).toEqual([1, 0, 0, 0]);
});

test("a lease that made room for another is told of", async () => {
  const world = createWorld({ maxLeases: 1 });
  world.source.answer = (question) => question.grant();
  for (const service of ["a", "b"]) await world.cache.active("tenant-a", service);
  expect(world.events.filter(({ type }) => type === "evicted")).toEqual([
    { type: "evicted", tenant: "tenant-a", service: "a", version: undefined },
  ]);
  expect(world.cache.leases()).toMatchObject([{ service: "b" }]);
});

test("a lease that nobody used is renewed up to an hour after it was used last, and then goes at its deadline", async () => {
  const world = createWorld();
  world.source.answer = (question) => question.grant();
  await world.cache.active("tenant-a", "billing");
  // Renewed every 180 s, for the last time at 3,600.
  await world.clock.advance(3_899_999);
  expect(world.source.questions).toHaveLength(21);
  expect(world.keyMemory.slots.size).toBe(1);
  await world.clock.advance(1);
  expect(world.source.questions).toHaveLength(21);
  expect(world.keyMemory.slots.size).toBe(0);
});
