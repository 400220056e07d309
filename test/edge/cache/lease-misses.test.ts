/** What a request is told that no held lease serves: at once, or after it has waited; and how each is counted. */
import { describe, expect, test } from "bun:test";
import type { LeaseEvent } from "../../../src/edge/cache/lease-events.ts";
import { settle } from "../../support/virtual-clock.ts";
import { createWorld, granted, type World } from "./world.ts";

const T = "tenant-a";
const S = "billing";

async function told(use: () => unknown): Promise<{ code: string; message: string }> {
  try {
    await use();
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    return { code, message };
  }
  return { code: "served", message: "" };
}

const counted = ({ cache }: World) => {
  const { hits, misses, refusals } = cache.counters;
  return { hits, misses, refusals };
};

/** Versions 1 and 2 are held of the service. */
async function holding(world: World): Promise<void> {
  const waiting = world.cache.active(T, S);
  await world.source.questions.at(-1)!.grant({ versions: [granted(2), granted(1, "deprecated")] });
  await waiting;
}

describe("refused at once, counted as a refusal and not as a miss", () => {
  const ways = {
    "the active version": (world: World) => told(() => world.cache.active(T, S)),
    "a version": (world: World) => told(() => world.cache.version(T, S, 1)),
  };
  for (const [what, ask] of Object.entries(ways)) {
    test(`${what}, while silence forbids serving`, async () => {
      const world = createWorld();
      world.gate.open = false;
      expect(await ask(world)).toMatchObject({
        code: "lease_unavailable",
        message: expect.stringContaining("transport"),
      });
      expect(counted(world)).toEqual({ hits: 0, misses: 0, refusals: 1 });
      expect(world.source.questions).toHaveLength(0);
    });

    test(`${what}, while it is blocked`, async () => {
      const world = createWorld();
      world.gate.blocked.add(`${T}/${S}`);
      expect(await ask(world)).toMatchObject({ code: "key_revoked" });
      expect(counted(world)).toEqual({ hits: 0, misses: 0, refusals: 1 });
      expect(world.source.questions).toHaveLength(0);
    });

    test(`${what}, while the source's refusal is remembered`, async () => {
      const world = createWorld();
      const first = ask(world);
      await world.source.questions[0]!.fail("key_not_found");
      expect(await first).toMatchObject({ code: "key_not_found" });
      expect(await ask(world)).toMatchObject({ code: "key_not_found" });
      // A version is looked for in the lease first: it is that which was refused.
      const misses = what === "a version" ? 2 : 1;
      expect(counted(world)).toEqual({ hits: 0, misses, refusals: 1 });
      expect(world.source.questions).toHaveLength(1);
    });

    test(`${what}, while the circuit is open; one that waits for a call that is under way goes on waiting`, async () => {
      const world = createWorld({ calls: { failuresToOpen: 1 } });
      const hanging = told(() => world.cache.active("tenant-b", S));
      const first = ask(world);
      await world.source.questions[1]!.fail("unavailable");
      expect(await first).toMatchObject({ code: "lease_unavailable" });
      expect(await ask(world)).toMatchObject({ code: "lease_unavailable" });
      expect(counted(world)).toEqual({ hits: 0, misses: 2, refusals: 1 });
      const joining = told(() => world.cache.active("tenant-b", S));
      await world.source.questions[0]!.grant();
      expect([await hanging, await joining].map(({ code }) => code)).toEqual(["served", "served"]);
    });

    test(`${what}, once the edge stops`, async () => {
      const world = createWorld();
      world.cache.close();
      expect(await ask(world)).toEqual({ code: "lease_unavailable", message: "This edge is stopping." });
    });
  }
});

