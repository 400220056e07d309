import { describe, expect, test } from "bun:test";
import type { LeasedVersion } from "../../../src/edge/cache/lease-cache.ts";
import type { LeaseGrant } from "../../../src/edge/key-source/key-source.ts";
import { settle } from "../../support/virtual-clock.ts";
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

describe("the hard deadline", () => {
  test("counts from the moment of asking, not of the answer", async () => {
    const world = createWorld();
    const waiting = active(world);
    await world.clock.advance(4_000);
    await world.source.questions[0]!.grant({ ttlMs: 10_000, refreshAfterMs: 9_000 });
    await waiting;
    await world.clock.advance(5_999);
    expect(isHit(active(world))).toBe(true);
    await world.clock.advance(1);
    expect(world.keyMemory.slots.size).toBe(0);
    expect(isHit(active(world))).toBe(false);
  });

  test("is over at its very millisecond, even before any timer has run", async () => {
    const world = await holding({ ttlMs: 10_000, refreshAfterMs: 9_000 });
    world.clock.jumpWall(9_999);
    expect(isHit(active(world))).toBe(true);
    world.clock.jumpWall(1);
    expect(isHit(active(world))).toBe(false);
    expect(world.keyMemory.slots.size).toBe(0);
  });

  test("is the edge's own where the source grants longer", async () => {
    const world = await holding({ ttlMs: 10_000_000, refreshAfterMs: 9_000_000 }, { ttlMs: 5_000 });
    expect(world.cache.leases()).toMatchObject([{ remainingMs: 5_000 }]);
  });

  test("holds after the machine slept, and wipes within a second of waking though nobody asks", async () => {
    const world = await holding();
    world.clock.suspend(300_000);
    expect(world.keyMemory.slots.size).toBe(1);
    await world.clock.advance(1_000);
    expect(world.keyMemory.slots.size).toBe(0);
    expect(isHit(active(world))).toBe(false);
  });

  test("is not stretched by a wall clock set back, nor by a sleep after that", async () => {
    const world = await holding();
    world.clock.jumpWall(-86_400_000);
    await world.clock.advance(1_000);
    world.clock.suspend(299_000);
    expect(isHit(active(world))).toBe(false);
  });

  test("wipes keys and derived keys by itself when the source is down", async () => {
    const world = await holding();
    world.leased.session.wrap(new Uint8Array(32), new Uint8Array(0));
    world.source.answer = (question) => question.fail("unavailable");
    await world.clock.advance(299_999);
    expect(isHit(active(world))).toBe(true);
    await world.clock.advance(1);
    expect(world.keyMemory.slots.size).toBe(0);
    expect(world.cipher.sessions).toEqual([{ wiped: true }]);
    expect(world.cache.counters.expired).toBe(1);
    expect(await codeOf(() => world.leased.session)).toBe("lease_unavailable");
  });

  test("refuses a lease that is over before it arrives, and wipes it", async () => {
    const world = createWorld({ calls: { callTimeoutMs: 60_000 } });
    const refused = codeOf(() => active(world));
    await world.clock.advance(20_000);
    const grant = await world.source.questions[0]!.grant({ ttlMs: 20_000, refreshAfterMs: 10_000 });
    expect(await refused).toBe("lease_unavailable");
    expect(grant.versions[0]!.key).toEqual(new Uint8Array(32));
  });
});

