import { expect, test } from "bun:test";
import { Presence, type PresenceOptions } from "../../src/core/presence.ts";
import { openSqliteStore } from "../../src/core/store/sqlite.ts";
import type { Store } from "../../src/core/store/store.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

/** Cores over one store, as PostgreSQL is shared. */
async function cores(names: readonly string[]) {
  const clock = new VirtualClock();
  const store = await openSqliteStore({ path: ":memory:", retainedEvents: 10, clock });
  const shared = Object.create(store, { kind: { value: "postgresql" } }) as Store;
  const elsewhere: string[] = [];
  const streams = new Map<string, number>();
  const seqs = new Map<string, number>();
  const make = (core: string): Presence =>
    new Presence({
      store: shared,
      clock,
      core,
      version: "1.0.0",
      masterKeys: [`key-of-${core}`],
      log: () => "log-a",
      lastSeq: () => seqs.get(core) ?? 10,
      leaseMs: 300_000,
      streamsOf: (edge) => streams.get(`${core} ${edge}`) ?? 0,
      placeOf: () => 7,
      onCallsElsewhere: (edge, calls) => elsewhere.push(`${core}: ${edge} ${calls}`),
    } satisfies PresenceOptions);
  return { clock, store, make, seqs, elsewhere, streams, presences: names.map(make) };
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
  one.see("edge-1", { instance: "a" });
  two.see("edge-1", { instance: "b" });
  await flush();
  expect([await one.edgesBehind(10), await two.edgesBehind(10)]).toEqual([1, 1]);
  one.confirm("edge-1", "b", 10, {});
  await flush();
  expect([await one.edgesBehind(10), await two.edgesBehind(10)]).toEqual([1, 1]);
  two.confirm("edge-1", "a", 10, {});
  await flush();
  expect([await one.edgesBehind(10), await two.edgesBehind(10)]).toEqual([0, 0]);
  expect(await one.edgesBehind(11)).toBe(1);
  // The store has another history: what was confirmed says nothing.
  one.newHistory();
  two.newHistory();
  await flush();
  expect([await one.edgesBehind(10), await two.edgesBehind(10)]).toEqual([1, 1]);
  // Unseen for as long as the longest lease: its leases are over.
  await clock.advance(300_001);
  await flush();
  expect([await one.edgesBehind(10), await two.edgesBehind(10)]).toEqual([0, 0]);
  await one.close();
  await two.close();
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
  two.see("edge-1", { instance: "a" });
  seqs.set("one", 11);
  expect(await one.edgesBehind(11)).toBe(1);
  // It has not heard of the event, so there may be more leases from before.
  two.confirm("edge-1", "a", 11, {});
  await two.flush();
  expect(await one.edgesBehind(11)).toBe(1);
  seqs.set("two", 11);
  await two.flush();
  expect(await one.edgesBehind(11)).toBe(0);
  await one.close();
  await two.close();
  await store.close();
});

test("a Core that was started anew still knows which edges may hold leases, and what they have confirmed", async () => {
  const { clock, store, make, presences } = await cores(["one"]);
  const [before] = presences as [Presence];
  before.see("edge-1", { instance: "a" });
  before.confirm("edge-2", "b", 10, {});
  // What is new is told at the end too.
  await before.close();
  const after = make("one");
  // Its own first words must not write over what is remembered.
  after.see("edge-1", { instance: "c" });
  after.confirm("edge-1", "c", 10, {});
  await after.flush();
  expect(await after.edgesBehind(10)).toBe(1);
  expect(await after.edgesBehind(11)).toBe(2);
  after.confirm("edge-1", "a", 10, {});
  expect(await after.edgesBehind(10)).toBe(0);
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
  expect(await one.edgesBehind(10)).toBe(1);
  await clock.advance(300_000);
  expect(await one.edgesBehind(10)).toBe(0);
  await one.close();
  await store.close();
});
