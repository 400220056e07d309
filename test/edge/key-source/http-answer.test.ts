import { describe, expect, test } from "bun:test";
import { parseAnswerHead } from "../../../src/edge/key-source/core/http-answer.ts";

describe("the head of an answer", () => {
  const head = (...lines: string[]) => parseAnswerHead(lines.join("\r\n"));

  test("says where the body ends, and whether the connection goes on", () => {
    const framed = (...lines: string[]) => {
      const { framing, keepAlive } = head(...lines);
      return [framing, keepAlive];
    };
    expect(framed("HTTP/1.1 200 OK", "Content-Length: 12")).toEqual([12, true]);
    expect(framed("HTTP/1.1 200", "Content-Length: 12", "Connection: Keep-Alive, Close")).toEqual([12, false]);
    expect(framed("HTTP/1.1 200 OK", "Transfer-Encoding: Chunked")).toEqual(["chunked", true]);
    expect(framed("HTTP/1.0 200 OK", "Content-Length: 12")).toEqual([12, false]);
    expect(framed("HTTP/1.1 200 OK")).toEqual(["close", false]);
    expect(framed("HTTP/1.1 204 No Content")).toEqual([0, true]);
  });

  test("gives the headers by their names in lower case", () => {
    const { status, headers } = head("HTTP/1.1 503 Service Unavailable", "Retry-After:  7 ", "X: a", "x: b");
    expect([status, headers.get("retry-after"), headers.get("x")]).toEqual([503, "7", "a, b"]);
  });

  test("that two readers could understand in two ways is refused", () => {
    for (const lines of [
      ["HTTP/2 200 OK"],
      ["HTTP/1.1 2000 OK"],
      [" HTTP/1.1 200 OK"],
      ["HTTP/1.1 200 OK", "Content-Length: 1", "Content-Length: 2"],
      ["HTTP/1.1 200 OK", "Content-Length: 1", "Transfer-Encoding: chunked"],
      ["HTTP/1.1 200 OK", "Content-Length: -1"],
      ["HTTP/1.1 200 OK", "Content-Length: 0x10"],
      ["HTTP/1.1 200 OK", "Transfer-Encoding: gzip, chunked"],
      ["HTTP/1.0 200 OK", "Transfer-Encoding: chunked"],
      ["HTTP/1.1 200 OK", " folded: x"],
      ["HTTP/1.1 200 OK", "name : x"],
      ["HTTP/1.1 200 OK", "x: a\nb"],
      ["HTTP/1.1 200 OK", ...Array.from({ length: 101 }, (_, index) => `x${index}: y`)],
    ]) {
      expect(() => head(...lines), lines.join("|")).toThrow();
    }
  });
});
