import { describe, expect, test } from "bun:test";
import { parseSpeed } from "../../bench/harness/openssl.ts";
import { compare, interleave } from "../../bench/harness/rounds.ts";
import { describeGoal, type Row, row } from "../../bench/harness/row.ts";
import { regressions } from "../../bench/harness/saved-run.ts";

describe("a row", () => {
  test("holds its goal or is below it, by ratio or by value", () => {
    const facts = { name: "x", value: 80, unit: "ops/s", baseline: 100 };
    expect(row({ ...facts, goal: { of: "ratio", atLeast: 0.8 } }).verdict).toBe("holds");
    expect(row({ ...facts, goal: { of: "ratio", atLeast: 0.81 } }).verdict).toBe("below");
    expect(row({ ...facts, goal: { of: "value", atMost: 79 } }).verdict).toBe("below");
    expect(row(facts)).toMatchObject({ ratio: 0.8, verdict: null });
    expect(describeGoal({ of: "value", atMost: 2 }, "ms")).toBe("<= 2 ms");
  });

  test("that was not measured never holds", () => {
    const facts = { name: "x", value: Number.NaN, unit: "ms" };
    expect(row({ ...facts, goal: { of: "value", atMost: 2 } }).verdict).toBe("below");
    expect(row({ ...facts, goal: { of: "value", atLeast: 2 } }).verdict).toBe("below");
  });
});

test("rounds take turns, after one that is not counted, and are compared one by one", async () => {
  const order: string[] = [];
  const sample = (name: string, value: number) => () => {
    order.push(name);
    return value;
  };
  const samples = await interleave({ a: sample("a", 3), b: sample("b", 6) }, 3);
  expect(order.join("")).toBe("ab" + "ab" + "ba" + "ab");
  expect(samples).toEqual({ a: [3, 3, 3], b: [6, 6, 6] });
  // One round was disturbed as a whole: its ratio is what the others' is.
  expect(compare([10, 1, 10], [20, 2, 20])).toEqual({ value: 10, baseline: 20, ratio: 0.5, spread: 0 });
});

test("a run is worse than the saved one by its ratios alone, in the direction of the goal", () => {
  const of = (name: string, value: number, ratio: number | null, goal: Row["goal"]): Row =>
    row({ name, value, unit: "x", baseline: ratio === null ? null : value / ratio, goal });
  const before = [
    of("rate", 100, 0.8, { of: "ratio", atLeast: 0.5 }),
    of("latency", 1, 1, { of: "ratio", atMost: 1.5 }),
    of("absolute", 1, null, { of: "value", atMost: 5 }),
  ];
  const now = [
    of("rate", 1, 0.79, { of: "ratio", atLeast: 0.5 }),
    of("latency", 1, 1.6, { of: "ratio", atMost: 1.5 }),
    of("absolute", 100, null, { of: "value", atMost: 5 }),
    of("new", 1, 0.1, { of: "ratio", atLeast: 0.5 }),
  ];
  expect(regressions(before, now).map(({ name }) => name)).toEqual(["latency"]);
  expect(regressions(before, now, 0.7)).toEqual([]);
});

test("openssl's own figure is read, and one that is not there is an error", () => {
  expect(parseSpeed("+H:32\n+F:25:AES-256-GCM:46255488.00\n")).toBe(1_445_484);
  expect(() => parseSpeed("Error setting cipher")).toThrow("openssl speed printed no figure");
});