describe("renewal", () => {
  test("happens in the background, between half and all of the time to the soft deadline", async () => {
    for (const [random, dueMs] of [
      [0, 240_000],
      [0.5, 180_000],
      [0.999999, 120_001],
    ] as const) {
      const world = await holding({}, { random: () => random });
      await world.clock.advance(dueMs - 1_000);
      expect(world.source.questions).toHaveLength(1);
      await world.clock.advance(1_000);
      expect(world.source.questions).toHaveLength(2);
      expect(isHit(active(world))).toBe(true);
    }
  });

  test("spreads 1,000 leases made in the same moment evenly", async () => {
    const world = createWorld({ random: Math.random });
    world.source.answer = (question) => question.grant();
    await Promise.all(Array.from({ length: 1_000 }, (_, index) => world.cache.active("tenant-a", `service-${index}`)));
    const perTenSeconds: number[] = [];
    for (let elapsedMs = 0; elapsedMs < 240_000; elapsedMs += 10_000) {
      const before = world.source.questions.length;
      await world.clock.advance(10_000);
      perTenSeconds.push(world.source.questions.length - before);
    }
    expect(Math.max(...perTenSeconds)).toBeLessThan(200);
    expect(perTenSeconds.slice(0, 11).every((calls) => calls === 0)).toBe(true);
  });

  test("extends the lease, and goes on with the same session", async () => {
    const world = await holding();
    const { session } = world.leased;
    await world.clock.advance(180_000);
    await world.source.questions[1]!.grant();
    await world.clock.advance(200_000);
    expect(active(world)).toBe(world.leased);
    expect(world.leased.session).toBe(session);
    expect(world.keyMemory.slots.size).toBe(1);
  });

  test("takes another key under the same version for another key", async () => {
    const world = await holding();
    const { session } = world.leased;
    await world.clock.advance(180_000);
    await world.source.questions[1]!.grant({
      versions: [{ version: 1, state: "active", key: new Uint8Array(32).fill(9) }],
    });
    expect(active(world)).not.toBe(world.leased);
    expect(() => session.wrap(new Uint8Array(32), new Uint8Array(0))).toThrow("wiped");
    expect(world.keyMemory.slots.size).toBe(1);
  });

  test("that fails keeps the lease, and is tried again with growing waits, to the hard deadline", async () => {
    const world = await holding({}, { random: () => 0.999999, calls: { failuresToOpen: 1_000 } });
    world.source.answer = (question) => question.fail("unavailable");
    const askedAtMs: number[] = [];
    for (let elapsedMs = 0; elapsedMs < 300_000; elapsedMs += 100) {
      const before = world.source.questions.length;
      if (elapsedMs % 1_000 === 0) expect(isHit(active(world))).toBe(true);
      await world.clock.advance(100);
      if (world.source.questions.length > before) askedAtMs.push(elapsedMs);
    }
    const waitsMs = askedAtMs.slice(1).map((atMs, index) => atMs - askedAtMs[index]!);
    expect(waitsMs.slice(0, 5).map((ms) => Math.round(ms / 1_000))).toEqual([1, 2, 4, 8, 16]);
    expect(waitsMs.length).toBeGreaterThan(8);
    expect(waitsMs.length).toBeLessThan(25);
    expect(await codeOf(() => active(world))).toBe("lease_unavailable");
  });

  test("that is refused for good ends the lease at once", async () => {
    for (const [code, refusal] of [
      ["key_not_found", "key_not_found"],
      ["key_revoked", "key_revoked"],
      ["edge_not_allowed", "access_denied"],
    ] as const) {
      const world = await holding();
      await world.clock.advance(180_000);
      await world.source.questions[1]!.fail(code);
      expect(world.keyMemory.slots.size).toBe(0);
      expect(await codeOf(() => active(world))).toBe(refusal);
      expect(world.cache.counters.withdrawn).toBe(1);
    }
  });

  test("that fails once the lease is over has nothing to keep: the lease has expired, and is wiped at once", async () => {
    for (const code of ["unavailable", "key_not_found"] as const) {
      const world = await holding({ ttlMs: 5_000, refreshAfterMs: 4_000 }, { calls: { callTimeoutMs: 60_000 } });
      world.cache.renew("tenant-a", "billing");
      await world.clock.advance(4_980);
      // Less than a jump: no timer runs between it and the answer.
      world.clock.jumpWall(20);
      await world.source.questions[1]!.fail(code);
      expect(world.keyMemory.slots.size).toBe(0);
      expect(world.cache.counters).toMatchObject({ expired: 1, renewalFailures: 0, withdrawn: 0 });
      expect(world.events.map(({ type }) => type)).toEqual(["installed", "expired"]);
    }
  });

  test("stops for a lease that nobody uses, unless it was prewarmed", async () => {
    const world = createWorld({ tuning: { idleAfterMs: 600_000 } });
    world.source.answer = (question) => question.grant();
    expect(await world.cache.prewarm([{ tenant: "tenant-a", service: "warm" }])).toEqual([]);
    await world.cache.active("tenant-a", "idle");
    await world.clock.advance(1_800_000);
    expect(world.cache.leases().map(({ service }) => service)).toEqual(["warm"]);
  });

  test("asked for while one is under way is done again after it, for its answer may be old", async () => {
    const world = await holding();
    world.cache.renew("tenant-a", "billing");
    world.cache.renew("tenant-a", "billing");
    expect(world.source.questions).toHaveLength(2);
    await world.source.questions[1]!.grant();
    expect(world.source.questions).toHaveLength(3);
    await world.source.questions[2]!.grant({ versions: [granted(2), granted(1, "deprecated")] });
    expect(world.source.questions).toHaveLength(3);
    expect(active(world)).toMatchObject({ version: 2 });
  });

  test("of all leases early is spread, and bounded in flight", async () => {
    const world = createWorld({ random: Math.random });
    world.source.answer = (question) => question.grant();
    await Promise.all(Array.from({ length: 500 }, (_, index) => world.cache.active("tenant-a", `service-${index}`)));
    world.source.answer = undefined;
    world.source.questions.splice(0);
    world.cache.renewAll();
    await world.clock.advance(1_000);
    expect(world.source.questions.length).toBeGreaterThan(0);
    await world.clock.advance(3_000);
    expect(world.source.questions.length).toBeLessThanOrEqual(16);
    world.source.answer = (question) => question.grant();
    for (const question of world.source.questions.slice(0)) await question.grant();
    await world.clock.advance(5_000);
    expect(world.source.questions.length).toBe(500);
  });
});

