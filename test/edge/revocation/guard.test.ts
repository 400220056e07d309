import { describe, expect, test } from "bun:test";
import { settle } from "../../support/virtual-clock.ts";
import { answer, createWorld, heartbeat, LOG, restore, revoke, rotate, V3 } from "./world.ts";

const HOLE_MS = 60;

describe("a revocation", () => {
  test("is applied when deliver returns: blocked, and wiped", () => {
    const { guard, control } = createWorld();
    guard.sink("core").deliver(revoke(1, V3));
    expect(guard.isBlocked("t", "s", 3)).toBe(true);
    expect(guard.isBlocked("t", "s", 2)).toBe(false);
    expect(guard.isBlocked("t", "s")).toBe(false);
    expect(control.calls).toEqual(["revoke t/s/3"]);
  });

  test("blocks before it wipes, so that nothing slips in between", () => {
    const { guard, control } = createWorld();
    let blockedAtWipe: boolean | undefined;
    control.revoke = () => {
      blockedAtWipe = guard.isBlocked("t", "s", 3);
      return 1;
    };
    guard.sink("core").deliver(revoke(1, V3));
    expect(blockedAtWipe).toBe(true);
  });

  test("of a service covers every version of it, and of a tenant every service, and nothing beside", () => {
    const { guard } = createWorld();
    const sink = guard.sink("core");
    sink.deliver(revoke(1, { tenant: "t", service: "s" }));
    sink.deliver(revoke(2, { tenant: "u" }));
    expect(guard.isBlocked("t", "s")).toBe(true);
    expect(guard.isBlocked("t", "s", 9)).toBe(true);
    expect(guard.isBlocked("t", "other")).toBe(false);
    expect(guard.isBlocked("u", "anything", 1)).toBe(true);
    expect(guard.isBlocked("v", "s", 1)).toBe(false);
  });

  test("that comes by several transports is applied once", () => {
    const { guard, control, applied } = createWorld();
    const core = guard.sink("core");
    const nats = guard.sink("nats");
    core.deliver(revoke(1, V3));
    nats.deliver(revoke(1, V3));
    core.deliver(revoke(1, V3));
    expect(control.calls).toEqual(["revoke t/s/3"]);
    expect(applied).toEqual([1]);
    expect(guard.status().transports.map(({ events, duplicates }) => [events, duplicates])).toEqual([
      [1, 1],
      [0, 1],
    ]);
  });

  test("is not undone by an older event that is played again", () => {
    const { guard } = createWorld();
    const sink = guard.sink("core");
    sink.deliver(revoke(1, V3));
    sink.deliver(restore(2, V3));
    sink.deliver(revoke(3, V3));
    sink.deliver(restore(2, V3));
    expect(guard.isBlocked("t", "s", 3)).toBe(true);
  });

  test("that can't be applied drops every lease", () => {
    const { guard, control } = createWorld();
    control.revoke = () => {
      throw new Error("a defect");
    };
    guard.sink("core").deliver(revoke(1, V3));
    expect(guard.isBlocked("t", "s", 3)).toBe(true);
    expect(control.calls).toEqual(["dropAll"]);
  });
});

