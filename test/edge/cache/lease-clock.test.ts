import { expect, test } from "bun:test";
import { LeaseClock } from "../../../src/edge/cache/lease-clock.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

function start() {
  const clock = new VirtualClock();
  const jumps: number[] = [];
  const time = new LeaseClock(clock, (jumpMs) => jumps.push(jumpMs));
  const startMs = time.nowMs;
  return { clock, jumps, elapsedMs: () => time.read() - startMs };
}

test("runs with the monotonic clock while the two agree", async () => {
  const { clock, jumps, elapsedMs } = start();
  await clock.advance(10_000);
  expect(elapsedMs()).toBe(10_000);
  expect(jumps).toEqual([]);
});

test("counts the time that the machine slept, and a wall clock set forward", async () => {
  const { clock, jumps, elapsedMs } = start();
  clock.suspend(60_000);
  expect(elapsedMs()).toBe(60_000);
  clock.jumpWall(5_000);
  expect(elapsedMs()).toBe(65_000);
  expect(jumps).toEqual([60_000, 5_000]);
});

test("never takes anything back when the wall clock is set back", async () => {
  const { clock, elapsedMs } = start();
  await clock.advance(1_000);
  clock.jumpWall(-3_600_000);
  expect(elapsedMs()).toBe(1_000);
  await clock.advance(1_000);
  expect(elapsedMs()).toBe(2_000);
});

test("counts a sleep that comes after the wall clock was set back", async () => {
  const { clock, elapsedMs } = start();
  clock.jumpWall(-3_600_000);
  elapsedMs();
  clock.suspend(300_000);
  expect(elapsedMs()).toBe(300_000);
});

test("does not take the wall clock's whole milliseconds for jumps", async () => {
  const { clock, jumps, elapsedMs } = start();
  for (let turn = 0; turn < 1_000; turn++) {
    clock.jumpWall(turn % 2 === 0 ? -0.9 : 0.9);
    elapsedMs();
  }
  expect(elapsedMs()).toBeLessThan(1);
  expect(jumps).toEqual([]);
});

test("takes up to fifty milliseconds back and forth for no jump, and more for one", () => {
  for (const [setMs, gainedMs, told] of [
    [50, 0, []],
    [51, 51, [-51, 51]],
  ] as const) {
    const { clock, jumps, elapsedMs } = start();
    clock.jumpWall(-setMs);
    elapsedMs();
    clock.jumpWall(setMs);
    expect(elapsedMs()).toBe(gainedMs);
    expect(jumps).toEqual([...told]);
  }
});

test("counts every moment that the wall clock gains, however short", () => {
  const { clock, jumps, elapsedMs } = start();
  for (let turn = 0; turn < 4; turn++) {
    clock.jumpWall(0.5);
    elapsedMs();
  }
  expect(elapsedMs()).toBe(2);
  clock.jumpWall(50);
  expect(elapsedMs()).toBe(52);
  expect(jumps).toEqual([]);
});

test("tells the wall clock as of the last look at it", async () => {
  const clock = new VirtualClock();
  const time = new LeaseClock(clock, () => {});
  const before = clock.wallMs();
  await clock.advance(1_000);
  clock.jumpWall(-20);
  expect(time.wallMs).toBe(before);
  time.read();
  expect(time.wallMs).toBe(before + 980);
});