describe("what happens while a caller waits decides", () => {
  type Mishap = (world: World) => void;
  const mishaps: [string, Mishap, { code: string; message: RegExp }][] = [
    [
      "silence",
      ({ gate }) => {
        gate.open = false;
      },
      { code: "lease_unavailable", message: /No revocation transport/ },
    ],
    [
      "a block",
      ({ gate }) => void gate.blocked.add(`${T}/${S}`).add(`${T}/${S}/1`),
      { code: "key_revoked", message: /revoked/ },
    ],
    ["a drop", ({ cache }) => cache.dropAll("test"), { code: "lease_unavailable", message: /ended as soon/ }],
    ["the deadline", ({ clock }) => clock.jumpWall(300_000), { code: "lease_unavailable", message: /ended as soon/ }],
    ["the stop", ({ cache }) => cache.close(), { code: "lease_unavailable", message: /^This edge is stopping/ }],
  ];

  /** A world in which the mishap comes in the very moment when the answer to question `number` is installed. */
  function worldWith(mishap: Mishap, number: number): World {
    let installed = 0;
    const world: World = createWorld({
      onEvent: ({ type }: LeaseEvent) => {
        if (type === "installed" && ++installed === number) mishap(world);
      },
    });
    return world;
  }

  test.each(mishaps)("for the active version: %s", async (_, mishap, expected) => {
    const world = worldWith(mishap, 1);
    const answer = told(() => world.cache.active(T, S));
    await world.source.questions[0]!.grant();
    expect(await answer).toEqual({ code: expected.code, message: expect.stringMatching(expected.message) });
  });

  test.each(mishaps)("for a version alone: %s", async (_, mishap, expected) => {
    const world = worldWith(mishap, 2);
    await holding(world);
    const answer = told(() => world.cache.version(T, S, 9));
    if (expected.code === "key_revoked") world.gate.blocked.delete(`${T}/${S}`);
    await world.source.questions[1]!.grant();
    expect(await answer).toEqual({ code: expected.code, message: expect.stringMatching(expected.message) });
  });

  test.each(mishaps.filter(([name]) => !["a drop", "the deadline"].includes(name)))(
    "for a version that the lease on the service brings: %s",
    async (_, mishap, expected) => {
      const world = worldWith(mishap, 1);
      const answer = told(() => world.cache.version(T, S, 1));
      await world.source.questions[0]!.grant({ versions: [granted(2), granted(1, "deprecated")] });
      expect(await answer).toEqual({ code: expected.code, message: expect.stringMatching(expected.message) });
      expect(world.source.questions).toHaveLength(1);
    },
  );

  test("a lease that is over is not looked into for a version: the version is asked for alone", async () => {
    const world = worldWith(({ clock }) => clock.jumpWall(300_000), 1);
    const answer = told(() => world.cache.version(T, S, 1));
    await world.source.questions[0]!.grant({ versions: [granted(2), granted(1, "deprecated")] });
    expect(world.source.questions[1]!.request).toEqual({ tenant: T, service: S, version: 1 });
    await world.source.questions[1]!.grant();
    expect((await answer).code).toBe("served");
  });

  test("a version that was refused meanwhile is not asked for again", async () => {
    const world = createWorld();
    await holding(world);
    const alone = told(() => world.cache.version(T, S, 9));
    world.cache.dropAll("test");
    const again = told(() => world.cache.version(T, S, 9));
    // 0: the lease; 1: the version alone, from before the drop; 2: the lease again.
    await world.source.questions[1]!.fail("key_not_found");
    expect((await alone).code).toBe("key_not_found");
    await world.source.questions[2]!.grant({ versions: [granted(2)] });
    expect((await again).code).toBe("key_not_found");
    expect(world.source.questions).toHaveLength(3);
  });

  test("the active version may be one that is blocked: then nothing wraps, and the others open on", async () => {
    const world = createWorld();
    world.gate.blocked.add(`${T}/${S}/2`);
    const answer = told(() => world.cache.active(T, S));
    await world.source.questions[0]!.grant({ versions: [granted(2), granted(1, "deprecated")] });
    expect((await answer).code).toBe("key_revoked");
    expect(world.cache.version(T, S, 1)).toMatchObject({ version: 1 });
    // Remembered: it isn't asked about again for a moment.
    expect((await told(() => world.cache.active(T, S))).code).toBe("key_revoked");
    expect(world.source.questions).toHaveLength(1);
  });
});