describe("versions", () => {
  test("a version that the lease lacks is fetched alone, once, and kept", async () => {
    const world = await holding({ versions: [granted(3)] });
    const waiting = [1, 2, 3].map(() => world.cache.version("tenant-a", "billing", 1));
    expect(world.source.questions).toHaveLength(2);
    expect(world.source.questions[1]!.request).toEqual({ tenant: "tenant-a", service: "billing", version: 1 });
    await world.source.questions[1]!.grant();
    const [first] = await Promise.all(waiting);
    expect(world.cache.version("tenant-a", "billing", 1)).toBe(first!);
    expect(active(world)).toMatchObject({ version: 3 });
    expect(world.source.questions).toHaveLength(2);
  });

  test("each hit is counted: on the active version, on one of the lease, and on one that is held alone", async () => {
    const world = await holding({ versions: [granted(3), granted(2, "deprecated")] });
    const alone = world.cache.version("tenant-a", "billing", 1);
    await world.source.questions[1]!.grant();
    await alone;
    const { hits } = world.cache.counters;
    active(world);
    expect(world.cache.counters.hits).toBe(hits + 1);
    for (const version of [2, 1]) world.cache.version("tenant-a", "billing", version);
    expect(world.cache.counters.hits).toBe(hits + 3);
  });

  test("a blob's version, with no lease held, is first looked for in the lease", async () => {
    const world = createWorld();
    const waiting = world.cache.version("tenant-a", "billing", 2);
    await world.source.questions[0]!.grant({ versions: [granted(3), granted(2, "deprecated")] });
    expect(await waiting).toMatchObject({ version: 2 });
    expect(world.source.questions).toHaveLength(1);
  });

  test("opens an old version though none may wrap any more", async () => {
    const world = createWorld();
    const waiting = world.cache.version("tenant-a", "billing", 1);
    await world.source.questions[0]!.fail("key_revoked");
    await world.source.questions[1]!.grant();
    expect(await waiting).toMatchObject({ version: 1 });
    expect(await codeOf(() => active(world))).toBe("key_revoked");
  });

  test("a version alone never wraps, whatever its state", async () => {
    const world = await holding({ versions: [granted(3)] });
    const waiting = world.cache.version("tenant-a", "billing", 4);
    await world.source.questions[1]!.grant({ versions: [granted(4, "active")] });
    expect(await waiting).toMatchObject({ version: 4, state: "active" });
    expect(active(world)).toMatchObject({ version: 3 });
    expect(world.source.questions[2]!.request).toEqual({ tenant: "tenant-a", service: "billing" });
    await world.source.questions[2]!.grant({ versions: [granted(4), granted(3, "deprecated")] });
    expect(active(world)).toMatchObject({ version: 4 });
    expect(world.cache.leases()).toHaveLength(1);
  });

  test("a version in use that the renewed lease lacks opens on, and is asked about", async () => {
    const world = await holding();
    world.leased.session.wrap(new Uint8Array(32), new Uint8Array(0));
    await world.clock.advance(180_000);
    await world.source.questions[1]!.grant({ versions: [granted(2)] });
    expect(active(world)).toMatchObject({ version: 2 });
    expect(world.cache.version("tenant-a", "billing", 1)).toMatchObject({ version: 1, state: "deprecated" });
    await world.clock.advance(1_000);
    expect(world.source.questions[2]!.request).toMatchObject({ version: 1 });
    await world.source.questions[2]!.fail("key_revoked");
    expect(await codeOf(() => world.cache.version("tenant-a", "billing", 1))).toBe("key_revoked");
    expect(world.keyMemory.slots.size).toBe(1);
  });
});

