/** When the source is asked again, and what a failure means for a lease that is held. */
import { describe, expect, test } from "bun:test";
import { codeOf, createWorld, granted, type World } from "./world.ts";

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
