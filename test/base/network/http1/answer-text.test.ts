import { describe, expect, test } from "bun:test";
import { AnswerText } from "../../../../src/base/network/http1/answer-text.ts";
import { parseHead } from "../../../../src/base/network/http1/head.ts";
import { KnownHeads } from "../../../../src/base/network/http1/known-heads.ts";
import type { Http1Socket } from "../../../../src/base/network/http1/socket.ts";

const HEAD = Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: ");

/** What was sent, and the buffer that it was sent from. */
function recorder() {
  const sent: string[] = [];
  let from: Buffer = Buffer.alloc(0);
  const socket = {
    write: () => true,
    writePart(bytes: Buffer, start: number, end: number) {
      from = bytes;
      sent.push(bytes.toString("latin1", start, end));
      return true;
    },
  } as unknown as Http1Socket;
  return { socket, sent, buffer: () => from };
}

describe("the text of an answer", () => {
  test("goes out with its head and its length, in one write", () => {
    const { socket, sent } = recorder();
    const text = new AnswerText();
    text.begin().ascii('{"a":"').base64url(Buffer.from("hello")).ascii('","n":').number(4_294_967_295).ascii("}");
    expect(text.length).toBe(30);
    expect(text.send(HEAD, socket)).toBe(true);
    expect(sent).toEqual([`${HEAD}30\r\n\r\n{"a":"aGVsbG8","n":4294967295}`]);
    text.begin().send(HEAD, socket);
    expect(sent[1]).toBe(`${HEAD}0\r\n\r\n`);
  });

  test("has base64url as the runtime's encoder gives it, of every length", () => {
    const text = new AnswerText();
    for (const length of [...Array(200).keys(), 1_023, 1_024, 1_025, 65_536]) {
      const bytes = crypto.getRandomValues(new Uint8Array(length));
      expect(text.begin().base64url(bytes).take()).toBe(Buffer.from(bytes).toString("base64url"));
    }
    for (const number of [0, 7, 10, 99, 100, 86_400, 2 ** 32]) {
      expect(text.begin().number(number).take()).toBe(String(number));
    }
  });

  test("that is secret is wiped once it is sent, taken, or another begins; also where it grew", () => {
    const key = new Uint8Array(32).fill(0x5a);
    const shown = Buffer.from(key).toString("base64url");
    const { socket, buffer } = recorder();
    const text = new AnswerText();
    text.begin().ascii("x").secret(key).send(HEAD, socket);
    const bytes = buffer();
    expect(bytes.includes(shown)).toBe(false);
    expect(text.begin().secret(key).take()).toBe(shown);
    expect(bytes.includes(shown)).toBe(false);
    text.begin().secret(key);
    expect(bytes.includes(shown)).toBe(true);
    text.ascii("x".repeat(20_000));
    expect(bytes.includes(shown)).toBe(false);
    text.send(HEAD, socket);
    expect(buffer()).not.toBe(bytes);
    expect(buffer().includes(shown)).toBe(false);
  });
});

test("heads that came before are known again, a few of them, byte for byte", () => {
  const known = new KnownHeads();
  const bytes = (path: string): Buffer => Buffer.from(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
  const add = (path: string): void => known.add(bytes(path), parseHead(bytes(path).toString().slice(0, -4)));
  add("/a");
  add("/b");
  const found = (path: string, after = "") => known.find(Buffer.concat([bytes(path), Buffer.from(after)]))?.head.target;
  expect([found("/a"), found("/b", "body"), found("/c")]).toEqual(["/a", "/b", undefined]);
  expect(known.find(bytes("/a").subarray(0, 20))).toBeUndefined();
  expect(known.find(Buffer.from(bytes("/a").toString().replace("Host", "host")))).toBeUndefined();
  for (let index = 0; index < 6; index++) add(`/${index}`);
  expect([found("/a"), found("/0"), found("/5")]).toEqual([undefined, "/0", "/5"]);
});
