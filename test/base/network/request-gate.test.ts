import { expect, test } from "bun:test";
import { type CallerLoad, RequestGate } from "../../../src/base/network/request-gate.ts";

const LIMITS = { requestsMax: 10, requestsPerCallerMax: 8, bodyBytesMax: 1_000_000, bodiesBytesMax: 8_000_000 };
const caller = (part = 1): CallerLoad => ({ requests: 0, bytes: 0, part });
const codes = (gate: RequestGate, load: CallerLoad, times: number, weight = 0): string[] =>
  Array.from({ length: times }, () => gate.enter(load, weight)?.code ?? "in");

test("a caller has its share of requests, and all together the listener's", () => {
  const gate = new RequestGate(LIMITS);
  const [one, other] = [caller(), caller()];
  expect(codes(gate, one, 9)).toEqual([...Array<string>(8).fill("in"), "rate_limited"]);
  expect(codes(gate, other, 3)).toEqual(["in", "in", "overloaded"]);
  gate.leave(one, 0);
  expect(codes(gate, other, 1)).toEqual(["in"]);
  expect([one.requests, other.requests, gate.requests]).toEqual([7, 3, 10]);
});

test("a part of a share is a part of everything in it, and one request at least", () => {
  const gate = new RequestGate(LIMITS);
  expect(codes(gate, caller(1 / 4), 3)).toEqual(["in", "in", "rate_limited"]);
  expect(codes(gate, caller(1 / 100), 2)).toEqual(["in", "rate_limited"]);
  // A whole caller may have a quarter of all bodies: two million bytes.
  const quarter = caller(1 / 4);
  expect(gate.enter(quarter, 400_000)).toBeUndefined();
  expect(gate.grow(quarter, 400_000, 500_001)?.code).toBe("rate_limited");
  expect(gate.grow(quarter, 400_000, 500_000)).toBeUndefined();
});

test("bodies are counted while they grow, small ones are not, and what left is given back", () => {
  const gate = new RequestGate(LIMITS);
  const load = caller();
  expect(codes(gate, load, 2, 16_384)).toEqual(["in", "in"]);
  expect(load.bytes).toBe(0);
  expect(codes(gate, load, 1, 1_000_001)).toEqual(["too_large"]);
  expect(codes(gate, load, 1, Number.NaN)).toEqual(["too_large"]);
  expect(gate.enter(load, 900_000)).toBeUndefined();
  expect(gate.grow(load, 900_000, 2_000_001)?.code).toBe("rate_limited");
  expect(load.bytes).toBe(900_000);
  // An answer that is not read is there, whatever the bounds are; then no more is let in.
  gate.charge(load, 900_000, 3_000_000);
  expect(codes(gate, load, 1)).toEqual(["rate_limited"]);
  gate.leave(load, 3_000_000);
  expect([load.bytes, load.requests]).toEqual([0, 2]);
  expect(codes(gate, load, 1)).toEqual(["in"]);
});

test("all bodies together are bounded, whoever they are of", () => {
  const gate = new RequestGate(LIMITS);
  const loads = Array.from({ length: 4 }, () => caller());
  for (const load of loads) {
    expect(gate.enter(load, 1_000_000)).toBeUndefined();
    expect(gate.grow(load, 1_000_000, 2_000_000)).toBeUndefined();
  }
  expect(gate.enter(caller(), 0)?.code).toBe("overloaded");
  gate.leave(loads[0]!, 2_000_000);
  expect(gate.enter(caller(), 500_000)).toBeUndefined();
  expect(gate.enter(caller(), 500_000)?.retryAfterMs).toBeUndefined();
});
