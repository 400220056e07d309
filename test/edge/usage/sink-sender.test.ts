import { describe, expect, test } from "bun:test";
import type { AuditEvent, AuditSink } from "../../../src/edge/usage/audit-sink.ts";
import { SinkSender } from "../../../src/edge/usage/sink-sender.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const event = (requestId: string): AuditEvent => ({
  type: "operation",
  time: "2026-01-01T00:00:00.000Z",
  principal: "billing",
  principalKind: "listener",
  tenant: "tenant-a",
  service: "billing",
  version: 1,
  operation: "create",
  outcome: "access_denied",
  count: 1,
  requestId,
});

function setUp(maxQueued = 100) {
  const clock = new VirtualClock();
  const taken: string[][] = [];
  const warnings: string[] = [];
  let writing = 0;
  const state = { fails: false, closed: 0, mostAtOnce: 0 };
  const sink: AuditSink = {
    name: "ledger",
    async write(events) {
      state.mostAtOnce = Math.max(state.mostAtOnce, ++writing);
      await Promise.resolve();
      writing--;
      if (state.fails) throw new Error("the ledger is full");
      taken.push(events.map(({ requestId }) => String(requestId)));
    },
    async close() {
      state.closed++;
    },
  };
  const sender = new SinkSender({
    clock,
    sink,
    maxQueued,
    maxBatch: 10,
    sendAfterMs: 100,
    warn: (message) => warnings.push(message),
    random: () => 0.5,
  });
  return { clock, sender, taken, warnings, state };
}

describe("a plugin's audit sink", () => {
  test("gets the events in their order, in batches, one batch at a time", async () => {
    const { clock, sender, taken, state } = setUp();
    for (let index = 0; index < 25; index++) sender.append(event(`r-${index}`));
    expect(taken).toEqual([]);
    await clock.advance(1000);
    expect(taken.map((batch) => batch.length)).toEqual([10, 10, 5]);
    expect(taken.flat()).toEqual(Array.from({ length: 25 }, (_, index) => `r-${index}`));
    expect(state.mostAtOnce).toBe(1);
    sender.append(event("later"));
    await clock.advance(1000);
    expect(taken.at(-1)).toEqual(["later"]);
    await sender.close(1000);
  });

  test("that refuses gets the same batch again, ever more slowly, and loses nothing within bounds", async () => {
    const { clock, sender, taken, warnings, state } = setUp();
    state.fails = true;
    for (let index = 0; index < 30; index++) sender.append(event(`r-${index}`));
    await clock.advance(3_600_000);
    expect(sender.status()).toMatchObject({ name: "ledger", queued: 30, dropped: 0 });
    const { errors } = sender.status();
    expect(errors).toBeGreaterThan(50);
    expect(errors).toBeLessThan(150);
    expect(warnings).toEqual([expect.stringContaining("the ledger is full")]);
    state.fails = false;
    await clock.advance(60_000);
    expect(taken.flat()).toHaveLength(30);
    await sender.close(1000);
  });

  test("that is away for long costs bounded memory; what it loses is counted", async () => {
    const { clock, sender, state } = setUp(50);
    state.fails = true;
    for (let index = 0; index < 500; index++) sender.append(event(`r-${index}`));
    await clock.advance(10_000);
    expect(sender.status()).toMatchObject({ queued: 50, dropped: 450 });
    await sender.close(1000);
  });

  test("gets what waits at the stop, and is closed once", async () => {
    const { clock, sender, taken, state } = setUp();
    sender.append(event("last"));
    await sender.close(1000);
    await sender.close(1000);
    expect(taken).toEqual([["last"]]);
    expect(state.closed).toBe(1);
    sender.append(event("too late"));
    expect(sender.status().dropped).toBe(1);
    expect(clock.pending).toBe(0);
  });
});

test("an event that comes in the moment when the one before was taken is sent too", async () => {
  for (let turns = 0; turns < 8; turns++) {
    const clock = new VirtualClock();
    let taken = 0;
    let take = (): void => undefined;
    const sender = new SinkSender({
      clock,
      sink: {
        name: "ledger",
        write: (events) =>
          new Promise<void>((resolve) => {
            take = () => {
              taken += events.length;
              resolve();
            };
          }),
        close: async () => {},
      },
      maxQueued: 10,
      maxBatch: 10,
      sendAfterMs: 1,
      warn() {},
    });
    sender.append(event("first"));
    await clock.advance(1);
    take();
    for (let turn = 0; turn < turns; turn++) await null;
    sender.append(event("second"));
    await clock.advance(10);
    take();
    await clock.advance(10);
    expect([turns, taken, sender.status().queued]).toEqual([turns, 2, 0]);
    await sender.close(0);
  }
});
