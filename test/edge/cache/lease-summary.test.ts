import { expect, test } from "bun:test";
import { createWorld } from "./world.ts";

test("the summary tells how long the first lease lasts, on the nearer clock, and how many fail", async () => {
  const world = createWorld();
  expect(world.cache.summary()).toMatchObject({ leases: 0, shortestRemainingMs: undefined, failing: 0 });
  for (const [index, service] of ["a", "b"].entries()) {
    const waiting = world.cache.active("tenant-a", service);
    await world.source.questions[index]!.grant({ ttlMs: 60_000 * (index + 1), refreshAfterMs: 40_000 });
    await waiting;
  }
  await world.clock.advance(10_000);
  expect(world.cache.summary()).toMatchObject({ leases: 2, shortestRemainingMs: 50_000, failing: 0 });
  world.source.answer = (question) => question.fail("unavailable");
  await world.clock.advance(35_000);
  expect(world.cache.summary()).toMatchObject({ leases: 2, shortestRemainingMs: 15_000, failing: 2 });
  world.source.answer = (question) => question.grant();
  await world.clock.advance(14_000);
  expect(world.cache.summary().failing).toBe(0);
});

test("what remains is nothing, not less, once a lease is over; a wall clock set forward takes from it", async () => {
  const world = createWorld();
  const waiting = world.cache.active("tenant-a", "a");
  await world.source.questions[0]!.grant({ ttlMs: 60_000, refreshAfterMs: 40_000 });
  await waiting;
  world.clock.jumpWall(25_000);
  expect(world.cache.leases()).toMatchObject([{ remainingMs: 35_000 }]);
  expect(world.cache.remainingMs("tenant-a", "a")).toBe(35_000);
  expect(world.cache.remainingMs("tenant-a", "b")).toBe(0);
  expect(world.cache.remainingMs("tenant-b", "a")).toBe(0);
  world.clock.jumpWall(-10_000);
  expect(world.cache.leases()).toMatchObject([{ remainingMs: 35_000 }]);
  world.clock.jumpWall(1_000_000);
  expect(world.cache.leases()).toMatchObject([{ remainingMs: 0 }]);
});

test("nothing is counted before anything happens", () => {
  const counts = Object.values(createWorld().cache.counters);
  expect(counts.length).toBeGreaterThan(10);
  expect(counts.filter((count) => count !== 0)).toEqual([]);
});

test("a lease is over when the wall clock says so, though the other is up to fifty milliseconds behind it", async () => {
  const world = createWorld();
  world.clock.jumpWall(-40);
  const waiting = world.cache.active("tenant-a", "a");
  world.clock.jumpWall(40);
  await world.source.questions[0]!.grant({ ttlMs: 20_000, refreshAfterMs: 20_000 });
  await waiting;
  expect(world.cache.remainingMs("tenant-a", "a")).toBe(19_960);
  // No timer in between: it is who asks that ends it.
  world.clock.jumpWall(19_959);
  void world.cache.version("tenant-a", "a", 9);
  expect(world.cache.counters.expired).toBe(0);
  expect(world.cache.active("tenant-a", "a")).not.toBeInstanceOf(Promise);
  world.clock.jumpWall(1);
  expect(world.cache.active("tenant-a", "a")).toBeInstanceOf(Promise);
  void world.cache.version("tenant-a", "a", 9);
  expect(world.cache.counters.expired).toBe(1);
});

test("the first lease to end is told, wherever it is in the order of use", async () => {
  const world = createWorld();
  for (const [index, ttlMs] of [90_000, 60_000, 120_000].entries()) {
    const waiting = world.cache.active("tenant-a", `service-${index}`);
    await world.source.questions[index]!.grant({ ttlMs, refreshAfterMs: 50_000 });
    await waiting;
  }
  expect(world.cache.summary().shortestRemainingMs).toBe(60_000);
});
