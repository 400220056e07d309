/** What mutation showed to be untested: reasons, first moments, bursts. */
import { expect, test } from "bun:test";
import { BurstLog } from "../../../src/edge/revocation/burst-log.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { createWorld, heartbeat, LOG, revoke } from "./world.ts";

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
