import { expect, test } from "bun:test";
import { Presence, type PresenceOptions } from "../../src/core/presence.ts";
import { openSqliteStore } from "../../src/core/store/sqlite.ts";
import type { Store } from "../../src/core/store/store.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

/** Cores over one store, as PostgreSQL is shared. */
async function cores(names: readonly string[]) {
  const clock = new VirtualClock();
  const store = await openSqliteStore({ path: ":memory:", retainedEvents: 10, clock });
  const shared = Object.create(store, {
    kind: { value: "postgresql" },
    nowMs: { value: async () => clock.wallMs() },
  }) as Store;
  const elsewhere: string[] = [];
  const streams = new Map<string, number>();
  const seqs = new Map<string, number>();
  const make = (core: string, own: VirtualClock = clock, onSkew?: (skewMs: number) => void): Presence =>
    new Presence({
      store: shared,
      clock: own,
      ...(onSkew === undefined ? {} : { onSkew }),
      core,
      version: "1.0.0",
      masterKeys: [`key-of-${core}`],
      log: () => "log-a",
      lastSeq: () => seqs.get(core) ?? 10,
      leaseMs: 300_000,
      streamsOf: (edge) => streams.get(`${core} ${edge}`) ?? 0,
      places: () => new Map([["edge-1", 7]]),
      onCallsElsewhere: (edge, calls) => elsewhere.push(`${core}: ${edge} ${calls}`),
    } satisfies PresenceOptions);
  return { clock, store, make, seqs, elsewhere, streams, presences: names.map((name) => make(name)) };
}

const SCOPE = { tenant: "tenant-a", service: "billing" };

/** An edge's process asks for a lease of the scope. */
function ask(presence: Presence, edge: string, instance: string, service = "billing"): void {
  presence.see(edge, { instance });
  presence.asks(edge, instance, "tenant-a", service);
}

/** How many edges are left, and of Cores that have not told yet one. */
async function behind(
  presence: Presence,
  seq: number,
  scope: { tenant: string; service?: string } = SCOPE,
): Promise<number> {
  const { left, untoldCores } = await presence.progress(seq, scope);
  return Math.max(left.length, Math.min(1, untoldCores.length));
}

test("what an edge asks of one Core counts in its rate at the others, once", async () => {
  const { store, elsewhere, presences } = await cores(["one", "two"]);
  const [one, two] = presences as [Presence, Presence];
  for (let call = 0; call < 250; call++) {
    const seen = one.see("busy");
    seen.leaseCalls++;
    seen.recentCalls++;
  }
  one.see("idle").leaseCalls++;
  await one.flush();
  await two.flush();
  expect(elsewhere).toEqual(["two: busy 250"]);
  await one.close();
  await two.close();
  await store.close();
});

test("edges are one list at every Core: counters added up, the slowest stream's place, who they have called", async () => {
  const { clock, store, streams, presences } = await cores(["one", "two"]);
  const [one, two] = presences as [Presence, Presence];
  streams.set("one edge-1", 1);
  const certificateEndsAtMs = clock.wallMs() + 1_000;
  one.see("edge-1", { version: "1.2.3", certificateEndsAtMs }).leaseCalls = 3;
  await one.flush();
  two.see("edge-1").leaseCalls = 4;
  await two.flush();
  expect(await two.edges()).toEqual([
    {
      edge: "edge-1",
      lastSeenAt: new Date(clock.wallMs()).toISOString(),
      leaseCalls: 7,
      usageBatches: 0,
      streams: 1,
      seq: 7,
      lag: 3,
      cores: ["two", "one"],
    },
  ]);
  expect(await one.edges()).toMatchObject([
    { version: "1.2.3", certificateEndsAt: new Date(certificateEndsAtMs).toISOString(), streams: 1 },
  ]);
  expect((await one.cores()).map(({ core, masterKeys }) => [core, masterKeys])).toEqual([
    ["one", ["key-of-one"]],
    ["two", ["key-of-two"]],
  ]);
  await one.close();
  await two.close();
  await store.close();
});

test("a Core that is gone takes its streams with it, out of the list of the others", async () => {
  const { clock, store, streams, presences } = await cores(["one", "two"]);
  const [one, two] = presences as [Presence, Presence];
  streams.set("one edge-1", 1);
  one.see("edge-1");
  await one.flush();
  expect((await two.edges())[0]!.streams).toBe(1);
  await one.close();
  await clock.advance(20_000);
  expect((await two.edges())[0]!.streams).toBe(0);
  expect((await two.cores()).map(({ core }) => core)).toEqual(["two"]);
  await two.close();
  await store.close();
});