describe("revocation", () => {
  test("wipes a version, a service, a tenant, before it returns", async () => {
    const world = createWorld();
    world.source.answer = (question) => question.grant({ versions: [granted(2), granted(1, "deprecated")] });
    const names = [
      ["tenant-a", "billing"],
      ["tenant-a", "mail"],
      ["tenant-b", "billing"],
    ] as const;
    for (const [tenant, service] of names) await world.cache.active(tenant, service);
    expect(world.keyMemory.slots.size).toBe(6);
    expect(world.cache.revoke({ tenant: "tenant-a", service: "billing", version: 2 })).toBe(1);
    expect(world.keyMemory.slots.size).toBe(5);
    expect(isHit(world.cache.version("tenant-a", "billing", 1))).toBe(true);
    expect(isHit(active(world))).toBe(false);
    expect(world.cache.revoke({ tenant: "tenant-a", service: "mail" })).toBe(2);
    expect(world.cache.revoke({ tenant: "tenant-b" })).toBe(2);
    expect(world.cache.revoke({ tenant: "tenant-c" })).toBe(0);
    expect(world.cache.counters.revokedVersions).toBe(5);
  });

  test("wipes versions held alone too", async () => {
    const world = await holding({ versions: [granted(3)] });
    const waiting = world.cache.version("tenant-a", "billing", 1);
    await world.source.questions[1]!.grant();
    await waiting;
    expect(world.cache.revoke({ tenant: "tenant-a", service: "billing" })).toBe(2);
    expect(world.keyMemory.slots.size).toBe(0);
  });

  test("refuses what is blocked from memory", async () => {
    const world = createWorld();
    world.gate.blocked.add("tenant-a/billing");
    expect(await codeOf(() => active(world))).toBe("key_revoked");
    expect(await codeOf(() => world.cache.version("tenant-a", "billing", 1))).toBe("key_revoked");
    expect(world.source.questions).toHaveLength(0);
  });

  test("throws away an answer that a revocation overtook, wipes it, and asks again", async () => {
    const world = createWorld();
    const waiting = active(world);
    world.gate.lowestSeq = 7;
    const stale = await world.source.questions[0]!.grant({ revocationSeq: 6 });
    expect(stale.versions[0]!.key).toEqual(new Uint8Array(32));
    expect(world.keyMemory.slots.size).toBe(0);
    await world.clock.advance(1_000);
    await world.source.questions[1]!.grant({ revocationSeq: 7 });
    expect(await waiting).toMatchObject({ version: 1 });
    expect(world.cache.counters.staleGrants).toBe(1);
  });

  test("gives up on a source that keeps answering from before a revocation", async () => {
    const world = createWorld();
    world.gate.lowestSeq = 7;
    world.source.answer = (question) => question.grant({ revocationSeq: 6 });
    const code = codeOf(() => active(world));
    await world.clock.advance(10_000);
    expect(await code).toBe("lease_unavailable");
    expect(world.source.questions).toHaveLength(6);
  });

  test("never installs a version that is blocked, whatever the source grants", async () => {
    const world = createWorld();
    world.gate.blocked.add("tenant-a/billing/2");
    const code = codeOf(() => active(world));
    await world.source.questions[0]!.grant({ versions: [granted(2), granted(1, "deprecated")] });
    expect(await code).toBe("key_revoked");
    expect(world.cache.leases()).toMatchObject([{ versions: [{ version: 1, state: "deprecated" }] }]);
    expect(await codeOf(() => active(world))).toBe("key_revoked");
    expect(world.source.questions).toHaveLength(1);
  });

  test("holds no lease of which every version is blocked, and wipes what was granted", async () => {
    const world = createWorld();
    world.gate.blocked.add("tenant-a/billing/1").add("tenant-a/billing/2");
    const code = codeOf(() => active(world));
    const grant = await world.source.questions[0]!.grant({ versions: [granted(2), granted(1, "deprecated")] });
    expect(await code).toBe("key_revoked");
    expect(world.cache.leases()).toEqual([]);
    expect(world.events.map(({ type }) => type)).toEqual([]);
    for (const { key } of grant.versions) expect(key).toEqual(new Uint8Array(32));
  });

  test("drops all leases, and every call in flight at that moment", async () => {
    const world = await holding();
    const other = world.cache.active("tenant-a", "mail");
    world.cache.dropAll("a hole in the log");
    expect(world.keyMemory.slots.size).toBe(0);
    expect(world.cache.counters.dropped).toBe(1);
    expect(world.events.at(-1)).toEqual({ type: "dropped_all", reason: "a hole in the log", leases: 1 });
    const stale = await world.source.questions[1]!.grant();
    expect(stale.versions[0]!.key).toEqual(new Uint8Array(32));
    expect(world.keyMemory.slots.size).toBe(0);
    await world.clock.advance(1_000);
    await world.source.questions[2]!.grant();
    expect(await other).toMatchObject({ service: "mail" });
  });

  test("drops what was refused too: the source may know better now", async () => {
    const world = createWorld();
    const refused = codeOf(() => active(world));
    await world.source.questions[0]!.fail("key_not_found");
    expect(await refused).toBe("key_not_found");
    world.cache.dropAll("a hole in the log");
    expect([world.events, world.cache.counters.dropped]).toEqual([[], 0]);
    const again = active(world);
    await world.source.questions[1]!.grant();
    expect(await again).toMatchObject({ version: 1 });
  });

  test("serves nothing while silence forbids it", async () => {
    const world = await holding();
    world.gate.open = false;
    expect(await codeOf(() => active(world))).toBe("lease_unavailable");
    expect(await codeOf(() => world.cache.version("tenant-a", "billing", 1))).toBe("lease_unavailable");
    world.gate.open = true;
    expect(isHit(active(world))).toBe(true);
  });
});

