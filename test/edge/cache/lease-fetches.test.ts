/** When the source is asked again, and what a failure means for a lease that is held. */
import { describe, expect, test } from "bun:test";
import { LeaseClock } from "../../../src/edge/cache/lease-clock.ts";
import { createLeaseCounters } from "../../../src/edge/cache/lease-events.ts";
import { LeaseFetches } from "../../../src/edge/cache/lease-fetches.ts";
import { LeaseLifecycle } from "../../../src/edge/cache/lease-lifecycle.ts";
import { LeaseTable } from "../../../src/edge/cache/lease-table.ts";
import { DEFAULT_TUNING } from "../../../src/edge/cache/lease-tuning.ts";
import { Refusals } from "../../../src/edge/cache/refusals.ts";
import { DEFAULT_CALL_LIMITS, SourceCalls } from "../../../src/edge/cache/source-calls.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { AskedSource, codeOf, createWorld, granted, type World } from "./world.ts";

const T = "tenant-a";
const S = "billing";

/** A lease that is held, at the moment when its renewal is asked for. */
async function renewing(options: Parameters<typeof createWorld>[0] = {}): Promise<World> {
  const world = createWorld(options);
  const waiting = world.cache.active(T, S);
  await world.source.questions[0]!.grant();
  await waiting;
  await world.clock.advance(180_000);
  expect(world.source.questions).toHaveLength(2);
  return world;
}

/** When each of the next questions was asked, from now on. */
async function askedWithin(world: World, ms: number): Promise<number[]> {
  const startMs = world.clock.monotonicMs();
  const atMs: number[] = [];
  const { answer } = world.source;
  world.source.answer = (question) => {
    atMs.push(world.clock.monotonicMs() - startMs);
    return answer?.(question);
  };
  await world.clock.advance(ms);
  return atMs;
}

describe("a renewal that fails", () => {
  test("is counted and told, with what is left of the lease", async () => {
    const world = await renewing();
    await world.source.questions[1]!.fail("unavailable");
    expect(world.events.at(-1)).toEqual({
      type: "renewal_failed",
      tenant: T,
      service: S,
      version: undefined,
      reason: "test: unavailable",
      failures: 1,
      remainingMs: 120_000,
    });
    expect(world.cache.summary().failing).toBe(1);
    await world.clock.advance(500);
    await world.source.questions[2]!.fail("unavailable");
    expect(world.events.at(-1)).toMatchObject({ failures: 2, remainingMs: 119_500 });
    expect(world.cache.counters.renewalFailures).toBe(2);
    expect(world.cache.summary().failing).toBe(1);
  });

  test("is tried again after half of 1, 2, 4, … 30 seconds, and nearer to the end twice in what is left", async () => {
    const world = await renewing({ calls: { failuresToOpen: 1_000 } });
    world.source.answer = (question) => question.fail("unavailable");
    await world.source.questions[1]!.fail("unavailable");
    const atMs = await askedWithin(world, 120_000);
    expect(atMs.slice(0, 9)).toEqual([500, 1_500, 3_500, 7_500, 15_500, 30_500, 45_500, 60_500, 75_375]);
    // A quarter of what is left each time, half a second of it at last.
    for (let index = 8; index + 1 < atMs.length && atMs[index]! < 117_000; index++)
      expect(Math.abs(atMs[index + 1]! - atMs[index]! - (120_000 - atMs[index]!) / 4)).toBeLessThanOrEqual(1);
    expect(atMs.at(-1)!).toBeGreaterThan(119_000);
    expect(world.keyMemory.slots.size).toBe(0);
  });

  test("without the source being called is no failure of the source: it is tried when the circuit lets it", async () => {
    const world = await renewing();
    await world.source.questions[1]!.fail("unavailable", 7_000);
    // The circuit is open for 10.5 s; the first try comes after 7.5 s, and is told to come again in 3.
    expect(await askedWithin(world, 12_000)).toEqual([11_000]);
    expect(world.cache.counters.renewalFailures).toBe(1);
  });

  test("is not put off beyond the end of the lease, whatever the source says", async () => {
    const world = await renewing();
    await world.source.questions[1]!.fail("unavailable", 250_000);
    await world.clock.advance(119_999);
    expect(world.keyMemory.slots.size).toBe(1);
    await world.clock.advance(1);
    expect(world.keyMemory.slots.size).toBe(0);
  });
});

