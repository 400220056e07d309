import { describe, expect, test } from "bun:test";
import { type Fence, LogFence } from "../../../src/edge/revocation/log-fence.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { ListCore, LOG, revoke } from "./world.ts";

function createFence({ random = 0.5, withoutCore = false } = {}) {
  const clock = new VirtualClock();
  const core = new ListCore(clock);
  core.events = [revoke(7, { tenant: "t" })];
  const fence = new LogFence({ clock, core: withoutCore ? undefined : core, random: () => random });
  const told: (readonly [who: string, fence: Fence])[] = [];
  const ask = (who: string) => fence.ask((answer) => void told.push([who, answer]));
  return { clock, core, fence, told, ask };
}

describe("the end of the Core's log", () => {
  test("is asked for once for all who asked before the question was put, spread over a second", async () => {
    const { clock, core, told, ask } = createFence();
    ask("one");
    ask("two");
    await clock.advance(499);
    expect(core.asked).toEqual([]);
    ask("three");
    await clock.advance(1);
    expect(core.asked).toEqual([undefined]);
    expect(told).toEqual(["one", "two", "three"].map((who) => [who, { log: LOG, seq: 7 }]));
    expect(clock.pending).toBe(0);
  });

  test("is asked for anew by whoever comes later: an older answer may be too low for it", async () => {
    const { clock, core, told, ask } = createFence();
    ask("one");
    await clock.advance(500);
    core.events.push(revoke(9, { tenant: "u" }));
    ask("two");
    await clock.advance(500);
    expect(core.asked).toHaveLength(2);
    expect(told).toEqual([
      ["one", { log: LOG, seq: 7 }],
      ["two", { log: LOG, seq: 9 }],
    ]);
  });

  test("is asked for anew by whoever comes while the question is under way", async () => {
    const { clock, core, told, ask } = createFence({ random: 0 });
    ask("one");
    const { follow } = core;
    core.follow = (lastEventId, onEvent, signal) => {
      core.follow = follow;
      ask("two");
      return follow.call(core, lastEventId, onEvent, signal);
    };
    await clock.advance(1);
    expect(core.asked).toHaveLength(2);
    expect(told.map(([who]) => who)).toEqual(["one", "two"]);
  });

  test("is asked for until the Core says it, after waits that grow, and everyone who waits is told", async () => {
    const { clock, core, told, ask } = createFence({ random: 1 });
    core.down = true;
    ask("one");
    await clock.advance(1_000);
    expect(core.asked).toHaveLength(1);
    ask("two");
    await clock.advance(999);
    expect(core.asked).toHaveLength(1);
    await clock.advance(1);
    expect(core.asked).toHaveLength(2);
    await clock.advance(1_999);
    expect(core.asked).toHaveLength(2);
    await clock.advance(1);
    expect(core.asked).toHaveLength(3);
    for (const waitMs of [4_000, 8_000, 16_000, 30_000, 30_000]) await clock.advance(waitMs);
    expect(core.asked).toHaveLength(8);
    core.down = false;
    await clock.advance(30_000);
    expect(told.map(([who]) => who)).toEqual(["one", "two"]);
    // The next failure waits as briefly as the first.
    core.down = true;
    ask("three");
    await clock.advance(1_000);
    expect(core.asked).toHaveLength(10);
    await clock.advance(1_000);
    expect(core.asked).toHaveLength(11);
  });

  test("that was said ends the growth of the waits, also for whoever asked meanwhile", async () => {
    const { clock, core, ask } = createFence({ random: 1 });
    core.down = true;
    ask("one");
    await clock.advance(1_000);
    core.down = false;
    const { follow } = core;
    core.follow = (lastEventId, onEvent, signal) => {
      core.follow = follow;
      ask("two");
      const following = follow.call(core, lastEventId, onEvent, signal);
      queueMicrotask(() => {
        core.down = true;
      });
      return following;
    };
    await clock.advance(1_000);
    expect(core.asked).toHaveLength(3);
    await clock.advance(999);
    expect(core.asked).toHaveLength(3);
    await clock.advance(1);
    expect(core.asked).toHaveLength(4);
  });

  test("is asked for again where the Core says nothing for five seconds", async () => {
    const { clock, core, ask } = createFence({ random: 0 });
    let signals = 0;
    core.follow = (_lastEventId, _onEvent, signal) => {
      core.asked.push(undefined);
      signal.addEventListener("abort", () => signals++);
      return new Promise(() => {});
    };
    ask("one");
    await clock.advance(4_999);
    expect([core.asked.length, signals]).toEqual([1, 0]);
    await clock.advance(1);
    expect([core.asked.length, signals]).toEqual([2, 1]);
  });

  test("is not asked for without a Core, nor after the end", async () => {
    const without = createFence({ withoutCore: true });
    without.ask("one");
    await without.clock.advance(60_000);
    expect([without.told, without.clock.pending]).toEqual([[], 0]);
    const { clock, core, fence, told, ask } = createFence();
    core.down = true;
    ask("one");
    await clock.advance(500);
    core.down = false;
    fence.close();
    await clock.advance(60_000);
    expect([told, core.asked.length, clock.pending]).toEqual([[], 1, 0]);
  });
});
