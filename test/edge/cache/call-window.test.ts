import { expect, test } from "bun:test";
import { CallWindow } from "../../../src/edge/cache/call-window.ts";

/** The bound after each of so many successes. */
const grown = (window: CallWindow, successes: number): number[] =>
  Array.from({ length: successes }, () => {
    window.grow();
    return window.bound;
  });

test("begins with four calls, or with fewer where no more are allowed, and never goes over what is allowed", () => {
  expect([new CallWindow(32).bound, new CallWindow(4).bound, new CallWindow(2).bound]).toEqual([4, 4, 2]);
  expect(grown(new CallWindow(6), 4)).toEqual([5, 6, 6, 6]);
});

test("halves once for all calls that were in flight together, down to one, and then grows by one a round", () => {
  const window = new CallWindow(32);
  grown(window, 12);
  expect(window.bound).toBe(16);
  window.shrink(10, 20);
  window.shrink(20, 30);
  expect(window.bound).toBe(8);
  window.shrink(21, 40);
  expect(window.bound).toBe(4);
  // One per round: of four calls, then of five.
  expect(grown(window, 10)).toEqual([4, 4, 4, 4, 5, 5, 5, 5, 5, 6]);
  for (let atMs = 100; atMs < 110; atMs++) window.shrink(atMs, atMs);
  expect(window.bound).toBe(1);
  expect(grown(window, 4)).toEqual([2, 2, 2, 3]);
});

test("begins again with one call after an outage, and grows by one a success to half of what is allowed", () => {
  const large = new CallWindow(32);
  large.restart();
  expect(large.bound).toBe(1);
  expect(grown(large, 16)).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 16]);
  const small = new CallWindow(4);
  small.restart();
  expect(grown(small, 3)).toEqual([2, 2, 2]);
  const least = new CallWindow(2);
  least.restart();
  expect(grown(least, 2)).toEqual([2, 2]);
});
