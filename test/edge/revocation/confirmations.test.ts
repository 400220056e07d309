/** What the Core is told of what is applied: after it, never in its way. */
import { expect, test } from "bun:test";
import type { AppliedPlace } from "../../../src/edge/revocation/confirmations.ts";
import { createWorld, heartbeat, LOG, NotingControl, restore, revoke, V3 } from "./world.ts";

function confirming() {
  const calls: { place: AppliedPlace; done(): void; fail(status?: number): void }[] = [];
  const world = createWorld({
    random: () => 0.5,
    confirm: (place, signal) =>
      new Promise((resolve, reject) => {
        const fail = (status?: number): void => reject(Object.assign(new Error("no"), { status }));
        signal.addEventListener("abort", () => fail());
        calls.push({ place, done: resolve, fail });
      }),
  });
  return { ...world, calls, seqs: () => calls.map(({ place }) => place.seq) };
}

test("a revocation is confirmed after its keys are wiped, soon, and never in the same turn", async () => {
  const { guard, control, clock, calls } = confirming();
  const sink = guard.sink("core");
  sink.deliver(heartbeat(0));
  await clock.advance(100);
  calls[0]!.done();
  sink.deliver(revoke(1, V3));
  expect(control.count("revoke t/s/3")).toBe(1);
  expect(calls).toHaveLength(1);
  await clock.advance(50);
  expect(calls.map(({ place }) => place)).toEqual([
    { log: LOG, seq: 0 },
    { log: LOG, seq: 1 },
  ]);
});

test("a burst is confirmed at once by its newest place, one call at a time", async () => {
  const { guard, clock, calls, seqs } = confirming();
  const sink = guard.sink("core");
  for (let seq = 1; seq <= 100; seq++) sink.deliver(revoke(seq, { tenant: `t-${seq}` }));
  await clock.advance(50);
  expect(seqs()).toEqual([100]);
  for (let seq = 101; seq <= 200; seq++) {
    sink.deliver(revoke(seq, { tenant: `t-${seq}` }));
    await clock.advance(10);
  }
  // The first is still on its way.
  expect(seqs()).toEqual([100]);
  calls[0]!.done();
  await clock.advance(50);
  expect(seqs()).toEqual([100, 200]);
  calls[1]!.done();
  await clock.advance(60_000);
  expect(seqs()).toEqual([100, 200]);
  expect(clock.pending).toBe(0);
});

test("nothing beyond a gap is confirmed before the gap is filled", async () => {
  const { guard, clock, core, calls, seqs } = confirming();
  const sink = guard.sink("broker");
  sink.deliver(heartbeat(1));
  await clock.advance(50);
  calls[0]!.done();
  core.events = [revoke(1, { tenant: "a" }), revoke(2, { tenant: "b" }), restore(3, V3), revoke(4, V3)];
  core.down = true;
  sink.deliver(revoke(4, V3));
  await clock.advance(45);
  expect(guard.isBlocked("t", "s", 3)).toBe(true);
  expect(seqs()).toEqual([1]);
  core.down = false;
  await clock.advance(1_000);
  expect(guard.status().seq).toBe(4);
  expect(seqs()).toEqual([1, 4]);
});

test("where every lease is dropped for events that are lost, that is confirmed after it is done", async () => {
  const { guard, clock, core, control, calls, seqs } = confirming();
  const sink = guard.sink("broker");
  sink.deliver(heartbeat(1));
  await clock.advance(50);
  calls[0]!.done();
  core.down = true;
  sink.deliver(heartbeat(9));
  await clock.advance(1_000);
  expect(control.count("dropAll")).toBe(1);
  expect(seqs()).toEqual([1, 9]);
});

test("an event whose keys could not be wiped is not confirmed", async () => {
  const { guard, clock, calls, seqs } = confirming();
  class Broken extends NotingControl {
    override revoke(): number {
      throw new Error("broken");
    }
  }
  guard.attach(new Broken());
  const sink = guard.sink("core");
  sink.deliver(heartbeat(4));
  await clock.advance(50);
  calls[0]!.done();
  sink.deliver(revoke(5, V3));
  await clock.advance(10_000);
  expect(seqs()).toEqual([4]);
});

test("a failed call is made again with backoff, with the newest place, and says nothing but for debugging", async () => {
  const { guard, clock, calls, seqs, lines } = confirming();
  const sink = guard.sink("core");
  sink.deliver(revoke(1, V3));
  const before = lines.length;
  await clock.advance(50);
  calls[0]!.fail();
  await clock.advance(500);
  // A new place does not hurry it beyond once in a second.
  sink.deliver(revoke(2, { tenant: "x" }));
  await clock.advance(400);
  expect(seqs()).toEqual([1]);
  await clock.advance(200);
  expect(seqs()).toEqual([1, 2]);
  for (let failure = 1; failure < 10; failure++) {
    calls.at(-1)!.fail(503);
    await clock.advance(31_000);
    expect(calls).toHaveLength(failure + 2);
  }
  calls.at(-1)!.done();
  await clock.advance(120_000);
  expect(seqs().at(-1)).toBe(2);
  expect(clock.pending).toBe(0);
  expect(lines.slice(before).filter((line) => line.includes("could not be told"))).toEqual([]);
});

test("a Core that does not know the call is left alone for minutes, whatever happens", async () => {
  const { guard, clock, calls, seqs } = confirming();
  const sink = guard.sink("core");
  sink.deliver(revoke(1, V3));
  await clock.advance(50);
  calls[0]!.fail(404);
  for (let seq = 2; seq < 10; seq++) {
    sink.deliver(revoke(seq, { tenant: `t-${seq}` }));
    await clock.advance(60_000);
  }
  expect(seqs()).toEqual([1]);
  await clock.advance(180_000);
  expect(seqs()).toEqual([1, 9]);
});

test("another log is confirmed as such, and a guard that is closed confirms nothing more", async () => {
  const { guard, clock, calls } = confirming();
  const sink = guard.sink("core");
  sink.deliver(heartbeat(3));
  await clock.advance(50);
  calls[0]!.done();
  sink.deliver(heartbeat(3, "log-b"));
  await clock.advance(50);
  expect(calls.map(({ place }) => place)).toEqual([
    { log: LOG, seq: 3 },
    { log: "log-b", seq: 3 },
  ]);
  calls[1]!.done();
  await clock.advance(1);
  sink.deliver({ ...revoke(4, V3), log: "log-b" });
  guard.close();
  await clock.advance(10_000);
  expect(calls).toHaveLength(2);
});