describe("a lease answer", () => {
  test("older than an applied revocation of its scope is refused, a newer one or another's is not", () => {
    const { guard } = createWorld();
    const sink = guard.sink("core");
    sink.deliver(heartbeat(9));
    sink.deliver(revoke(10, V3));
    sink.deliver(revoke(11, { tenant: "u" }));
    expect(guard.admits(answer(9))).toBe(false);
    expect(guard.admits(answer(10))).toBe(true);
    expect(guard.admits(answer(9, "t", "other"))).toBe(true);
    expect(guard.admits(answer(10, "u", "any"))).toBe(false);
    expect(guard.admits(answer(11, "u", "any"))).toBe(true);
  });

  test("in flight over a revoke and its restore is refused still", () => {
    const { guard } = createWorld();
    const sink = guard.sink("core");
    sink.deliver(heartbeat(4));
    sink.deliver(revoke(5, V3));
    sink.deliver(restore(6, V3));
    expect(guard.admits(answer(4))).toBe(false);
    expect(guard.admits(answer(6))).toBe(true);
  });

  test("from before the edge had its place in the log is refused", () => {
    const { guard } = createWorld();
    guard.sink("core").deliver(heartbeat(50));
    expect(guard.admits(answer(49))).toBe(false);
    expect(guard.admits(answer(50))).toBe(true);
  });

  test("gives the edge its place when it comes before any transport, and the stream resumes there", () => {
    const { guard } = createWorld();
    const sink = guard.sink("core");
    expect(sink.resumeAfter()).toBeUndefined();
    expect(guard.admits(answer(1042))).toBe(true);
    expect(sink.resumeAfter()).toBe(`${LOG}:1042`);
  });

  test("that knows more than the transports makes the edge ask the Core, and drops nothing if that fails", async () => {
    const { guard, core, clock, control } = createWorld();
    guard.sink("core").deliver(heartbeat(0));
    core.events = [revoke(1, V3)];
    core.down = true;
    expect(guard.admits(answer(1, "u"))).toBe(true);
    await clock.advance(1_500);
    expect(core.asked).toEqual([`${LOG}:0`]);
    expect(control.calls).toEqual([]);
    core.down = false;
    expect(guard.admits(answer(1, "u"))).toBe(true);
    await clock.advance(1_500);
    expect(guard.isBlocked("t", "s", 3)).toBe(true);
  });

  test("of a gap and of connections there is a line for each transport, and its lag is of the newest it brought", async () => {
    const { guard, core, clock, lines } = createWorld();
    const sink = guard.sink("nats");
    sink.connected();
    sink.connected();
    clock.jumpWall(250);
    sink.deliver(heartbeat(0));
    expect(guard.status().transports[0]).toMatchObject({ name: "nats", connected: true, lagMs: 250, gaps: 0 });
    core.events = [revoke(1, V3), revoke(2, V3)];
    clock.jumpWall(50);
    sink.deliver(revoke(2, V3));
    sink.disconnected("gone");
    // A try to connect that failed ends no connection.
    sink.disconnected("still gone");
    sink.connected();
    await clock.advance(HOLE_MS);
    expect(guard.status().transports[0]).toMatchObject({ lagMs: 300, gaps: 1, disconnections: 1, events: 1 });
    // A number that is older tells nothing new.
    sink.deliver(revoke(1, V3));
    expect(guard.status().transports[0]).toMatchObject({ lagMs: 300, duplicates: 1 });
    const told = (text: string) => lines.filter((line) => line.includes(text) && line.includes('"transport":"nats"'));
    expect(told("a revocation transport is connected")).toHaveLength(2);
    expect(told("revocation events are missing")).toHaveLength(1);
    expect(told("a revocation transport is down")).toHaveLength(1);
  });

  test("that knows more does not put off the question that a hole asks", async () => {
    const { guard, core, clock } = createWorld();
    const sink = guard.sink("nats");
    sink.deliver(heartbeat(0));
    core.events = [revoke(1, V3)];
    expect(guard.admits(answer(1, "u"))).toBe(true);
    sink.deliver(heartbeat(1));
    await clock.advance(HOLE_MS);
    expect(guard.isBlocked("t", "s", 3)).toBe(true);
    expect(guard.status().transports[0]!.gaps).toBe(1);
    // Nor where the hole was there first.
    sink.deliver(heartbeat(2));
    core.events.push(revoke(2, { tenant: "v" }));
    expect(guard.admits(answer(3, "u"))).toBe(true);
    await clock.advance(HOLE_MS);
    expect(guard.isBlocked("v", "s")).toBe(true);
  });

  test("of another log drops every lease first, and a late one of the log left is refused", async () => {
    const { guard, control, core } = createWorld();
    core.log = "log-b";
    guard.sink("core").deliver(revoke(7, V3));
    control.calls.length = 0;
    expect(guard.admits(answer(3, "t", "s", "log-b"))).toBe(true);
    expect(control.calls).toEqual(["dropAll"]);
    expect(guard.status()).toMatchObject({ log: "log-b", seq: 3 });
    expect(guard.admits(answer(8, "t", "s", LOG))).toBe(false);
    await settle();
    expect(guard.status().log).toBe("log-b");
  });

  test("of a source without a log is admitted, unless its service may be blocked", () => {
    const { guard } = createWorld();
    const sink = guard.sink("core");
    sink.deliver(revoke(1, { tenant: "t", service: "s" }));
    expect(guard.admits(answer(0, "t", "other", undefined))).toBe(true);
    expect(guard.admits({ ...answer(0), log: undefined })).toBe(false);
  });
});

