import { describe, expect, test } from "bun:test";
import type { AuthorityOrder } from "../../../src/edge/revocation/authority-blocks.ts";
import type { RevocationGuardOptions } from "../../../src/edge/revocation/revocation-guard.ts";
import { settle } from "../../support/virtual-clock.ts";
import { answer, createWorld, heartbeat, LOG, restore, revoke } from "./world.ts";

const SERVICE = { tenant: "t", service: "s" } as const;

function order(more: Partial<AuthorityOrder> = {}): AuthorityOrder {
  return { type: "revoke", issuer: "governance", scope: SERVICE, reason: "red button", ...more };
}

function createAuthorityWorld(options: Partial<RevocationGuardOptions> = {}) {
  const orders: AuthorityOrder[] = [];
  const world = createWorld({ random: () => 0.5, onAuthority: (one) => orders.push(one), ...options });
  world.core.events = [restore(1, { tenant: "other" })];
  const sink = world.guard.sink("orbital");
  sink.deliver(restore(1, { tenant: "other" }));
  const isBlocked = (version?: number): boolean => world.guard.isBlocked("t", "s", version);
  /** Long enough for the Core to say how far its log goes. */
  const fenced = async (): Promise<void> => world.clock.advance(1_000);
  return { ...world, orders, sink, isBlocked, fenced };
}

