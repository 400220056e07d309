import { expect, test } from "bun:test";
import { SilenceWatch } from "../../../src/edge/revocation/silence-watch.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const MAX_SILENCE_MS = 1_000;

function createWatch() {
  const clock = new VirtualClock();
  const calls: [silentMs: number, isNew: boolean][] = [];
  const watch = new SilenceWatch({
    clock,
    maxSilenceMs: MAX_SILENCE_MS,
    onSilence: (silentMs, isNew) => void calls.push([silentMs, isNew]),
  });
  return { clock, calls, watch };
}

test("a silence is new once, and is told of again after each further span", async () => {
  const { clock, calls, watch } = createWatch();
  watch.start();
  await clock.advance(999);
  expect([calls, watch.isSilent]).toEqual([[], false]);
  await clock.advance(1);
  expect([calls, watch.isSilent]).toEqual([[[1_000, true]], true]);
  await clock.advance(2_999);
  expect(calls.slice(1)).toEqual([
    [2_000, false],
    [3_000, false],
  ]);
  expect(clock.pending).toBe(1);
});

test("what is heard ends the silence, and says so once; the next one is new, and counts from there", async () => {
  const { clock, calls, watch } = createWatch();
  watch.start();
  expect(watch.heard()).toBe(false);
  await clock.advance(1_500);
  expect(watch.heard()).toBe(true);
  expect(watch.heard()).toBe(false);
  expect([watch.isSilent, watch.silentMs, clock.pending]).toEqual([false, 0, 1]);
  await clock.advance(1_000);
  expect(calls).toEqual([
    [1_000, true],
    [1_000, true],
  ]);
});

test("what is heard in time puts the silence off by what is left, not by a whole span", async () => {
  const { clock, calls, watch } = createWatch();
  watch.start();
  await clock.advance(400);
  watch.heard();
  await clock.advance(999);
  expect(calls).toEqual([]);
  await clock.advance(1);
  expect(calls).toEqual([[1_000, true]]);
});

test("a machine that slept has heard nothing meanwhile, and a wall clock put back makes nothing fresh", async () => {
  const { clock, watch } = createWatch();
  watch.start();
  clock.suspend(1_000);
  expect([watch.isSilent, watch.silentMs]).toEqual([true, 1_000]);
  watch.heard();
  expect(watch.isSilent).toBe(false);
  clock.jumpWall(-60_000);
  expect(watch.silentMs).toBe(0);
  await clock.advance(1_000);
  expect([watch.isSilent, watch.silentMs]).toEqual([true, 1_000]);
});

test("counts from the start, calls nobody before it, and nobody after the end", async () => {
  const { clock, calls, watch } = createWatch();
  expect(watch.silentMs).toBe(0);
  await clock.advance(5_000);
  expect([calls, clock.pending, watch.silentMs]).toEqual([[], 0, 5_000]);
  watch.start();
  expect(watch.silentMs).toBe(0);
  await clock.advance(1_000);
  expect(calls).toHaveLength(1);
  watch.close();
  expect(watch.heard()).toBe(true);
  await clock.advance(5_000);
  expect([calls.length, clock.pending]).toEqual([1, 0]);
});
