/** What becomes of a grant: a lease, or nothing that is left behind. */
import { expect, test } from "bun:test";
import { CountedKeyMemory, codeOf, createWorld, granted, keyOf, type World } from "./world.ts";

const T = "tenant-a";
const S = "billing";

/** A lease on version 1, which has been used. */
async function holdingInUse(world: World): Promise<void> {
  const waiting = world.cache.active(T, S);
  await world.source.questions.at(-1)!.grant();
  (await waiting).session.wrap(keyOf(9), new Uint8Array(0));
}

test("a grant that was overtaken is thrown away, said, and counted", async () => {
  const world = createWorld();
  world.gate.lowestSeq = 5;
  const waiting = world.cache.active(T, S);
  await world.source.questions[0]!.grant({ revocationSeq: 4 });
  expect(world.events).toMatchObject([{ type: "stale_grant", tenant: T, service: S }]);
  await world.clock.advance(1_000);
  await world.source.questions[1]!.grant({ revocationSeq: 5 });
  await waiting;
  expect(world.cache.counters).toMatchObject({ staleGrants: 1, installed: 1, renewed: 0 });
});

test("a lease is counted once as installed, and then as renewed", async () => {
  const world = createWorld();
  await holdingInUse(world);
  expect(world.cache.counters).toMatchObject({ installed: 1, renewed: 0 });
  await world.clock.advance(180_000);
  await world.source.questions[1]!.grant();
  expect(world.cache.counters).toMatchObject({ installed: 1, renewed: 1 });
});

test("a grant that is over before it arrives, on either clock and to the millisecond, is refused", async () => {
  // Fifty milliseconds of the wall clock are no jump: the two clocks may differ by so much.
  for (const [beforeMs, meanwhileMs, elapsedMs, code] of [
    [0, -40, 19_999, "no error"],
    [0, -40, 20_000, "lease_unavailable"],
    [-40, 40, 19_959, "no error"],
    [-40, 40, 19_960, "lease_unavailable"],
  ] as const) {
    const world = createWorld({ calls: { callTimeoutMs: 60_000 } });
    world.clock.jumpWall(beforeMs);
    const waiting = codeOf(() => world.cache.active(T, S));
    world.clock.jumpWall(meanwhileMs);
    await world.clock.advance(elapsedMs);
    await world.source.questions[0]!.grant({ ttlMs: 20_000, refreshAfterMs: 10_000 });
    expect(await waiting).toBe(code);
    expect(world.cache.counters.installed).toBe(code === "no error" ? 1 : 0);
  }
});

test("a grant for which key memory has no room leaves none of its keys there", async () => {
  class Narrow extends CountedKeyMemory {
    override store(key: Uint8Array) {
      this.full = this.slots.size === 2;
      return super.store(key);
    }
  }
  const keyMemory = new Narrow();
  const world = createWorld({ keyMemory });
  const waiting = codeOf(() => world.cache.active(T, S));
  await world.source.questions[0]!.grant({
    versions: [granted(3), granted(2, "deprecated"), granted(1, "deprecated")],
  });
  expect(await waiting).toBe("lease_unavailable");
  expect(keyMemory.slots.size).toBe(0);
});

for (const [name, wishedMs, grant, dueMs] of [
  [
    "before a tenth of its time is left, whatever else is wished",
    300_000,
    { ttlMs: 100_000, refreshAfterMs: 100_000 },
    90_000,
  ],
  ["when it is to be, however early in a long life that is", 4_000, { ttlMs: 600_000, refreshAfterMs: 300_000 }, 4_000],
] as const) {
  test(`a lease is renewed ${name}`, async () => {
    const world = createWorld({ refreshAfterMs: wishedMs, random: () => 0 });
    const waiting = world.cache.active(T, S);
    await world.source.questions[0]!.grant(grant);
    await waiting;
    await world.clock.advance(dueMs - 1);
    expect(world.source.questions).toHaveLength(1);
    await world.clock.advance(1);
    expect(world.source.questions).toHaveLength(2);
  });
}

test("a version in use that the renewed lease lacks is kept under the name of its source, to the old deadline", async () => {
  const world = createWorld();
  await holdingInUse(world);
  await world.clock.advance(180_000);
  await world.source.questions[1]!.grant({ versions: [granted(2)], source: "second" });
  expect(world.cache.leases()).toMatchObject([
    { versions: [{ version: 1, state: "deprecated" }], remainingMs: 120_000, source: "test" },
    { versions: [{ version: 2, state: "active" }], remainingMs: 300_000, source: "second" },
  ]);
  expect(world.cache.summary().failing).toBe(0);
});

test("a version in use that the renewed lease lacks goes at once where it is blocked", async () => {
  const world = createWorld();
  await holdingInUse(world);
  await world.clock.advance(180_000);
  world.gate.blocked.add(`${T}/${S}/1`);
  await world.source.questions[1]!.grant({ versions: [granted(2)] });
  expect(world.keyMemory.slots.size).toBe(1);
  expect(world.cipher.sessions).toEqual([{ wiped: true }]);
});

test("a version alone that turns out to be active has the lease renewed, but not where that knows of it", async () => {
  for (const isKnown of [false, true]) {
    const world = createWorld();
    await holdingInUse(world);
    const single = world.cache.version(T, S, 2);
    if (isKnown) {
      world.cache.renew(T, S);
      await world.source.questions[2]!.grant({ versions: [granted(2), granted(1, "deprecated")] });
    }
    await world.source.questions[1]!.grant({ versions: [granted(2)] });
    await single;
    expect(world.source.questions).toHaveLength(3);
  }
});

test("a version alone whose service is leased no more has nothing renewed", async () => {
  const world = createWorld();
  await holdingInUse(world);
  const single = world.cache.version(T, S, 2);
  world.cache.revoke({ tenant: T, service: S });
  const again = codeOf(() => world.cache.active(T, S));
  await world.source.questions[1]!.grant({ versions: [granted(2)] });
  await single;
  await world.source.questions[2]!.grant({ versions: [granted(2)] });
  expect(await again).toBe("no error");
  expect(world.source.questions).toHaveLength(3);
});

test("a version that is held twice goes once, and the other is kept, when the renewed lease lacks it", async () => {
  const world = createWorld();
  await holdingInUse(world);
  const single = world.cache.version(T, S, 2);
  world.cache.renew(T, S);
  await world.source.questions[2]!.grant({ versions: [granted(2), granted(1, "deprecated")] });
  await world.source.questions[1]!.grant({ versions: [granted(2)] });
  await single;
  (await world.cache.active(T, S)).session.wrap(keyOf(9), new Uint8Array(0));
  // Version 1; version 2 in the lease, and alone.
  expect(world.keyMemory.slots.size).toBe(3);
  world.cache.renew(T, S);
  await world.source.questions[3]!.grant({ versions: [granted(3), granted(1, "deprecated")] });
  expect(world.keyMemory.slots.size).toBe(3);
  expect(world.cache.version(T, S, 2)).toMatchObject({ version: 2 });
  world.cache.dropAll("test");
  expect(world.keyMemory.slots.size).toBe(0);
});
