import { expect, test } from "bun:test";
import { backoffMs, longestBackoffMs } from "../../../src/base/time/backoff.ts";

const BACKOFF = { firstMs: 200, maxMs: 1_500 };

test("the longest wait doubles with each failure, up to the bound", () => {
  expect([0, 1, 2, 3, 4, 1_000].map((failures) => longestBackoffMs(BACKOFF, failures))).toEqual([
    200, 400, 800, 1_500, 1_500, 1_500,
  ]);
  // However long it goes on, a bound that is infinite gives a number.
  expect(longestBackoffMs({ firstMs: 1, maxMs: Number.POSITIVE_INFINITY }, 5_000)).toBe(2 ** 30);
});

test("a wait is anywhere from nothing to the longest", () => {
  expect(backoffMs(BACKOFF, 1, () => 0)).toBe(0);
  expect(backoffMs(BACKOFF, 1, () => 0.5)).toBe(200);
});
