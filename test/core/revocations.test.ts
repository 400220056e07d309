import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { CoreEvent } from "../../src/core/protocol/events.ts";
import type { CoreClient } from "../../src/edge/key-source/core/core-client.ts";
import { startCoreWorld } from "../support/core-world.ts";
import { until } from "../support/until.ts";

/** For a busy machine. */
setDefaultTimeout(30_000);

/** A stream being read: what came, parsed, with the id each had. */
function follow(client: CoreClient, lastEventId?: string) {
  const events: (CoreEvent & { id: string | undefined })[] = [];
  const stop = new AbortController();
  const ended = client
    .revocations(
      lastEventId,
      { onMessage: ({ id, event, data }) => void events.push({ id, ...JSON.parse(data), type: event }) },
      stop.signal,
    )
    .then(
      () => "ended",
      (error: Error) => error.message,
    );
  const logged = () => events.filter((event) => event.type !== "heartbeat");
  return { events, logged, ended, stop: () => stop.abort() };
}

const quiet = { heartbeatMs: 3_600_000 };

describe("the revocation stream", () => {
  test("tells its place at once, and every event as it is committed, in order, with its id", async () => {
    await using world = await startCoreWorld(quiet);
    const { admin, log } = world.core;
    await admin.createService("tenant-a", "billing");
    const stream = follow(await world.client());
    await until(() => stream.events.length === 1);
    expect(stream.events[0]).toMatchObject({ type: "heartbeat", log, seq: 0, id: `${log}:0` });
    await admin.rotate("tenant-a", "billing");
    await admin.revoke({ tenant: "tenant-a", service: "billing", version: 1 }, { reason: "lost laptop" });
    await admin.restore({ tenant: "tenant-a", service: "billing", version: 1 });
    await admin.destroy({ tenant: "tenant-a" }, { reason: "contract ended" });
    await until(() => stream.logged().length === 4);
    const base = { log, tenant: "tenant-a" };
    expect(stream.logged()).toMatchObject([
      { ...base, type: "rotate", seq: 1, id: `${log}:1`, service: "billing", version: 2 },
      { ...base, type: "revoke", seq: 2, service: "billing", version: 1, state: "compromised", reason: "lost laptop" },
      { ...base, type: "restore", seq: 3, service: "billing", version: 1 },
      { ...base, type: "revoke", seq: 4, state: "destroyed", reason: "contract ended" },
    ]);
    expect(stream.logged()[3]).not.toHaveProperty("service");
    expect(Date.parse(stream.logged()[0]!.at)).toBeGreaterThan(0);
  });

  test("resumes after the id given, and after none it has no past", async () => {
    await using world = await startCoreWorld(quiet);
    const { admin, log } = world.core;
    await admin.createService("tenant-a", "billing");
    for (let index = 0; index < 1_200; index++) await admin.rotate("tenant-a", "billing");
    const [resumed, fresh, current] = [
      follow(await world.client(), `${log}:100`),
      follow(await world.client()),
      follow(await world.client(), `${log}:1200`),
    ];
    await until(() => resumed.logged().length === 1_100 && fresh.events.length === 1 && current.events.length === 1);
    expect(resumed.logged().map((event) => event.seq)).toEqual(
      Array.from({ length: 1_100 }, (_, index) => index + 101),
    );
    expect(fresh.events[0]).toMatchObject({ type: "heartbeat", seq: 1_200 });
    expect(current.events[0]).toMatchObject({ type: "heartbeat", seq: 1_200 });
    await admin.rotate("tenant-a", "billing");
    for (const stream of [resumed, fresh, current]) await until(() => stream.logged().at(-1)?.seq === 1_201);
  });

  test("resets for an id of another log, of the future, out of retention, and for one that is none", async () => {
    await using world = await startCoreWorld({ ...quiet, retainedEvents: 10 });
    const { admin, log } = world.core;
    await admin.createService("tenant-a", "billing");
    for (let index = 0; index < 30; index++) await admin.rotate("tenant-a", "billing");
    for (const id of ["another-log:3", `${log}:31`, `${log}:19`, "nonsense"]) {
      const stream = follow(await world.client(), id);
      await until(() => stream.events.length > 0);
      expect(stream.events[0]).toMatchObject({ type: "reset", log, seq: 30 });
      stream.stop();
      await stream.ended;
    }
    const oldest = follow(await world.client(), `${log}:20`);
    await until(() => oldest.logged().length === 10);
    expect(oldest.logged()[0]).toMatchObject({ type: "rotate", seq: 21 });
  });

  test("beats, so that a quiet stream is told from a dead one", async () => {
    await using world = await startCoreWorld({ heartbeatMs: 10 });
    const stream = follow(await world.client());
    await until(() => stream.events.length >= 5);
    expect(new Set(stream.events.map((event) => event.type))).toEqual(new Set(["heartbeat"]));
  });

  test("ends cleanly when the Core stops, and when the edge gives it up", async () => {
    const world = await startCoreWorld(quiet);
    const [one, other] = [follow(await world.client()), follow(await world.client())];
    await until(() => one.events.length === 1 && other.events.length === 1);
    other.stop();
    expect(await other.ended).toBe("the stream was given up");
    await until(() => world.core.counters.streams === 1);
    await world[Symbol.asyncDispose]();
    expect(await one.ended).toBeString();
  });

  test("reaches every one of many streams with every event", async () => {
    await using world = await startCoreWorld(quiet);
    await world.core.admin.createService("tenant-a", "billing");
    const clients = await Promise.all(Array.from({ length: 20 }, (_, index) => world.client(`edge-${index}`)));
    const streams = clients.flatMap((client) => Array.from({ length: 10 }, () => follow(client)));
    await until(() => world.core.counters.streams === 200 && streams.every((stream) => stream.events.length > 0));
    for (let index = 0; index < 5; index++) await world.core.admin.rotate("tenant-a", "billing");
    await until(() => streams.every((stream) => stream.logged().length === 5));
    expect(streams.every((stream) => stream.logged().every((event, index) => event.seq === index + 1))).toBe(true);
  }, 300_000);
});
