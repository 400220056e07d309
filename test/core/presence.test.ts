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
  const make = (core: string): Presence =>
    new Presence({
      store: shared,
      clock,
      core,
      version: "1.0.0",
      masterKeys: [`key-of-${core}`],
      lastSeq: () => 10,
      streamsOf: (edge) => streams.get(`${core} ${edge}`) ?? 0,
      placeOf: () => 7,
      onCallsElsewhere: (edge, calls) => elsewhere.push(`${core}: ${edge} ${calls}`),
    } satisfies PresenceOptions);
  return { clock, store, elsewhere, streams, presences: names.map(make) };
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