test("what was asked to be renewed is not asked for again once it is refused or failed, for nothing is held", async () => {
  for (const code of ["unavailable", "key_not_found"] as const) {
    const world = createWorld();
    const waiting = codeOf(() => world.cache.active(T, S));
    world.cache.renew(T, S);
    await world.source.questions[0]!.fail(code);
    await waiting;
    expect(world.source.questions).toHaveLength(1);
  }
});

test("a renewal that is asked for before the question is put again is answered by that question", async () => {
  const world = createWorld();
  const waiting = world.cache.active(T, S);
  world.gate.lowestSeq = 5;
  await world.source.questions[0]!.grant({ revocationSeq: 4 });
  world.cache.renew(T, S);
  await world.clock.advance(1_000);
  await world.source.questions[1]!.grant({ revocationSeq: 5 });
  await waiting;
  expect(world.source.questions).toHaveLength(2);
});

test("what waits in the background stays there, however often it is asked for in the background", async () => {
  const world = createWorld();
  const keys = ["a", "b", "c"].map((service) => ({ tenant: T, service }));
  void world.cache.prewarm(keys);
  void world.cache.prewarm(keys.slice(2));
  expect(world.source.questions.map(({ request }) => request.service)).toEqual(["a", "b"]);
  // A caller is not kept waiting by that.
  const waiting = world.cache.active(T, "c");
  expect(world.source.questions).toHaveLength(3);
  await world.source.questions[2]!.grant({ versions: [granted(1)] });
  expect(await waiting).toMatchObject({ service: "c" });
});

test("a lease that the source withdraws is told of", async () => {
  const world = await renewing();
  await world.source.questions[1]!.fail("key_revoked");
  expect(world.events.at(-1)).toMatchObject({ type: "withdrawn", tenant: T, service: S, reason: "key_revoked" });
});

test("a caller whose answer came in the turn in which the edge stops is told so", async () => {
  const world = createWorld();
  const { source } = world;
  const lease = source.lease.bind(source);
  source.lease = (request, signal) => {
    const grant = lease(request, signal);
    void grant.then(() => queueMicrotask(() => world.cache.close()));
    return grant;
  };
  const waiting = Promise.resolve(world.cache.active(T, S)).catch((error: Error) => error.message);
  await source.questions[0]!.grant();
  expect(await waiting).toBe("This edge is stopping.");
});

test("a name that is refused, or asked for in vain, leaves nothing in memory", async () => {
  const table = new LeaseTable();
  const clock = new VirtualClock();
  const source = new AskedSource();
  const counters = createLeaseCounters();
  const time = new LeaseClock(clock, () => {});
  const refusals = new Refusals(10);
  const random = () => 0.5;
  const onEvent = () => {};
  const tuning = DEFAULT_TUNING;
  const shared = { table, clock, time, tuning, counters, onEvent, refusals, random };
  const fetches = new LeaseFetches({
    ...shared,
    calls: new SourceCalls({
      source,
      time,
      random,
      schedule: (delayMs, callback) => clock.schedule(delayMs, callback),
      limits: DEFAULT_CALL_LIMITS,
      onCircuit() {},
    }),
    lifecycle: new LeaseLifecycle({ ...shared, maxLeases: 10, onRenewalDue() {} }),
    installer: undefined as never,
    closing: new AbortController().signal,
  });
  for (const [index, code] of (["key_not_found", "unavailable"] as const).entries()) {
    const asked = [table.onService(T, "made-up"), table.onVersion(T, "other", 7)].map((lease) =>
      fetches.fetch(lease, true).promise.catch(() => {}),
    );
    expect(table.tenants.size).toBe(1);
    for (const question of source.questions.slice(2 * index)) await question.fail(code);
    await Promise.all(asked);
    expect(table.tenants.size).toBe(0);
  }
});

test("what is to be warm is asked for again after what the source wishes, and half of 0.5, 1, 2, … seconds", async () => {
  const world = createWorld({ calls: { failuresToOpen: 1_000 } });
  world.source.answer = (question) => question.fail("unavailable");
  const asking = askedWithin(world, 8_000);
  void world.cache.prewarm([{ tenant: T, service: S }]);
  expect(await asking).toEqual([0, 1_250, 2_750, 4_750, 7_750]);
});
