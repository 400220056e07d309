import { expect, test } from "bun:test";
import { OperationError } from "../../../src/base/errors.ts";
import { asOperationError, leaseEnded, silenced, stopping, unavailable } from "../../../src/edge/cache/lease-errors.ts";
import { SourceNotCalled } from "../../../src/edge/cache/source-call.ts";

test("whoever can't be served now is told when to ask again", () => {
  const waitsMs = [stopping(), silenced(), leaseEnded()].map(({ code, retryAfterMs }) => [code, retryAfterMs]);
  expect(waitsMs).toEqual([
    ["lease_unavailable", 1_000],
    ["lease_unavailable", 1_000],
    ["lease_unavailable", 100],
  ]);
  const waiting = new SourceNotCalled("busy", "Later.", 2_500);
  expect(
    [unavailable(waiting), unavailable(waiting, 7), unavailable(new Error("x"))].map((error) => error.retryAfterMs),
  ).toEqual([2_500, 7, 1_000]);
});

test("a call that was not made is asked for again after whole milliseconds, one at least", () => {
  const waitsMs = [-5, 0, 0.2, 1, 1.2].map((ms) => new SourceNotCalled("busy", "Later.", ms).retryAfterMs);
  expect(waitsMs).toEqual([1, 1, 1, 1, 2]);
});

test("an error of the edge is taken for one, and a defect is not", () => {
  const error = new OperationError("key_not_found", "There is none.");
  expect(asOperationError(error)).toBe(error);
  const defect = new TypeError("undefined is not a function");
  expect(() => asOperationError(defect)).toThrow(defect);
});