describe("a hole", () => {
  test("does not hold up a revocation behind it", () => {
    const { guard, control } = createWorld();
    const sink = guard.sink("core");
    sink.deliver(heartbeat(1));
    sink.deliver(revoke(5, V3));
    expect(guard.isBlocked("t", "s", 3)).toBe(true);
    expect(control.calls).toEqual(["revoke t/s/3"]);
    expect(sink.resumeAfter()).toBe(`${LOG}:1`);
  });

  test("holds up a restore until what is missing has come", () => {
    const { guard } = createWorld();
    const sink = guard.sink("core");
    sink.deliver(revoke(1, V3));
    sink.deliver(restore(3, V3));
    expect(guard.isBlocked("t", "s", 3)).toBe(true);
    guard.sink("nats").deliver(rotate(2, "x", "y", 2));
    expect(guard.isBlocked("t", "s", 3)).toBe(false);
    expect(sink.resumeAfter()).toBe(`${LOG}:3`);
  });

  test("that another transport closes in time is not asked for", async () => {
    const { guard, core, clock, control } = createWorld();
    const first = guard.sink("first");
    first.deliver(heartbeat(0));
    first.deliver(rotate(2, "x", "y", 2));
    await clock.advance(10);
    guard.sink("second").deliver(rotate(1, "x", "z", 2));
    await clock.advance(5_000);
    expect(core.asked).toEqual([]);
    expect(control.count("dropAll")).toBe(0);
  });

  test("is asked for at the Core, and filled without losing a lease", async () => {
    const { guard, core, clock, control, applied } = createWorld();
    core.events = [revoke(1, V3), restore(2, V3), revoke(3, { tenant: "u" })];
    const sink = guard.sink("nats");
    sink.deliver(heartbeat(0));
    sink.deliver(revoke(3, { tenant: "u" }));
    await clock.advance(HOLE_MS);
    expect(core.asked).toEqual([`${LOG}:0`]);
    expect(guard.isBlocked("t", "s", 3)).toBe(false);
    expect(guard.isBlocked("u", "s", 1)).toBe(true);
    expect(guard.status()).toMatchObject({ seq: 3, newestSeq: 3, leaseDrops: 0 });
    expect(control.count("dropAll")).toBe(0);
    expect(applied.toSorted()).toEqual([1, 2, 3]);
  });

  test("shown by a heartbeat is asked for too", async () => {
    const { guard, core, clock } = createWorld();
    core.events = [revoke(1, V3)];
    const sink = guard.sink("core");
    sink.deliver(heartbeat(0));
    sink.deliver(heartbeat(1));
    await clock.advance(HOLE_MS);
    expect(guard.isBlocked("t", "s", 3)).toBe(true);
    expect(guard.status().transports[0]?.gaps).toBe(1);
  });

  test("that can't be filled drops every lease and goes on from the newest", async () => {
    const { guard, core, clock, control } = createWorld();
    core.down = true;
    const sink = guard.sink("nats");
    sink.deliver(heartbeat(0));
    sink.deliver(rotate(5, "x", "y", 2));
    await clock.advance(HOLE_MS);
    expect(control.count("dropAll")).toBe(1);
    expect(guard.admits(answer(4, "any", "any"))).toBe(false);
    expect(guard.admits(answer(5, "any", "any"))).toBe(true);
    expect(sink.resumeAfter()).toBe(`${LOG}:5`);
    sink.deliver(revoke(6, V3));
    expect(guard.isBlocked("t", "s", 3)).toBe(true);
    await clock.advance(5_000);
    expect(control.count("dropAll")).toBe(1);
  });

  test("drops every lease when the Core hangs, or there is none to ask", async () => {
    const hanging = createWorld({
      core: {
        follow: () => new Promise(() => {}),
      },
    });
    const alone = createWorld({ withoutCore: true });
    for (const { guard, clock, control } of [hanging, alone]) {
      const sink = guard.sink("nats");
      sink.deliver(heartbeat(0));
      sink.deliver(heartbeat(2));
      await clock.advance(1_000);
      expect(control.calls).toEqual(["dropAll"]);
    }
  });

  test("that the Core itself has drops every lease", async () => {
    const { guard, core, clock, control } = createWorld();
    core.events = [rotate(1, "x", "y", 2), rotate(3, "x", "y", 3)];
    const sink = guard.sink("core");
    sink.deliver(heartbeat(0));
    sink.deliver(rotate(3, "x", "y", 3));
    await clock.advance(HOLE_MS);
    expect(control.count("dropAll")).toBe(1);
    expect(guard.status().seq).toBe(3);
  });

  test("of ten thousand events is filled", async () => {
    const { guard, core, clock, control } = createWorld();
    core.events = Array.from({ length: 10_000 }, (_, index) => revoke(index + 1, { ...V3, version: index + 1 }));
    const sink = guard.sink("core");
    sink.deliver(heartbeat(0));
    sink.deliver(heartbeat(10_000));
    await clock.advance(HOLE_MS);
    expect(guard.status()).toMatchObject({ seq: 10_000, blocked: 10_000, leaseDrops: 0 });
    expect(control.count("dropAll")).toBe(0);
  });

  test("keeps a bounded number of events beyond it, and loses none", async () => {
    const { guard, core, clock } = createWorld({ limits: { maxOutOfOrder: 10 } });
    core.events = Array.from({ length: 100 }, (_, index) =>
      index % 2 === 0 ? revoke(index + 1, V3) : restore(index + 1, V3),
    );
    const sink = guard.sink("core");
    sink.deliver(heartbeat(0));
    for (const event of core.events.slice(1)) sink.deliver(event);
    await clock.advance(HOLE_MS);
    expect(guard.status().seq).toBe(100);
    expect(guard.isBlocked("t", "s", 3)).toBe(false);
  });
});