describe("an authority's revocation", () => {
  test("blocks and wipes at once, without a place in the log", async () => {
    const { sink, isBlocked, control, guard, orders } = createAuthorityWorld();
    expect(sink.applyAuthority(order())).toEqual({ outcome: "applied", wiped: expect.any(Number) });
    expect(control.calls).toContain("revoke t/s");
    expect([isBlocked(), isBlocked(3)]).toEqual([true, true]);
    expect(guard.isBlocked("t", "other")).toBe(false);
    expect(guard.status()).toMatchObject({ seq: 1, authorities: [{ issuer: "governance", blocks: 1, unfenced: 1 }] });
    expect(orders).toHaveLength(1);
    // It is the Core's lease that is refused, whenever it was answered.
    expect(guard.admits(answer(99))).toBe(true);
    expect(isBlocked(3)).toBe(true);
  });

  test("needs no log at all: an edge that has no place yet blocks too", () => {
    const world = createWorld();
    world.guard.sink("orbital").applyAuthority(order());
    expect(world.guard.isBlocked("t", "s", 1)).toBe(true);
  });

  test("is lifted by its issuer, not by another one", () => {
    const { sink, isBlocked, control } = createAuthorityWorld();
    sink.applyAuthority(order());
    expect(sink.applyAuthority(order({ type: "restore", issuer: "someone else" }))).toEqual({
      outcome: "lifted",
      blocks: 0,
    });
    expect(isBlocked(3)).toBe(true);
    expect(sink.applyAuthority(order({ type: "restore" }))).toEqual({ outcome: "lifted", blocks: 1 });
    expect(isBlocked(3)).toBe(false);
    expect(control.calls).toContain("forget t/s");
  });

  test("of a part is not touched by a word about another part, of its issuer or of the Core", async () => {
    const { sink, isBlocked, fenced } = createAuthorityWorld();
    sink.applyAuthority(order({ scope: { ...SERVICE, version: 3 } }));
    await fenced();
    const beside = [{ ...SERVICE, version: 4 }, { tenant: "t", service: "other" }, { tenant: "u" }];
    for (const [index, scope] of beside.entries()) {
      expect(sink.applyAuthority(order({ type: "restore", scope }))).toEqual({ outcome: "lifted", blocks: 0 });
      sink.deliver(restore(2 + index, scope));
    }
    expect([isBlocked(3), isBlocked(4), isBlocked()]).toEqual([true, false, false]);
  });

  test("of two authorities stands until both have lifted it", () => {
    const { sink, isBlocked } = createAuthorityWorld();
    sink.applyAuthority(order());
    sink.applyAuthority(order({ issuer: "another" }));
    sink.applyAuthority(order({ type: "restore" }));
    expect(isBlocked()).toBe(true);
    sink.applyAuthority(order({ type: "restore", issuer: "another" }));
    expect(isBlocked()).toBe(false);
  });

  test("is lifted by the Core's log, by a restore committed after it", async () => {
    const { sink, isBlocked, fenced } = createAuthorityWorld();
    sink.applyAuthority(order());
    await fenced();
    sink.deliver(restore(2, { tenant: "t" }));
    expect(isBlocked()).toBe(false);
  });

  test("is not lifted by a restore that the Core had committed before, however late it comes", async () => {
    const { sink, core, isBlocked, fenced, guard } = createAuthorityWorld();
    // Committed, on its way.
    core.events.push(restore(2, SERVICE));
    sink.applyAuthority(order());
    await fenced();
    expect(guard.status().authorities).toEqual([{ issuer: "governance", blocks: 1, unfenced: 0 }]);
    sink.deliver(restore(2, SERVICE));
    expect(isBlocked()).toBe(true);
    sink.deliver(restore(3, SERVICE));
    expect(isBlocked()).toBe(false);
  });

  test("waits for the fence: what the Core restores meanwhile counts by its number", async () => {
    const { sink, core, isBlocked, clock } = createAuthorityWorld();
    core.down = true;
    sink.applyAuthority(order());
    sink.deliver(restore(2, SERVICE));
    await clock.advance(60_000);
    expect(isBlocked()).toBe(true);
    // The Core comes back, and has committed no more than this one: it may have been before the block.
    core.events.push(restore(2, SERVICE));
    core.down = false;
    await clock.advance(60_000);
    expect(isBlocked()).toBe(true);
    sink.deliver(restore(3, SERVICE));
    expect(isBlocked()).toBe(false);
  });

  test("and a restore that overtakes the fence's answer lifts it once the fence is known", async () => {
    const { sink, isBlocked, clock } = createAuthorityWorld();
    sink.applyAuthority(order());
    // The Core is asked half a second later; its list does not have the newest event yet.
    sink.deliver(restore(2, SERVICE));
    expect(isBlocked()).toBe(true);
    await clock.advance(1_000);
    expect(isBlocked()).toBe(false);
  });

  test("stays when the log changes, or events are lost; a restore of the new log lifts it", async () => {
    const { sink, core, isBlocked, fenced, control } = createAuthorityWorld();
    sink.applyAuthority(order());
    await fenced();
    core.log = "log-b";
    sink.deliver(heartbeat(7, "log-b"));
    expect(control.count("dropAll")).toBe(1);
    expect(isBlocked()).toBe(true);
    sink.deliver({ ...restore(8, SERVICE), log: "log-b" });
    expect(isBlocked()).toBe(false);
  });

  test("is not lifted by the edge's old log when the Core has moved on to another", async () => {
    const { sink, core, isBlocked, fenced } = createAuthorityWorld();
    core.log = "log-b";
    sink.applyAuthority(order());
    await fenced();
    sink.deliver(restore(2, SERVICE));
    expect(isBlocked()).toBe(true);
  });

  test("is lifted in part, by whoever may lift it", async () => {
    const { sink, isBlocked, fenced, guard } = createAuthorityWorld();
    sink.applyAuthority(order({ scope: { tenant: "t" } }));
    const part = order({ type: "restore", scope: { ...SERVICE, version: 2 } });
    expect(sink.applyAuthority(part)).toEqual({ outcome: "lifted", blocks: 1 });
    expect([isBlocked(), isBlocked(1), isBlocked(2)]).toEqual([false, true, false]);
    await fenced();
    sink.deliver(restore(2, SERVICE));
    expect([isBlocked(), isBlocked(1), guard.isBlocked("t", "other")]).toEqual([false, false, true]);
    // A new order about the same is as new.
    sink.applyAuthority(order({ scope: { tenant: "t" } }));
    expect([isBlocked(), isBlocked(2)]).toEqual([true, true]);
    expect(guard.status().authorities).toMatchObject([{ blocks: 1 }]);
  });

  test("of which 256 parts were lifted by themselves is lifted in no further part", () => {
    const { sink, isBlocked } = createAuthorityWorld();
    sink.applyAuthority(order({ scope: { tenant: "t" } }));
    for (let version = 1; version <= 257; version++) {
      const scope = { ...SERVICE, version };
      expect(sink.applyAuthority(order({ type: "restore", scope }))).toEqual({ outcome: "lifted", blocks: 1 });
    }
    expect([isBlocked(1), isBlocked(256), isBlocked(257)]).toEqual([false, false, true]);
  });

  test("is lifted by the first 256 restores that came before the fence was known, by no later one", async () => {
    for (const [before, blocked] of [
      [255, false],
      [256, true],
    ] as const) {
      const { sink, isBlocked, fenced } = createAuthorityWorld();
      sink.applyAuthority(order());
      for (let index = 0; index < before; index++) sink.deliver(restore(2 + index, { tenant: "t", service: "other" }));
      sink.deliver(restore(2 + before, SERVICE));
      await fenced();
      expect(isBlocked()).toBe(blocked);
    }
  });

  test("of a part stands beside that of the whole: two blocks", () => {
    const { sink, guard, isBlocked } = createAuthorityWorld();
    sink.applyAuthority(order());
    sink.applyAuthority(order({ scope: { ...SERVICE, version: 3 }, id: "version 3" }));
    expect(guard.status().authorities).toMatchObject([{ blocks: 2 }]);
    sink.applyAuthority(order({ type: "restore", lifts: ["version 3"] }));
    expect([isBlocked(3), isBlocked(4)]).toEqual([true, true]);
  });

  test("is told of by its scope and nothing else", () => {
    const { sink, guard } = createAuthorityWorld();
    const scopes = [{ tenant: "t" }, SERVICE, { ...SERVICE, version: 3 }];
    for (const scope of scopes) sink.applyAuthority(order({ scope }));
    expect(guard.blocked()).toStrictEqual(scopes);
  });

  test("that was lifted while its fence was asked for takes no other block with it, and frees one place", async () => {
    const { sink, guard, isBlocked, fenced } = createAuthorityWorld({ limits: { maxScopes: 2 } });
    sink.applyAuthority(order());
    sink.applyAuthority(order({ scope: { tenant: "t", service: "other" } }));
    sink.deliver(restore(2, SERVICE));
    sink.applyAuthority(order({ type: "restore" }));
    await fenced();
    expect([isBlocked(), guard.isBlocked("t", "other")]).toEqual([false, true]);
    expect(sink.applyAuthority(order()).outcome).toBe("applied");
    expect(sink.applyAuthority(order({ scope: { tenant: "x" } })).outcome).toBe("full");
  });

  test("is lifted by itself, whichever place it has among those of its tenant", () => {
    const { sink, guard } = createAuthorityWorld();
    const scopes = ["a", "b", "c"].map((service) => ({ tenant: "t", service }));
    for (const scope of scopes) sink.applyAuthority(order({ scope }));
    sink.applyAuthority(order({ type: "restore", scope: scopes[1]! }));
    expect(guard.blocked()).toEqual([scopes[0]!, scopes[2]!]);
  });

  test("by name lifts no other order", () => {
    const { sink, isBlocked } = createAuthorityWorld();
    sink.applyAuthority(order({ id: "task-2" }));
    sink.applyAuthority(order({ type: "restore", lifts: ["task-1"] }));
    expect(isBlocked()).toBe(true);
    sink.applyAuthority(order({ type: "restore", lifts: ["task-1", "task-2"] }));
    expect(isBlocked()).toBe(false);
  });

  test("is refused, and said so, where no more can be remembered", () => {
    const { sink, isBlocked, control } = createAuthorityWorld({ limits: { maxScopes: 2 } });
    for (const service of ["a", "b"]) sink.applyAuthority(order({ scope: { tenant: "x", service } }));
    const { length } = control.calls;
    expect(sink.applyAuthority(order())).toEqual({ outcome: "full" });
    expect([isBlocked(), control.calls.length]).toEqual([false, length]);
    // One that is there already is made anew all the same.
    expect(sink.applyAuthority(order({ scope: { tenant: "x", service: "b" } })).outcome).toBe("applied");
    sink.applyAuthority(order({ type: "restore", scope: { tenant: "x" } }));
    expect(sink.applyAuthority(order()).outcome).toBe("applied");
  });

  test("asks the Core once for many orders", async () => {
    const { sink, core, clock } = createAuthorityWorld();
    const before = core.asked.length;
    for (let index = 0; index < 50; index++) sink.applyAuthority(order({ scope: { tenant: `t-${index}` } }));
    await clock.advance(5_000);
    expect(core.asked.length).toBe(before + 1);
    expect(clock.pending).toBe(0);
  });

  test("leaves nothing running when the guard closes", async () => {
    const { sink, core, clock, guard } = createAuthorityWorld();
    core.down = true;
    sink.applyAuthority(order());
    await clock.advance(2_500);
    guard.close();
    await settle();
    expect(clock.pending).toBe(0);
  });
});