describe("made-up names", () => {
  test("are refused from memory for a moment, then asked about again", async () => {
    const world = createWorld();
    const first = codeOf(() => active(world));
    await world.source.questions[0]!.fail("key_not_found");
    expect(await first).toBe("key_not_found");
    for (let turn = 0; turn < 100; turn++) expect(await codeOf(() => active(world))).toBe("key_not_found");
    expect(world.source.questions).toHaveLength(1);
    await world.clock.advance(5_000);
    void codeOf(() => active(world));
    expect(world.source.questions).toHaveLength(2);
  });

  test("are asked about again at once when a block was lifted", async () => {
    const world = createWorld();
    const first = codeOf(() => active(world));
    await world.source.questions[0]!.fail("key_revoked");
    await first;
    world.cache.forget({ tenant: "tenant-a", service: "billing" });
    void codeOf(() => active(world));
    expect(world.source.questions).toHaveLength(2);
  });

  test("reach the source no faster than a limit, and take no memory without bound", async () => {
    const world = createWorld({ tuning: { maxRefusals: 50 }, calls: { missBudget: { perSecond: 10, burst: 40 } } });
    world.source.answer = (question) => question.fail("key_not_found");
    const codes = new Map<string, number>();
    for (let second = 0; second < 10; second++) {
      for (let index = 0; index < 100; index++) {
        const code = await codeOf(() => world.cache.active("tenant-a", `made-up-${second}-${index}`));
        codes.set(code, (codes.get(code) ?? 0) + 1);
        await settle();
      }
      await world.clock.advance(1_000);
    }
    expect(world.source.questions.length).toBeLessThanOrEqual(40 + 10 * 10);
    expect(codes.get("rate_limited")).toBe(1_000 - world.source.questions.length);
    expect(world.cache.summary()).toMatchObject({ refusalsRemembered: 50, leases: 0 });
  });

  test("do not slow the cold start of 1,000 keys that are there", async () => {
    const world = createWorld();
    world.source.answer = (question) => question.grant();
    const names = Array.from({ length: 1_000 }, (_, index) => `service-${index}`);
    const answers = await Promise.all(names.map((name) => world.cache.active("tenant-a", name)));
    expect(answers).toHaveLength(1_000);
  });

  test("as versions of a key that is there are refused alone", async () => {
    const world = await holding();
    const code = codeOf(() => world.cache.version("tenant-a", "billing", 4_000_000_000));
    await world.source.questions[1]!.fail("key_not_found");
    expect(await code).toBe("key_not_found");
    expect(isHit(active(world))).toBe(true);
  });
});

