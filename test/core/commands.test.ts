/** Orders of other systems at a real Core: committed once, in its log, and left until every edge has confirmed. */
import { afterEach, expect, test } from "bun:test";
import { SILENT_LOG } from "../../src/base/log-port.ts";
import { systemClock } from "../../src/base/time/system-clock.ts";
import type { CoreClient } from "../../src/edge/key-source/core/core-client.ts";
import { createCoreEvents } from "../../src/edge/revocation/core-events.ts";
import { createCoreStream } from "../../src/edge/revocation/core-stream.ts";
import type { CommittedCommand, CoreCommands, CoreTarget } from "../../src/edge/revocation/core-target.ts";
import { createRevocationGuard } from "../../src/edge/revocation/guard.ts";
import { type CoreWorld, startCoreWorld } from "../support/core-world.ts";
import { eventually } from "../support/until.ts";

let world: CoreWorld | undefined;
let closed = 0;
afterEach(async () => {
  await world?.[Symbol.asyncDispose]();
});

async function start(
  more: Parameters<typeof startCoreWorld>[0] = {},
): Promise<{ world: CoreWorld; commands: CoreCommands }> {
  let commands: CoreCommands | undefined;
  const target: CoreTarget = {
    name: "test",
    async start(given) {
      commands = given;
    },
    async close() {
      closed++;
    },
  };
  world = await startCoreWorld({ heartbeatMs: 50, targets: [target], ...more });
  return { world, commands: commands! };
}

const SCOPE = { tenant: "tenant-a", service: "billing", version: 1 } as const;
const revocation = (id: string, issuer = "governance") =>
  ({ id, issuer, type: "revoke", scope: SCOPE, state: "compromised", reason: "test" }) as const;

test("an order is the Core's own commit, and the same one again does nothing new", async () => {
  const { world, commands } = await start();
  expect(
    await commands.commit({
      id: "1",
      issuer: "governance",
      type: "create_tenant",
      tenant: "tenant-a",
      service: "billing",
    }),
  ).toMatchObject({ seqs: [] });
  const first = await commands.commit(revocation("2"));
  expect(first.seqs).toHaveLength(1);
  expect(await commands.commit(revocation("2"))).toEqual(first);
  await commands.commit({ id: "3", issuer: "governance", type: "restore", scope: SCOPE });
  // Again, after others have changed what it did.
  expect(await commands.commit(revocation("2"))).toEqual(first);
  const events = await world.core.admin.eventsAfter(0);
  expect(events.map(({ type }) => type)).toEqual(["revoke", "restore"]);
  // Another issuer's orders have names of their own.
  expect((await commands.commit(revocation("2", "someone else"))).seqs).not.toEqual(first.seqs);
  const rotated = await commands.commit({
    id: "4",
    issuer: "governance",
    type: "create_tenant",
    tenant: "tenant-b",
    service: "x",
  });
  expect(rotated.seqs).toEqual([]);
  expect(
    (await commands.commit({ id: "5", issuer: "governance", type: "rotate", tenant: "tenant-b", service: "x" })).seqs,
  ).toHaveLength(1);
});

test("what is there already is what was wanted; what can't be done changes nothing, and can be asked again", async () => {
  const { world, commands } = await start();
  await world.core.admin.createService("tenant-a", "billing");
  await commands.commit({ id: "1", issuer: "g", type: "create_tenant", tenant: "tenant-a", service: "billing" });
  const unknown = { id: "2", issuer: "g", type: "rotate", tenant: "nosuch", service: "x" } as const;
  await expect(commands.commit(unknown)).rejects.toMatchObject({ code: "key_not_found" });
  await world.core.admin.createService("nosuch", "x");
  expect((await commands.commit(unknown)).seqs).toHaveLength(1);
});

const left = async (commands: CoreCommands, committed: CommittedCommand): Promise<number> =>
  (await commands.edgesLeft(committed, SCOPE)).left;

/** One process of an edge, which listens and confirms only when it is told to. */
async function listen(world: CoreWorld, edge: string): Promise<{ client: CoreClient; told: string[]; close(): void }> {
  const client = await world.client(edge);
  const following = new AbortController();
  const told: string[] = [];
  client.revocations(undefined, { onMessage: ({ data }) => told.push(data) }, following.signal).catch(() => {});
  await eventually(() => told.length > 0, "the stream");
  await client.lease({ tenant: "tenant-a", service: "billing" });
  return { client, told, close: () => following.abort() };
}

