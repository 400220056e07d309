import { describe, expect, test } from "bun:test";
import { ChunkReader } from "../../../../src/base/network/http1/chunks.ts";

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
      "5 ;a\r\n",
      "5;\r\n",
      "0123456789a",
      `5;${"x".repeat(2_000)}`,
      `1;${"a".repeat(900)}\r\nx\r\n`.repeat(10),
      "0\r\nX-A: b\n",
      "0\r\nX A: b\r\n",
      "0\r\nHost: x\r\n",
      trailers,
    ]) {
      expect(() => new ChunkReader().take(Buffer.from(text), () => undefined), text.slice(0, 20)).toThrow();
    }
  });

  test("is bounded by the sizes of its chunks, before they come", () => {
    const reader = new ChunkReader(5);
    expect(reader.take(Buffer.from("3\r\nabc\r\n"), () => undefined)).toBe(8);
    expect(() => reader.take(Buffer.from("3\r\n"), () => undefined)).toThrow("the body is too long");
  });
});