describe("grants that break the contract", () => {
  const wrong: [string, Partial<LeaseGrant>][] = [
    ["another tenant", { tenant: "tenant-b" }],
    ["another service", { service: "mail" }],
    ["no time to live", { ttlMs: 0 }],
    ["a time to live without end", { ttlMs: Number.POSITIVE_INFINITY }],
    ["a time to live that is no number", { ttlMs: Number.NaN }],
    ["a negative time to renew", { refreshAfterMs: -1 }],
    ["no versions", { versions: [] }],
    ["no active version", { versions: [granted(1, "deprecated")] }],
    ["two active versions", { versions: [granted(1), granted(2)] }],
    ["the same version twice", { versions: [granted(1), granted(1, "deprecated")] }],
    ["version 0", { versions: [granted(0)] }],
    ["a compromised version", { versions: [{ ...granted(1), state: "compromised" as "active" }] }],
    ["a short key", { versions: [{ version: 1, state: "active", key: new Uint8Array(31).fill(1) }] }],
    ["a revocation number that is none", { revocationSeq: Number.NaN }],
  ];
  test.each(wrong)("%s: refused, and wiped", async (_, changes) => {
    const world = createWorld();
    const code = codeOf(() => active(world));
    const grant = await world.source.questions[0]!.grant(changes);
    expect(await code).toBe("lease_unavailable");
    expect(world.keyMemory.slots.size).toBe(0);
    for (const { key } of grant.versions) expect(key.every((byte) => byte === 0)).toBe(true);
  });

  test("nothing at all, or an error of another kind: refused", async () => {
    for (const answer of [undefined, null, 7, "key"]) {
      const world = createWorld();
      const source = { name: "odd", lease: async () => answer as unknown as LeaseGrant, close: async () => {} };
      const odd = createWorld({ source });
      expect(await codeOf(() => active(odd))).toBe("lease_unavailable");
      const code = codeOf(() => active(world));
      await world.source.questions[0]!.throwAnything(answer);
      expect(await code).toBe("lease_unavailable");
    }
  });

  test("keys are wiped in the grant, whether installed, late, or after close", async () => {
    const world = createWorld();
    const waiting = codeOf(() => active(world));
    const late = world.source.questions[0]!;
    await world.clock.advance(5_000);
    expect(late.signal.aborted).toBe(true);
    expect(await waiting).toBe("lease_unavailable");
    expect((await late.grant()).versions[0]!.key).toEqual(new Uint8Array(32));

    const next = active(world);
    const installed = await world.source.questions[1]!.grant();
    await next;
    expect(installed.versions[0]!.key).toEqual(new Uint8Array(32));

    const last = codeOf(() => world.cache.active("tenant-a", "mail"));
    world.cache.close();
    expect(await last).toBe("lease_unavailable");
    expect((await world.source.questions[2]!.grant()).versions[0]!.key).toEqual(new Uint8Array(32));
    expect(world.keyMemory.slots.size).toBe(0);
  });

  test("keys are wiped in a grant that arrived in the turn in which the cache closes", async () => {
    const world = createWorld();
    const { source } = world;
    const lease = source.lease.bind(source);
    source.lease = (request, signal) => {
      const grant = lease(request, signal);
      void grant.then(() => queueMicrotask(() => world.cache.close()));
      return grant;
    };
    const waiting = codeOf(() => active(world));
    const grant = await source.questions[0]!.grant();
    expect(await waiting).toBe("lease_unavailable");
    expect(grant.versions[0]!.key).toEqual(new Uint8Array(32));
    expect(world.keyMemory.slots.size).toBe(0);
  });
});

