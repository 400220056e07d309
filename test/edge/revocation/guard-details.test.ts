/** What mutation showed to be untested: reasons, first moments, bursts. */
import { expect, test } from "bun:test";
import { BurstLog } from "../../../src/edge/revocation/burst-log.ts";
import { settle, VirtualClock } from "../../support/virtual-clock.ts";
import { createWorld, heartbeat, LOG, revoke, V3 } from "./world.ts";

test("a source that knows no log is believed until a block had to be forgotten", () => {
  const { guard } = createWorld({ limits: { maxScopes: 1 } });
  const sink = guard.sink("core");
  const answer = { tenant: "t", service: "s", log: undefined, revocationSeq: 0 };
  expect(guard.admits(answer)).toBe(true);
  sink.deliver(revoke(1, { tenant: "x" }));
  expect(guard.admits(answer)).toBe(true);
  sink.deliver(revoke(2, { tenant: "y" }));
  expect(guard.admits(answer)).toBe(false);
});

test.each(["an event", "a lease"])(
  "the beginning is told once, whether %s brings it; another history is no beginning",
  (bringer) => {
    let begun = 0;
    const { guard } = createWorld({ onBegan: () => begun++ });
    const sink = guard.sink("core");
    expect(begun).toBe(0);
    if (bringer === "an event") sink.deliver(heartbeat(1));
    else guard.admits({ tenant: "t", service: "s", log: "log-1", revocationSeq: 1 });
    sink.deliver(heartbeat(2));
    sink.deliver(heartbeat(1, "another-log"));
    expect(begun).toBe(1);
  },
);

test("a block that was forgotten holds over a reset by a Core that is behind", () => {
  const { guard } = createWorld({ limits: { maxScopes: 1 } });
  const sink = guard.sink("core");
  sink.deliver(heartbeat(1));
  sink.deliver(revoke(8, { tenant: "x" }));
  sink.deliver(revoke(9, { tenant: "y" }));
  const answer = (revocationSeq: number) => ({ tenant: "x", service: "s", log: LOG, revocationSeq });
  expect(guard.admits(answer(5))).toBe(false);
  sink.deliver({ type: "reset", log: LOG, seq: 4, at: new Date(0).toISOString(), reason: "not retained" });
  expect(guard.admits(answer(5))).toBe(false);
  expect(guard.admits(answer(9))).toBe(true);
});

test("without a Core to ask, a gap drops every lease and says why", async () => {
  const { guard, control, clock, lines } = createWorld({ withoutCore: true });
  const sink = guard.sink("core");
  sink.deliver(heartbeat(1));
  sink.deliver(heartbeat(3));
  await clock.advance(1_000);
  expect(control.count("dropAll")).toBe(1);
  expect(lines.some((line) => line.includes("there is no Core to ask"))).toBe(true);
});

test("a burst that goes on is one line, however long, and is told of again after five minutes", async () => {
  const clock = new VirtualClock();
  const lines: Record<string, unknown>[] = [];
  const log = new BurstLog({ warn: (fields) => void lines.push(fields as Record<string, unknown>) }, clock);
  for (let second = 0; second < 299; second++) {
    log.warn("topic", {}, "the same");
    await clock.advance(1_000);
  }
  expect(lines).toEqual([{ suppressed: 0 }]);
  await clock.advance(1_000);
  log.warn("topic", {}, "the same");
  expect(lines).toEqual([{ suppressed: 0 }, { suppressed: 298 }]);
});

test("a transport's state says why it is not connected, and nothing while it is", () => {
  const { guard } = createWorld();
  const sink = guard.sink("core");
  const reason = () => guard.status().transports[0]!.reason;
  expect([reason(), guard.status().newestSeq]).toEqual(["not connected yet", 0]);
  sink.connected();
  expect(reason()).toBeUndefined();
  sink.disconnected("the connection broke");
  expect(reason()).toBe("the connection broke");
  sink.connected();
  expect(reason()).toBeUndefined();
});

test("a lease of a log that was left is refused, and the Core is asked which log it is in", async () => {
  const { guard, core } = createWorld();
  const sink = guard.sink("core");
  sink.deliver(heartbeat(1));
  sink.deliver(heartbeat(1, "log-b"));
  core.log = "log-b";
  expect(core.asked).toHaveLength(0);
  expect(guard.admits({ tenant: "t", service: "s", log: LOG, revocationSeq: 1 })).toBe(false);
  await settle();
  expect(core.asked).toEqual(["log-b:1"]);
});

test("a Core that names a number below what was applied, when it is asked, has gone back", async () => {
  const { guard, core, control, clock } = createWorld();
  const sink = guard.sink("core");
  sink.deliver(heartbeat(9));
  core.follow = async (_lastEventId, onEvent) => onEvent(heartbeat(3));
  sink.deliver(heartbeat(10));
  await clock.advance(60);
  expect(control.count("dropAll")).toBe(1);
  expect(guard.status().seq).toBe(3);
});

test("4,096 events beyond a gap are remembered, and what is not is taken again", () => {
  const { guard } = createWorld();
  const sink = guard.sink("core");
  sink.deliver(heartbeat(1));
  const last = 2 + 4_096;
  for (let seq = 3; seq <= last + 1; seq++) sink.deliver(revoke(seq, V3));
  const counts = () => {
    const { events, duplicates } = guard.status().transports[0]!;
    return [events, duplicates];
  };
  expect(counts()).toEqual([4_097, 0]);
  sink.deliver(revoke(last, V3));
  expect(counts()).toEqual([4_097, 1]);
  sink.deliver(revoke(last + 1, V3));
  expect(counts()).toEqual([4_098, 1]);
});
