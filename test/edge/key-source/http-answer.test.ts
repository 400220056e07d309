import { describe, expect, test } from "bun:test";
import { ChunkReader, parseAnswerHead } from "../../../src/edge/key-source/core/http-answer.ts";

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

describe("a body in chunks", () => {
  const BODY = '5;name="x"\r\nhello\r\n1\r\n \r\n00A\r\nworld\r\n\r\n!\r\n0\r\nTrailer: x\r\n\r\n';

  test("is the same in whatever pieces it comes, and what is behind it is left", () => {
    const bytes = Buffer.from(`${BODY}HTTP/1.1`);
    for (let size = 1; size <= bytes.length; size++) {
      const reader = new ChunkReader();
      let text = "";
      let place = 0;
      while (place < bytes.length && !reader.isOver) {
        place += reader.take(bytes.subarray(place, place + size), (part) => {
          text += part.toString();
        });
      }
      expect([text, place, reader.isOver]).toEqual(["hello world\r\n\r\n!", BODY.length, true]);
    }
  });

  test("that is malformed is refused", () => {
    const trailers = `0\r\n${`x: ${"y".repeat(900)}\r\n`.repeat(10)}\r\n`;
    for (const text of [
      "x\r\n",
      "-1\r\n",
      "5\n",
      "\r\n",
      "1\r\nab\r\n",
      "123456789\r\n",
      `5;${"x".repeat(2_000)}`,
      trailers,
    ]) {
      expect(() => new ChunkReader().take(Buffer.from(text), () => undefined), text.slice(0, 20)).toThrow();
    }
  });
});