describe("another history", () => {
  test("drops every lease, starts anew from there, and keeps what is blocked until a restore", () => {
    const { guard, control } = createWorld();
    const sink = guard.sink("core");
    sink.deliver(revoke(100, V3));
    sink.deliver({ ...heartbeat(40), log: "log-b" });
    expect(control.count("dropAll")).toBe(1);
    expect(guard.status()).toMatchObject({ log: "log-b", seq: 40 });
    expect(guard.isBlocked("t", "s", 3)).toBe(true);
    expect(guard.admits(answer(39, "t", "s", "log-b"))).toBe(false);
    sink.deliver({ ...restore(41, V3), log: "log-b" });
    expect(guard.isBlocked("t", "s", 3)).toBe(false);
  });

  test("shows in a heartbeat that goes back on one connection", () => {
    const { guard, control } = createWorld();
    const sink = guard.sink("core");
    sink.deliver(heartbeat(100));
    sink.deliver(heartbeat(90));
    expect(control.count("dropAll")).toBe(1);
    expect(sink.resumeAfter()).toBe(`${LOG}:90`);
  });

  test("shows in a heartbeat below the place that the stream was resumed at", () => {
    const { guard, control } = createWorld();
    const sink = guard.sink("core");
    sink.deliver(heartbeat(100));
    sink.disconnected("gone");
    guard.sink("nats").deliver(rotate(101, "x", "y", 2));
    expect(sink.resumeAfter()).toBe(`${LOG}:101`);
    sink.connected();
    sink.deliver(heartbeat(100));
    expect(control.count("dropAll")).toBe(1);
  });

  test("is not seen in a heartbeat that another transport's event has overtaken", () => {
    const { guard, control } = createWorld();
    const sink = guard.sink("core");
    const nats = guard.sink("nats");
    sink.deliver(heartbeat(100));
    nats.deliver(revoke(101, V3));
    sink.deliver(heartbeat(100));
    sink.deliver(heartbeat(101));
    expect(control.count("dropAll")).toBe(0);
  });

  test("a reset drops every lease and goes on from its number; what is blocked is the Core's to say again", () => {
    const { guard, control } = createWorld();
    const sink = guard.sink("core");
    sink.deliver(revoke(1, V3));
    sink.deliver({ type: "reset", log: LOG, seq: 5_000, at: "2026-01-01T00:00:00.000Z", reason: "retention" });
    expect(control.count("dropAll")).toBe(1);
    expect(sink.resumeAfter()).toBe(`${LOG}:5000`);
    expect(guard.admits(answer(4_999))).toBe(false);
    // A restore may have been among what was lost, so the Core is asked; a source without a log is not believed.
    expect(guard.isBlocked("t", "s", 3)).toBe(false);
    expect(guard.admits({ ...answer(0), log: undefined })).toBe(false);
    sink.deliver(revoke(5_001, V3));
    expect(guard.isBlocked("t", "s", 3)).toBe(true);
  });
});

