import { expect, test } from "bun:test";
import { systemClock } from "../../../src/base/time/system-clock.ts";

const soon = (): Promise<void> => new Promise((resolve) => void systemClock.schedule(20, resolve));

test("a call is made once, and not when it was cancelled", async () => {
  let made = 0;
  const timer = systemClock.schedule(1, () => made++);
  const cancelled = systemClock.schedule(1, () => made++);
  cancelled.cancel();
  await soon();
  expect(made).toBe(1);
  timer.cancel();
});

test("a delay longer than the runtime's timers take is waited for, and can be cancelled", async () => {
  let made = 0;
  // The runtime takes such a delay for one of a millisecond.
  const timer = systemClock.schedule(2 ** 31 + 1_000, () => made++);
  await soon();
  expect(made).toBe(0);
  timer.cancel();
});

test("a timer gets no argument of the runtime's, and a delay that is over is none", async () => {
  const given: unknown[][] = [];
  systemClock.schedule(-5, (...values: unknown[]) => given.push(values));
  await soon();
  expect(given).toEqual([[]]);
});
