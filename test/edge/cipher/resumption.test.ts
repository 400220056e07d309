import { expect, test } from "bun:test";
import { watchForResumption } from "../../../src/edge/cipher/resumption.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

test("a machine that slept, or whose clock was set, is noticed within a second, once; one that runs is not", async () => {
  const clock = new VirtualClock();
  const stop = new AbortController();
  let noticed = 0;
  watchForResumption(clock, stop.signal, () => noticed++);
  await clock.advance(60_000);
  expect(noticed).toBe(0);
  clock.suspend(5_000);
  await clock.advance(1_000);
  expect(noticed).toBe(1);
  await clock.advance(60_000);
  expect(noticed).toBe(1);
  clock.jumpWall(-3_600_000);
  await clock.advance(1_000);
  expect(noticed).toBe(2);
  stop.abort();
  expect(clock.pending).toBe(0);
});

test("two seconds between two looks are the clock being put right, either way, and more are a rest", async () => {
  const clock = new VirtualClock();
  const stop = new AbortController();
  let noticed = 0;
  watchForResumption(clock, stop.signal, () => noticed++);
  for (const jumpMs of [2_000, -2_000, 2_000]) {
    clock.jumpWall(jumpMs);
    await clock.advance(1_000);
  }
  expect(noticed).toBe(0);
  for (const jumpMs of [2_001, -2_001]) {
    clock.jumpWall(jumpMs);
    await clock.advance(1_000);
  }
  expect(noticed).toBe(2);
  stop.abort();
});
