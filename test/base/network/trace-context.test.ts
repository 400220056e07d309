import { describe, expect, test } from "bun:test";
import { newRequestId, RequestTrace, traceIdOf } from "../../../src/base/network/trace-context.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT = "00f067aa0ba902b7";
const traced = (headers: Record<string, string>): RequestTrace => new RequestTrace({ headers: new Headers(headers) });

describe("W3C trace context", () => {
  test("is taken over where it is well-formed", () => {
    expect(traceIdOf(`00-${TRACE}-${PARENT}-01`)).toBe(TRACE);
    expect(traceIdOf(`cc-${TRACE}-${PARENT}-01-what-the-future-brings`)).toBe(TRACE);
  });

  test("is as if it were not there where it is not", () => {
    for (const wrong of [
      "",
      TRACE,
      `00-${TRACE}-${PARENT}`,
      `00-${TRACE}-${PARENT}-01-more`,
      `ff-${TRACE}-${PARENT}-01`,
      `00-${"0".repeat(32)}-${PARENT}-01`,
      `00-${TRACE}-${"0".repeat(16)}-01`,
      `00-${TRACE.toUpperCase()}-${PARENT}-01`,
      `00-${TRACE.slice(1)}-${PARENT}-01`,
      ` 00-${TRACE}-${PARENT}-01`,
    ]) {
      expect(traceIdOf(wrong)).toBeUndefined();
    }
  });
});

describe("request ids", () => {
  test("are the caller's where they can't harm a log, else new ones", () => {
    expect(String(traced({ "x-request-id": "order-17.retry:2" }))).toBe("order-17.retry:2");
    for (const wrong of ["", "a b", "x".repeat(65), '"}', "-", "\u00fcn\u00efcode"]) {
      const trace = traced({ "x-request-id": wrong });
      expect(trace.requestId).not.toBe(wrong);
      expect(trace.requestId).toMatch(/^[0-9a-f]{16}$/);
      expect(String(trace)).toBe(trace.requestId);
    }
  });

  test("are never given twice", () => {
    const ids = new Set(Array.from({ length: 10_000 }, newRequestId));
    expect(ids.size).toBe(10_000);
  });

  test("go into a log line with the trace", () => {
    const trace = traced({ traceparent: `00-${TRACE}-${PARENT}-00`, "x-request-id": "r1" });
    expect(trace.fields).toEqual({ request_id: "r1", trace_id: TRACE });
  });
});