describe("a rotation", () => {
  test("renews the lease in the background, and lets a refusal be forgotten", () => {
    const { guard, control } = createWorld();
    guard.sink("core").deliver(rotate(1, "t", "s", 4));
    expect(control.calls).toEqual(["forget t/s", "renew t/s"]);
  });
});

describe("silence", () => {
  test("longer than allowed renews every lease early, again and again, until a transport is heard", async () => {
    const { guard, clock, control, lines } = createWorld();
    const sink = guard.sink("core");
    guard.start();
    await clock.advance(29_000);
    sink.deliver(heartbeat(0));
    await clock.advance(29_999);
    expect(control.count("renewAll")).toBe(0);
    expect(guard.status().silent).toBe(false);
    await clock.advance(1);
    expect(control.count("renewAll")).toBe(1);
    expect(guard.status()).toMatchObject({ silent: true, silentMs: 30_000 });
    expect(guard.isOpen()).toBe(true);
    await clock.advance(30_000);
    expect(control.count("renewAll")).toBe(2);
    expect(lines.filter((line) => line.includes("no revocation transport"))).toHaveLength(1);
    sink.deliver(heartbeat(0));
    await clock.advance(29_000);
    expect(control.count("renewAll")).toBe(2);
    expect(guard.status().silent).toBe(false);
  });

  test("closes the gate under fail_closed, and opens it with the next word", async () => {
    const { guard, clock } = createWorld({ onSilence: "fail_closed" });
    const sink = guard.sink("core");
    guard.start();
    sink.deliver(heartbeat(0));
    await clock.advance(29_999);
    expect(guard.isOpen()).toBe(true);
    await clock.advance(1);
    expect(guard.isOpen()).toBe(false);
    sink.deliver(heartbeat(0));
    expect(guard.isOpen()).toBe(true);
  });

  test("counts the time that the machine slept", () => {
    const { guard, clock } = createWorld({ onSilence: "fail_closed" });
    const sink = guard.sink("core");
    guard.start();
    sink.deliver(heartbeat(0));
    clock.suspend(40_000);
    expect(guard.isOpen()).toBe(false);
  });

  test("is none where no transport was ever to be heard", async () => {
    const { guard, clock, control } = createWorld();
    guard.start();
    await clock.advance(90_000);
    expect([guard.status().silent, guard.isOpen(), control.calls]).toEqual([false, true, []]);
  });

  test("can't be the rule without a transport", () => {
    expect(() => createWorld({ onSilence: "fail_closed" }).guard.start()).toThrow("revocation.transports");
  });

  test("of one transport is none while another speaks", async () => {
    const { guard, clock, control } = createWorld();
    guard.sink("core");
    const nats = guard.sink("nats");
    guard.start();
    for (let second = 0; second < 60; second++) {
      await clock.advance(1_000);
      nats.deliver(heartbeat(0));
    }
    expect(control.count("renewAll")).toBe(0);
  });

  test("leaves no timer behind after close", async () => {
    const { guard, clock } = createWorld();
    const sink = guard.sink("core");
    guard.start();
    sink.deliver(heartbeat(0));
    sink.deliver(heartbeat(4));
    guard.close();
    await settle();
    expect(clock.pending).toBe(0);
    sink.deliver(revoke(1, V3));
    expect(guard.isBlocked("t", "s", 3)).toBe(false);
  });
});