describe("an event whose sender wants to know", () => {
  const verifier = { verify: async (jws: string) => JSON.parse(jws) as never };
  const at = (clock: { wallMs(): number }): string => new Date(clock.wallMs()).toISOString();

  test("is told of as applied, now and again; a restore beyond a gap waits", async () => {
    const { guard, clock, core } = createWorld({ verifier });
    const sink = guard.sink("orbital");
    const send = (event: object) => sink.confirmSigned(JSON.stringify({ ...event, at: at(clock) }));
    expect(await send(revoke(1, SERVICE))).toEqual({ state: "applied" });
    expect(await send(revoke(1, SERVICE))).toEqual({ state: "applied" });
    expect(await send(revoke(3, SERVICE))).toEqual({ state: "applied" });
    expect(await send(restore(4, SERVICE))).toEqual({ state: "waiting" });
    expect(await send(restore(4, SERVICE))).toEqual({ state: "waiting" });
    core.events = [revoke(1, SERVICE), revoke(2, { tenant: "x" }), revoke(3, SERVICE), restore(4, SERVICE)];
    await clock.advance(1_000);
    expect(await send(restore(4, SERVICE))).toEqual({ state: "applied" });
    expect(guard.isBlocked("t", "s", 1)).toBe(false);
  });

  test("is told of as dropped, with the reason", async () => {
    const { guard, clock } = createWorld({ verifier });
    const sink = guard.sink("orbital");
    expect(await sink.confirmSigned("{")).toMatchObject({ state: "dropped", reason: "malformed" });
    expect(
      await sink.confirmSigned(JSON.stringify({ ...revoke(1, SERVICE), at: "2020-01-01T00:00:00Z" })),
    ).toMatchObject({ state: "dropped", reason: "no_place" });
    await sink.confirmSigned(JSON.stringify({ ...revoke(1, SERVICE), at: at(clock) }));
    expect(
      await sink.confirmSigned(JSON.stringify({ ...revoke(2, SERVICE), log: "elsewhere", at: at(clock) })),
    ).toMatchObject({ state: "dropped", reason: "other_log" });
    const without = createWorld();
    expect(await without.guard.sink("orbital").confirmSigned("x")).toMatchObject({
      state: "dropped",
      reason: "no_key",
    });
  });

  test("is verified although it claims to be known", async () => {
    let verified = 0;
    const counting = {
      verify: async (jws: string) => {
        verified++;
        return JSON.parse(Buffer.from(jws.split(".")[1]!, "base64url").toString()) as never;
      },
    };
    const { guard, clock } = createWorld({ verifier: counting });
    const sink = guard.sink("orbital");
    const jws = `x.${Buffer.from(JSON.stringify({ ...revoke(1, SERVICE), log: LOG, at: at(clock) })).toString("base64url")}.x`;
    for (let times = 0; times < 3; times++) await sink.confirmSigned(jws);
    expect(verified).toBe(3);
  });
});