describe("bounds", () => {
  test("the least recently used lease goes, wiped", async () => {
    const world = createWorld({ maxLeases: 3 });
    world.source.answer = (question) => question.grant();
    for (const service of ["a", "b", "c"]) {
      await world.cache.active("tenant-a", service);
      await world.clock.advance(1_000);
    }
    expect(isHit(world.cache.active("tenant-a", "a"))).toBe(true);
    (await world.cache.active("tenant-a", "b")).session.wrap(new Uint8Array(32), new Uint8Array(0));
    await world.clock.advance(1_000);
    expect(isHit(world.cache.active("tenant-a", "a"))).toBe(true);
    expect(isHit(world.cache.active("tenant-a", "c"))).toBe(true);
    await world.cache.active("tenant-a", "d");
    expect(
      world.cache
        .leases()
        .map(({ service }) => service)
        .sort(),
    ).toEqual(["a", "c", "d"]);
    expect(world.keyMemory.slots.size).toBe(3);
    expect(world.cipher.sessions).toEqual([{ wiped: true }]);
    expect(world.cache.counters.evicted).toBe(1);
  });

  test("memory for keys that is full refuses the lease, and leaves nothing half done", async () => {
    const world = createWorld();
    world.keyMemory.full = true;
    const code = codeOf(() => active(world));
    const grant = await world.source.questions[0]!.grant();
    expect(await code).toBe("lease_unavailable");
    expect(grant.versions[0]!.key).toEqual(new Uint8Array(32));
    expect(world.cache.leases()).toEqual([]);
  });

  test("no timer runs when nothing is held", async () => {
    const world = await holding();
    world.cache.revoke({ tenant: "tenant-a" });
    await world.clock.advance(2_000);
    expect(world.clock.pending).toBe(0);
  });
});

describe("prewarm", () => {
  test("asks until each lease is held or refused for good", async () => {
    const world = createWorld();
    const keys = ["a", "b", "missing"].map((service) => ({ tenant: "tenant-a", service }));
    let down = true;
    world.source.answer = (question) => {
      if (down) return question.fail("unavailable");
      return question.request.service === "missing" ? question.fail("key_not_found") : question.grant();
    };
    let done = false;
    const warmed = world.cache.prewarm(keys).then((refused) => {
      done = true;
      return refused;
    });
    await world.clock.advance(20_000);
    expect(done).toBe(false);
    down = false;
    await world.clock.advance(60_000);
    expect(await warmed).toMatchObject([{ service: "missing", error: { code: "key_not_found" } }]);
    expect(isHit(world.cache.active("tenant-a", "a"))).toBe(true);
  });

  test("ends when the cache closes", async () => {
    const world = createWorld();
    world.source.answer = (question) => question.fail("unavailable");
    const warmed = world.cache.prewarm([{ tenant: "tenant-a", service: "a" }]);
    await world.clock.advance(1_000);
    world.cache.close();
    await warmed;
    expect(await codeOf(() => active(world))).toBe("lease_unavailable");
    expect(world.clock.pending).toBe(0);
  });
});

test("a lease tells how long it lasts, on the clock that is nearer to its end", async () => {
  const world = await holding();
  await world.clock.advance(100_000);
  expect(world.cache.summary()).toMatchObject({ leases: 1, shortestRemainingMs: 200_000, circuit: "closed" });
  world.clock.jumpWall(50_000);
  expect(world.cache.leases()).toEqual([
    {
      tenant: "tenant-a",
      service: "billing",
      versions: [{ version: 1, state: "active" }],
      remainingMs: 150_000,
      source: "test",
    },
  ]);
});

test("a source that answers at once makes a lease at once", async () => {
  const source = new AskedSource();
  source.answer = (question) => question.grant();
  const world = createWorld({ source });
  expect(await active({ ...world, source })).toMatchObject({ version: 1 });
  expect(isHit(active({ ...world, source }))).toBe(true);
});
