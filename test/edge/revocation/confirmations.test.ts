/** What the Core is told of what is applied: after it, never in its way. */
import { expect, test } from "bun:test";
import { type AppliedPlace, Confirmations } from "../../../src/edge/revocation/confirmations.ts";
import { settle, VirtualClock } from "../../support/virtual-clock.ts";
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

/** The confirmations alone, whose place the test moves and whose calls it answers. */
function alone() {
  const clock = new VirtualClock();
  const lines: unknown[] = [];
  const sentAtMs: number[] = [];
  const state = { seq: 1, fails: false, retryAfterMs: undefined as number | undefined };
  const startMs = clock.monotonicMs();
  const confirmations = new Confirmations({
    clock,
    random: () => 0.5,
    place: () => ({ log: LOG, seq: state.seq }),
    log: { debug: (...said: unknown[]) => void lines.push(said[0]) },
    async confirm() {
      sentAtMs.push(clock.monotonicMs() - startMs);
      const { fails, retryAfterMs } = state;
      if (fails) throw Object.assign(new Error("no"), retryAfterMs === undefined ? {} : { retryAfterMs });
    },
  });
  const move = (): void => {
    state.seq++;
    confirmations.moved();
  };
  return { clock, lines, sentAtMs, state, confirmations, move };
}

test("a place is told after 20 to 50 ms, and one that comes meanwhile does not put that off", async () => {
  const { clock, sentAtMs, move } = alone();
  for (let turn = 0; turn < 5; turn++) {
    move();
    await clock.advance(10);
  }
  // The last came in the turn at 40 ms, after the first call.
  await clock.advance(1_000);
  expect(sentAtMs).toEqual([35, 75]);
});

test("a failed call is made again after one second and half of one, then of two, four, … and anew after a success", async () => {
  const { clock, sentAtMs, state, lines, move } = alone();
  state.fails = true;
  move();
  await clock.advance(35 + 1_500 + 2_000 + 3_000);
  expect(sentAtMs).toEqual([35, 1_535, 3_535, 6_535]);
  expect(lines).toHaveLength(4);
  expect(lines[0]).toEqual({ log: LOG, seq: 2, reason: "no" });
  state.fails = false;
  await clock.advance(5_000);
  expect(sentAtMs.slice(4)).toEqual([11_535]);
  state.fails = true;
  move();
  await clock.advance(2_000);
  expect(sentAtMs.slice(5)).toEqual([11_570, 13_070]);
});

test("a Core that says when to come again is not asked before, also for a new place", async () => {
  const { clock, sentAtMs, state, move } = alone();
  state.fails = true;
  state.retryAfterMs = 5_000;
  move();
  await clock.advance(1_035);
  move();
  await clock.advance(3_999);
  expect(sentAtMs).toEqual([35]);
  await clock.advance(1);
  expect(sentAtMs).toEqual([35, 5_035]);
});

test("closing aborts the call that is under way, and leaves nothing to be told later", async () => {
  const clock = new VirtualClock();
  const signals: AbortSignal[] = [];
  const confirmations = new Confirmations({
    clock,
    random: () => 0.5,
    place: () => ({ log: LOG, seq: 1 }),
    log: { debug() {} },
    confirm: (_, signal) =>
      new Promise((_resolve, reject) => {
        signals.push(signal);
        signal.addEventListener("abort", () => reject(signal.reason));
      }),
  });
  confirmations.moved();
  await clock.advance(35);
  confirmations.close();
  await settle();
  confirmations.moved();
  expect([signals.length, signals[0]!.aborted, clock.pending]).toEqual([1, true, 0]);
});
