import { expect, test } from "bun:test";
import { OperationError } from "../../../src/base/errors.ts";
import type { RevocationScope } from "../../../src/edge/cache/lease-cache.ts";
import { Refusals } from "../../../src/edge/cache/refusals.ts";

const refusal = new OperationError("key_not_found", "There is none.");
const NAMES: readonly (readonly [string, string, number])[] = [
  ["t", "a", 1],
  ["t", "a", 2],
  ["t", "b", 1],
  ["u", "a", 1],
];

function remembering(): Refusals {
  const refusals = new Refusals(10);
  for (const name of NAMES) refusals.add(...name, refusal, 1_000);
  return refusals;
}

const left = (refusals: Refusals): string[] =>
  NAMES.filter((name) => refusals.find(...name, 0) !== undefined).map((name) => name.join("/"));

test("a refusal is remembered up to its end, and then forgotten", () => {
  const refusals = remembering();
  expect(refusals.find("t", "a", 1, 999)).toBe(refusal);
  expect(refusals.find("t", "a", 1, 1_000)).toBeUndefined();
  expect(refusals.find("t", "a", 1, 0)).toBeUndefined();
  expect(refusals.find("t", "a", 3, 0)).toBeUndefined();
  expect(refusals.size).toBe(3);
});

test("what is said of a scope makes the refusals in it forgotten, and no other", () => {
  const cases: readonly (readonly [RevocationScope, readonly string[]])[] = [
    [{ tenant: "t" }, ["u/a/1"]],
    [{ tenant: "t", service: "a" }, ["t/b/1", "u/a/1"]],
    // A version that comes back may be the one that wraps: the service is asked about anew.
    [{ tenant: "t", service: "a", version: 1 }, ["t/b/1", "u/a/1"]],
    [{ tenant: "v" }, ["t/a/1", "t/a/2", "t/b/1", "u/a/1"]],
  ];
  for (const [scope, names] of cases) {
    const refusals = remembering();
    refusals.forget(scope);
    expect(left(refusals)).toEqual([...names]);
  }
});

test("the oldest goes when there is no room; one that is said again takes no other's room, and is the newest", () => {
  const refusals = new Refusals(2);
  refusals.add("t", "a", 1, refusal, 1_000);
  refusals.add("t", "a", 2, refusal, 1_000);
  refusals.add("t", "a", 2, refusal, 1_000);
  expect(left(refusals)).toEqual(["t/a/1", "t/a/2"]);
  refusals.add("t", "a", 1, refusal, 2_000);
  expect(refusals.size).toBe(2);
  refusals.add("t", "b", 1, refusal, 1_000);
  expect(left(refusals)).toEqual(["t/a/1", "t/b/1"]);
  refusals.clear();
  expect(refusals.size).toBe(0);
});