const hasRevoke = ({ told }: { told: string[] }) => told.some((data) => data.includes('"revoke"'));

test("an edge that was told of an event is left until all its processes have confirmed it", async () => {
  const { world, commands } = await start();
  await world.core.admin.createService("tenant-a", "billing");
  const [one, two, other] = [
    await listen(world, "edge-1"),
    await listen(world, "edge-1"),
    await listen(world, "edge-2"),
  ];
  const committed = await commands.commit(revocation("1"));
  await eventually(() => [one, two, other].every(hasRevoke), "the event at all of them");
  expect(await left(commands, committed)).toBe(2);
  const place = { log: world.core.log, seq: committed.seqs[0]! };
  await other.client.applied({ ...place, seq: place.seq - 1 });
  expect(await left(commands, committed)).toBe(2);
  await other.client.applied(place);
  expect(await left(commands, committed)).toBe(1);
  await one.client.applied(place);
  expect(await left(commands, committed)).toBe(1);
  // An event of an edge is not confirmed for another; nor by the process that has confirmed, again.
  await one.client.applied(place);
  await other.client.applied(place);
  expect(await left(commands, committed)).toBe(1);
  expect((await world.core.admin.edges()).find(({ edge }) => edge === "edge-1")).toMatchObject({ lag: 0, streams: 2 });
  await two.client.applied(place);
  expect(await left(commands, committed)).toBe(0);
  expect((await world.core.admin.edges()).find(({ edge }) => edge === "edge-1")).toMatchObject({ applied: 1, lag: 0 });
  // The next event is another matter.
  const next = await commands.commit({ id: "2", issuer: "governance", type: "restore", scope: SCOPE });
  expect(await left(commands, next)).toBe(2);
  expect(await left(commands, committed)).toBe(0);
  for (const { close } of [one, two, other]) close();
}, 60_000);

test("an edge confirms by itself what its guard has applied, over every way that the event comes", async () => {
  const { world, commands } = await start();
  await world.core.admin.createService("tenant-a", "billing");
  const client = await world.client("edge-1");
  const core = createCoreEvents(client, () => {});
  const guard = createRevocationGuard({
    clock: systemClock,
    log: SILENT_LOG,
    core,
    confirm: (place, signal) => client.applied(place, signal),
    maxSilenceMs: 30_000,
    onSilence: "renew_early",
  });
  const stream = createCoreStream({ core, clock: systemClock });
  await stream.start(guard.sink("core"));
  try {
    await client.lease({ tenant: "tenant-a", service: "billing" });
    const committed = await commands.commit(revocation("1"));
    expect(await left(commands, committed)).toBe(1);
    const endMs = performance.now() + 30_000;
    while ((await left(commands, committed)) > 0) {
      if (performance.now() > endMs) throw new Error("the edge never confirmed");
      await Bun.sleep(10);
    }
    expect(guard.isBlocked("tenant-a", "billing", 1)).toBe(true);
  } finally {
    guard.close();
    await stream.close();
  }
}, 60_000);

test("an edge that never confirms is waited for until its leases are over", async () => {
  const { world, commands } = await start({ lease: { ttlSeconds: 2, refreshAfterSeconds: 1 } });
  await world.core.admin.createService("tenant-a", "billing");
  const following = new AbortController();
  const [streaming, silent] = [await world.client("streaming"), await world.client("silent")];
  const told: string[] = [];
  const stream = streaming.revocations(undefined, { onMessage: ({ data }) => told.push(data) }, following.signal);
  stream.catch(() => {});
  await eventually(() => told.length > 0, "the stream");
  await silent.lease({ tenant: "tenant-a", service: "billing" }, new AbortController().signal);
  const committed = await commands.commit(revocation("1"));
  await eventually(() => told.some((data) => data.includes('"revoke"')), "the event at the edge that listens");
  // The one that only listens holds no lease.
  expect(await commands.edgesLeft(committed, SCOPE)).toEqual({ edges: 1, left: 1, waitingFor: ["silent"] });
  const endMs = performance.now() + 30_000;
  while ((await left(commands, committed)) > 0) {
    if (performance.now() > endMs) throw new Error("the lease was never over");
    await Bun.sleep(50);
  }
  following.abort();
}, 300_000);

test("a target is closed with its Core", async () => {
  const before = closed;
  const { world: one } = await start();
  await one[Symbol.asyncDispose]();
  world = undefined;
  expect(closed).toBe(before + 1);
});
