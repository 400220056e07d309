import { describe, expect, test } from "bun:test";
import type { LeasedVersion } from "../../src/cache/lease-cache.ts";
import type { LeaseGrant } from "../../src/key-source/key-source.ts";
import { settle } from "../support/virtual-clock.ts";
import { AskedSource, codeOf, createWorld, granted, type World } from "./world.ts";

/** A world that holds a lease on tenant-a/billing, asked for at this moment. */
async function holding(changes: Partial<LeaseGrant> = {}, options: Parameters<typeof createWorld>[0] = {}) {
  const world = createWorld(options);
  const waiting = world.cache.active("tenant-a", "billing");
  await world.source.questions[0]!.grant(changes);
  return { ...world, leased: await waiting };
}

const active = ({ cache }: World) => cache.active("tenant-a", "billing");
const isHit = (answer: LeasedVersion | Promise<LeasedVersion>): boolean => !(answer instanceof Promise);

describe("a hit", () => {
  test("is a value, not a promise, and asks nobody", async () => {
    const world = await holding();
    expect(active(world)).toBe(world.leased);
    expect(world.cache.version("tenant-a", "billing", 1)).toBe(world.leased);
    expect(world.source.questions).toHaveLength(1);
    expect(world.cache.counters).toMatchObject({ hits: 2, misses: 1 });
  });

  test("wraps under the active version, and opens under a deprecated one", async () => {
    const world = await holding({ versions: [granted(3), granted(2, "deprecated")] });
    expect(active(world)).toMatchObject({ version: 3, state: "active" });
    expect(world.cache.version("tenant-a", "billing", 2)).toMatchObject({ version: 2, state: "deprecated" });
  });
});

describe("a miss", () => {
  test("makes one call for 3,000 who wait", async () => {
    const world = createWorld();
    const waiting = Array.from({ length: 3_000 }, () => active(world));
    expect(world.source.questions).toHaveLength(1);
    await world.source.questions[0]!.grant();
    const answers = await Promise.all(waiting);
    expect(new Set(answers).size).toBe(1);
    expect(world.source.questions).toHaveLength(1);
  });

  test("shares a failure with those who wait, and asks anew for the next", async () => {
    const world = createWorld();
    const waiting = Promise.allSettled([active(world), active(world)]);
    await world.source.questions[0]!.fail("unavailable");
    for (const answer of await waiting) expect(answer).toMatchObject({ reason: { code: "lease_unavailable" } });
    const next = active(world);
    expect(world.source.questions).toHaveLength(2);
    await world.source.questions[1]!.grant();
    expect(await next).toMatchObject({ version: 1 });
  });
});

test("a source that answers at once makes a lease at once", async () => {
  const source = new AskedSource();
  source.answer = (question) => question.grant();
  const world = createWorld({ source });
  expect(await active({ ...world, source })).toMatchObject({ version: 1 });
  expect(isHit(active({ ...world, source }))).toBe(true);
  await settle();
  expect(await codeOf(() => world.cache.close())).toBe("no error");
});