test("an edge has confirmed when all its processes have, at whichever Cores they were seen and have confirmed", async () => {
  const { clock, store, presences } = await cores(["one", "two"]);
  const [one, two] = presences as [Presence, Presence];
  const flush = async (): Promise<void> => {
    await one.flush();
    await two.flush();
  };
  ask(one, "edge-1", "a");
  ask(two, "edge-1", "b");
  await flush();
  expect([await behind(one, 10), await behind(two, 10)]).toEqual([1, 1]);
  one.confirm("edge-1", "b", 10, {});
  await flush();
  expect([await behind(one, 10), await behind(two, 10)]).toEqual([1, 1]);
  two.confirm("edge-1", "a", 10, {});
  await flush();
  expect([await behind(one, 10), await behind(two, 10)]).toEqual([0, 0]);
  expect(await behind(one, 11)).toBe(1);
  // The store has another history: what was confirmed says nothing.
  one.newHistory();
  two.newHistory();
  await flush();
  expect([await behind(one, 10), await behind(two, 10)]).toEqual([1, 1]);
  // Unseen for as long as the longest lease: its leases are over.
  await clock.advance(300_001);
  await flush();
  expect([await behind(one, 10), await behind(two, 10)]).toEqual([0, 0]);
  await one.close();
  await two.close();
  await store.close();
});

test("an edge is waited for where it may hold a lease of the scope, and not for another's", async () => {
  const { clock, store, presences } = await cores(["one", "two"]);
  const [one, two] = presences as [Presence, Presence];
  ask(one, "edge-1", "a", "billing");
  ask(two, "edge-1", "b", "payroll");
  ask(two, "edge-2", "c", "payroll");
  one.see("edge-3", { instance: "d" });
  await one.flush();
  await two.flush();
  for (const core of [one, two]) {
    expect(await core.progress(10, SCOPE)).toEqual({ edges: 1, left: ["edge-1"], untoldCores: [] });
    expect((await core.progress(10, { tenant: "tenant-a", service: "payroll" })).left.toSorted()).toEqual([
      "edge-1",
      "edge-2",
    ]);
    expect((await core.progress(10, { tenant: "tenant-a" })).left.toSorted()).toEqual(["edge-1", "edge-2"]);
    expect(await core.progress(10, { tenant: "tenant-b" })).toEqual({ edges: 0, left: [], untoldCores: [] });
  }
  // Its process without a lease of the scope is not waited for.
  one.confirm("edge-1", "a", 10, {});
  expect(await one.progress(10, SCOPE)).toEqual({ edges: 1, left: [], untoldCores: [] });
  // A lease is over in its time, though the edge calls on.
  await clock.advance(300_001);
  ask(one, "edge-1", "a", "payroll");
  expect(await one.progress(10, SCOPE)).toEqual({ edges: 0, left: [], untoldCores: [] });
  await one.close();
  await two.close();
  await store.close();
});

test("after a Core was killed one is left until what it may have leased is over, at every Core and after a restart; one that was stopped has told all", async () => {
  const { clock, store, seqs, make } = await cores([]);
  const [one, stopped, killed] = [make("one"), make("stopped"), make("killed")];
  for (const core of [one, stopped, killed]) await core.flush();
  await stopped.close();
  // The last that it leased is told to nobody.
  ask(killed, "edge-1", "a");
  Object.assign(killed, { flush: async () => {} });
  await killed.close();
  await clock.advance(60_000);
  seqs.set("one", 11);
  await one.flush();
  expect((await one.progress(11, SCOPE)).untoldCores).toEqual(["killed"]);
  expect((await one.progress(10, SCOPE)).untoldCores).toEqual([]);

  seqs.set("killed", 11);
  const again = make("killed");
  await again.flush();
  for (const core of [one, again]) expect((await core.progress(11, SCOPE)).untoldCores).toEqual(["killed"]);
  // Its own leases are as long.
  await clock.advance(300_001);
  await again.flush();
  for (const core of [one, again]) expect((await core.progress(11, SCOPE)).untoldCores).toEqual([]);
  await again.close();
  expect((await one.cores()).map(({ core }) => core)).toEqual(["one"]);
  await one.close();
  await store.close();
});

test("what the store did not take is told again", async () => {
  const { store, make } = await cores([]);
  const one = make("one");
  one.see("edge-1", { instance: "a" });
  const { seen } = store.usage;
  store.usage.seen = () => Promise.reject(new Error("away"));
  await one.flush();
  store.usage.seen = seen;
  await one.flush();
  expect((await store.usage.edges()).map(({ edge }) => edge)).toEqual(["edge-1"]);
  await one.close();
  await store.close();
});

test("while another Core may know of edges that it has not told of since the event, one is left", async () => {
  const { store, seqs, presences } = await cores(["one", "two"]);
  const [one, two] = presences as [Presence, Presence];
  await two.flush();
  ask(two, "edge-1", "a");
  seqs.set("one", 11);
  expect(await behind(one, 11)).toBe(1);
  // It has not heard of the event, so there may be more leases from before.
  two.confirm("edge-1", "a", 11, {});
  await two.flush();
  expect(await behind(one, 11)).toBe(1);
  seqs.set("two", 11);
  await two.flush();
  expect(await behind(one, 11)).toBe(0);
  await one.close();
  await two.close();
  await store.close();
});