test("a Core that is down is asked how far its log goes with growing waits, up to half a minute, and anew for the next order", async () => {
  const { clock, core, sink } = createAuthorityWorld();
  const startMs = clock.monotonicMs();
  const atMs: number[] = [];
  const { follow } = core;
  core.follow = (...parameters) => {
    atMs.push(clock.monotonicMs() - startMs);
    return follow.apply(core, parameters);
  };
  core.down = true;
  sink.applyAuthority(order());
  await clock.advance(62_000);
  // Half of a second at most, then half of 1, 2, 4, 8, 16, 30, 30 s.
  expect(atMs).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 31_000, 46_000, 61_000]);
  core.down = false;
  await clock.advance(15_000);
  core.down = true;
  atMs.length = 0;
  sink.applyAuthority(order({ issuer: "another" }));
  await clock.advance(2_000);
  expect(atMs.map((ms) => ms - 77_000)).toEqual([500, 1_000, 2_000]);
});

test("a Core that is asked how far its log goes is asked nothing more meanwhile", async () => {
  let asked = 0;
  const answers: (() => void)[] = [];
  const world = createWorld({
    random: () => 0.5,
    core: {
      follow(_lastEventId, onEvent) {
        asked++;
        answers.push(() => onEvent(heartbeat(7)));
        return new Promise(() => {});
      },
    },
  });
  const sink = world.guard.sink("orbital");
  sink.applyAuthority(order());
  await world.clock.advance(500);
  sink.applyAuthority(order({ issuer: "another" }));
  await world.clock.advance(4_000);
  expect(asked).toBe(1);
  // What was ordered after the question was put needs another.
  answers[0]!();
  await settle();
  expect(asked).toBe(2);
  expect(world.guard.status().authorities.map(({ unfenced }) => unfenced)).toEqual([0, 1]);
  answers[1]!();
  await settle();
  expect(world.guard.status().authorities.map(({ unfenced }) => unfenced)).toEqual([0, 0]);
});

test("a Core that lets wait for its place in the log is asked again within seconds", async () => {
  let asked = 0;
  const world = createWorld({
    random: () => 0.5,
    core: {
      follow(_lastEventId, onEvent) {
        if (asked++ > 0) onEvent(heartbeat(7));
        return new Promise(() => {});
      },
    },
  });
  world.guard.sink("orbital").applyAuthority(order());
  const unfenced = () => world.guard.status().authorities[0]!.unfenced;
  // Half a second until it asks, five for the answer, half of the first second until it asks again.
  await world.clock.advance(5_999);
  expect([asked, unfenced()]).toEqual([1, 1]);
  await world.clock.advance(1);
  expect([asked, unfenced()]).toEqual([2, 0]);
});