test("a lease that is over ends when somebody asks, not when the timer comes", async () => {
  const world = createWorld();
  await holding(world);
  world.clock.jumpWall(300_000);
  const answers = [told(() => world.cache.active(T, S)), told(() => world.cache.version(T, S, 1))];
  expect(world.keyMemory.slots.size).toBe(0);
  expect(world.cache.counters.expired).toBe(1);
  await world.source.questions[1]!.grant();
  expect((await Promise.all(answers)).map(({ code }) => code)).toEqual(["served", "served"]);
});

test("what happens to a lease is told with its version where that was asked for alone, and without one of a whole service", async () => {
  const world = createWorld();
  await holding(world);
  const single = told(() => world.cache.version(T, S, 9));
  await world.source.questions[1]!.grant();
  expect((await single).code).toBe("served");
  expect(world.events).toMatchObject([
    { type: "installed", tenant: T, service: S, version: undefined },
    { type: "installed", tenant: T, service: S, version: 9 },
  ]);
});

test("a version alone that is over ends when somebody asks", async () => {
  const world = createWorld();
  await holding(world);
  const first = told(() => world.cache.version(T, S, 9));
  await world.source.questions[1]!.grant({ ttlMs: 5_000, refreshAfterMs: 4_900 });
  expect((await first).code).toBe("served");
  world.clock.jumpWall(5_000);
  const again = told(() => world.cache.version(T, S, 9));
  expect(world.cache.counters.expired).toBe(1);
  expect(world.keyMemory.slots.size).toBe(2);
  await world.source.questions.at(-1)!.grant();
  expect((await again).code).toBe("served");
});

test("renewing all early spreads what is due later, and leaves what is due sooner", async () => {
  let next = 0;
  const world = createWorld({ random: () => next++ / 100, maxLeases: 100 });
  for (let index = 0; index < 10; index++) {
    const waiting = world.cache.active(T, `service-${index}`);
    await world.source.questions.at(-1)!.grant();
    await waiting;
  }
  const before = world.source.questions.length;
  next = 0;
  world.cache.renewAll();
  await settle();
  const asked: number[] = [];
  for (let at = 0; at < 5_000; at += 50) {
    await world.clock.advance(50);
    while (world.source.questions.length - before > asked.length) {
      asked.push(at + 50);
      await world.source.questions[before + asked.length - 1]!.grant();
    }
  }
  // random() is 0, 0.01, 0.02 …, over five seconds: a lease every 50 ms.
  expect(asked).toHaveLength(10);
  expect(asked.at(-1)! - asked[0]!).toBeGreaterThanOrEqual(400);
  expect(asked.at(-1)!).toBeLessThanOrEqual(600);
});

test("prewarming what is held asks nobody", async () => {
  const world = createWorld();
  await holding(world);
  expect(await world.cache.prewarm([{ tenant: T, service: S }])).toEqual([]);
  expect(world.source.questions).toHaveLength(1);
});

test("a caller is told when to ask again: when the source said, and after a second where it said nothing", async () => {
  for (const [wishMs, retryAfterMs] of [
    [undefined, 1_000],
    [7_000, 7_000],
  ]) {
    const world = createWorld();
    const waiting = world.cache.active(T, S);
    await world.source.questions[0]!.fail("unavailable", wishMs);
    await expect(waiting as Promise<unknown>).rejects.toMatchObject({ code: "lease_unavailable", retryAfterMs });
  }
});

test("each caller that waits is told of, with what it waits for and until when; a hit and a refusal are not", async () => {
  const waiters: [string, string, number | undefined][] = [];
  const waits: Promise<unknown>[] = [];
  const world = createWorld({
    onMiss(tenant, service, version, waiting) {
      waiters.push([tenant, service, version]);
      waits.push(waiting);
    },
  });
  const answers = [world.cache.active(T, S), world.cache.version(T, S, 1)];
  await world.source.questions[0]!.grant({ versions: [granted(2), granted(1, "deprecated")] });
  const served = await Promise.all(answers);
  expect(await Promise.all(waits)).toEqual(served);
  world.cache.active(T, S);
  world.cache.version(T, S, 1);
  world.gate.open = false;
  await told(() => world.cache.active(T, S));
  expect(waiters).toEqual([
    [T, S, undefined],
    [T, S, 1],
  ]);
});