test("a Core that was started anew still knows which edges may hold leases, and what they have confirmed", async () => {
  const { clock, store, make, presences } = await cores(["one"]);
  const [before] = presences as [Presence];
  ask(before, "edge-1", "a");
  ask(before, "edge-2", "b");
  before.confirm("edge-2", "b", 10, {});
  // What is new is told at the end too.
  await before.close();
  const after = make("one");
  // Its own first words must not write over what is remembered.
  ask(after, "edge-1", "c");
  after.confirm("edge-1", "c", 10, {});
  await after.flush();
  expect(await behind(after, 10)).toBe(1);
  expect(await behind(after, 11)).toBe(2);
  after.confirm("edge-1", "a", 10, {});
  expect(await behind(after, 10)).toBe(0);
  await clock.advance(1);
  await after.close();
  await store.close();
});

test("an edge that a Core of an older version has told of is left until its leases are over", async () => {
  const { clock, store, presences } = await cores(["one"]);
  const [one] = presences as [Presence];
  const at = new Date(clock.wallMs()).toISOString();
  const edge = {
    edge: "edge-1",
    core: "old",
    lastSeenAt: at,
    leaseCalls: 1,
    recentCalls: 1,
    usageBatches: 0,
    streams: 1,
    seq: 10,
    version: undefined,
    certificateEndsAt: undefined,
    instances: undefined,
  };
  await store.usage.seen({ core: "old", seenAt: at, version: "0.1.0", masterKeys: [] }, [edge]);
  await clock.advance(20_000);
  expect(await behind(one, 10)).toBe(1);
  await clock.advance(300_000);
  expect(await behind(one, 10)).toBe(0);
  await one.close();
  await store.close();
});

test("Cores whose clocks are apart, or are set, agree on which edges may hold a lease, and say so", async () => {
  for (const apartMs of [-600_000, 600_000]) {
    const { clock, store, make, presences } = await cores(["one"]);
    const [one] = presences as [Presence];
    const own = new VirtualClock();
    own.jumpWall(apartMs);
    const skews: number[] = [];
    const two = make("two", own, (skewMs) => skews.push(skewMs));
    await two.begin();
    ask(two, "edge-1", "a");
    // As one that is corrected, between two times that the store was asked.
    own.jumpWall(-apartMs);
    ask(two, "edge-2", "a");
    own.jumpWall(apartMs);
    await two.flush();
    await one.flush();
    expect((await one.cores()).map(({ core }) => core)).toEqual(["one", "two"]);
    expect((await one.progress(10, SCOPE)).left).toEqual(["edge-1", "edge-2"]);
    expect((await two.progress(10, SCOPE)).left).toEqual(["edge-1", "edge-2"]);
    own.jumpWall(-apartMs);
    await two.flush();
    expect(skews).toEqual([apartMs, 0]);
    await clock.advance(0);
    await Promise.all([one.close(), two.close()]);
    await store.close();
  }
});

test("who holds leases of a scope is told by whichever Core is asked, until they end: of versions, a service, a tenant", async () => {
  const { clock, store, presences } = await cores(["one", "two"]);
  const [one, two] = presences as [Presence, Presence];
  const get = (core: Presence, edge: string, instance: string, service: string, versions: number[], alone = false) => {
    core.see(edge, { instance });
    core.asks(edge, instance, "tenant-a", service)?.(versions, alone);
  };
  const endsAt = (agoMs: number) =>
    new Date(Math.floor((clock.wallMs() - agoMs) / 1_000) * 1_000 + 300_000).toISOString();
  get(one, "edge-1", "a", "billing", [3, 2]);
  get(two, "edge-1", "b", "billing", [1], true);
  get(two, "edge-2", "a", "payroll", [1]);
  // Asked for, and refused.
  ask(one, "edge-3", "a");
  await Promise.all([one.flush(), two.flush()]);
  for (const core of [one, two]) {
    const versions = async (scope: object) =>
      (await core.holders({ tenant: "tenant-a", ...scope })).map((held) => [
        held.edge,
        held.versions.toSorted((left, right) => right - left),
        held.endsAt,
      ]);
    expect(await versions({ service: "billing" })).toEqual([["edge-1", [3, 2, 1], endsAt(0)]]);
    expect(await versions({ service: "billing", version: 2 })).toEqual([["edge-1", [3, 2], endsAt(0)]]);
    expect(await versions({ service: "billing", version: 7 })).toEqual([]);
    expect((await versions({})).map(([edge]) => edge)).toEqual(["edge-1", "edge-2"]);
  }
  await clock.advance(200_000);
  get(one, "edge-1", "a", "billing", [3, 2]);
  await clock.advance(100_001);
  expect(await two.holders(SCOPE)).toEqual([{ edge: "edge-1", versions: [3, 2], endsAt: endsAt(100_001) }]);
  await Promise.all([one.close(), two.close()]);
  await store.close();
});
