/**
 * The edge's HTTP reader beside another's: whatever it takes for a request, `node:http` takes for the same one, byte for byte of the body,
 * at the same place of the stream. Where it refuses what Node takes it is stricter, and may be.
 */
import { expect, test } from "bun:test";
import { METHODS } from "node:http";
import { resolve } from "node:path";
import { serveHttp1 } from "../../src/base/network/http1/connection.ts";
import type { Http1Socket } from "../../src/base/network/http1/socket.ts";
import { Random } from "../simulation/random.ts";

interface Seen {
  readonly method: string;
  readonly target: string;
  readonly body: string;
}

const nextTurn = (): Promise<void> => new Promise(setImmediate);

const CASES = Number(process.env.HTTP1_CASES ?? 6_000);
const SEED = Number(process.env.HTTP1_SEED ?? 20_261_127);

/** What one connection of ours takes for requests. */
async function readByUs(bytes: Buffer, split: number): Promise<Seen[]> {
  const listeners = new Map<string, (bytes: Buffer) => void>();
  let isPaused = false;
  let hasEnded = false;
  const socket: Http1Socket = {
    write: () => true,
    end() {},
    destroy() {
      hasEnded = true;
    },
    pause() {
      isPaused = true;
    },
    resume() {
      isPaused = false;
    },
    on: (event: string, listener: (bytes: Buffer) => void) => void listeners.set(event, listener),
    destroyed: false,
  };
  const requests: Seen[] = [];
  const answer = { status: 200, headers: {}, body: "" };
  serveHttp1(socket, {
    maxHeaderBytes: 16_384,
    maxBodyBytes: 1 << 20,
    admit: () => undefined,
    answer({ head, body }) {
      requests.push({ method: head.method, target: head.target, body: body.toString("latin1") });
      return answer;
    },
    refuse: (status) => ({ ...answer, status }),
    bodyAwaited() {},
    bodyGrew: () => undefined,
    bodyTaken() {},
    answerWaits() {},
    answerStreams() {},
    answerFlows() {},
    answered() {},
    abandoned() {},
    ended() {
      hasEnded = true;
    },
    failed(error) {
      throw error;
    },
  });
  for (let at = 0; at < bytes.length; at += split) {
    // Nothing comes while reading rests, as on a socket.
    while (isPaused && !hasEnded) await nextTurn();
    listeners.get("data")?.(bytes.subarray(at, at + split));
  }
  listeners.get("end")?.(Buffer.alloc(0));
  while (!hasEnded) await nextTurn();
  return requests;
}

async function readByNode(streams: readonly Buffer[]): Promise<Seen[][]> {
  const child = Bun.spawn(["node", resolve(import.meta.dir, "support/node-http-reader.mjs")], {
    stdin: new Blob([`${streams.map((bytes) => bytes.toString("base64")).join("\n")}\n`]),
    stdout: "pipe",
    stderr: "inherit",
  });
  const text = await new Response(child.stdout).text();
  expect(await child.exited).toBe(0);
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Seen[]);
}

/** Streams of one to three requests, most of them nearly right: of parts that two readers have disagreed about, and of random bytes. */
function generate(count: number, seed: number): Buffer[] {
  const source = new Random(seed);
  const random = (): number => source.next();
  const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)]!;
  const chance = (of: number): boolean => random() < of;
  const often = <T>(good: readonly T[], odd: readonly T[]): T => pick(chance(0.95) ? good : odd);
  const eol = (): string => (chance(0.995) ? "\r\n" : pick(["\n", "\r", "\r\r\n", "\n\r", "\r\n "]));
  const space = (): string => (chance(0.995) ? " " : pick(["  ", "\t", "", "\x0b", "\x0c"]));
  const body = (): string => pick(["", "a", "hello", "0\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "\r\n", "{}"]);
  const hex = (length: number): string =>
    pick(
      [
        (n: number) => n.toString(16),
        (n: number) => n.toString(16).toUpperCase(),
        (n: number) => `0${n.toString(16)}`,
        (n: number) => `0x${n.toString(16)}`,
        (n: number) => `+${n}`,
        (n: number) => `${n.toString(16)} `,
        (n: number) => ` ${n.toString(16)}`,
        (n: number) => `${n.toString(16)};a=b`,
        (n: number) => `${n.toString(16)};a="b;c"`,
        (n: number) => `${n.toString(16)} ;a`,
      ].map((write, index) => (index < 2 || chance(0.1) ? write : (n: number) => n.toString(16))),
    )(length);

  function chunked(): string {
    const parts = Array.from({ length: Math.floor(random() * 3) }, body).filter((part) => part !== "" || chance(0.1));
    const trailers = chance(0.85)
      ? ""
      : pick(["X-T: 1", "X-T : 1", "X-T", "Content-Length: 5", " folded", "X-T: a\x00b"]) + eol();
    return `${parts.map((part) => hex(part.length) + eol() + part + eol()).join("")}${pick(["0", "0", "0", "00", "000", "0;x", ""])}${eol()}${trailers}${eol()}`;
  }

  function request(): string {
    const method = often(
      ["GET", "POST", "POST", "PUT", "HEAD", "DELETE", "OPTIONS"],
      ["CONNECT", "get", "PO ST", "LIST"],
    );
    const target = often(
      ["/", "/a", "/a?b=c", "/a%2Fb", "//x", "/\\x", "http://h/x", "http://h", "/#x"],
      ["*", "a", "/a b", "/\x7f", "/\xe9", "http:/h", "http://"],
    );
    const version = chance(0.93)
      ? "HTTP/1.1"
      : pick(["HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.1 ", "HTTP/01.1", ""]);
    const headers: string[] = [];
    if (chance(0.96))
      headers.push(`Host:${pick([" ", "", "\t"])}${often(["h", "h:80", "", "[::1]"], ["h h", "h,g", "h/x"])}`);
    const content = body();
    const framing = often(["none", "length", "length", "chunked", "chunked"], ["both", "odd"]);
    const name = (text: string): string =>
      chance(0.95) ? text : pick([`${text} `, ` ${text}`, text.toLowerCase(), `${text}\t`, `${text}\x00`]);
    const length = (): string =>
      chance(0.95)
        ? String(content.length)
        : pick([
            `+${content.length}`,
            `0${content.length}`,
            ` ${content.length} `,
            `${content.length},${content.length}`,
            `${content.length}, ${content.length}`,
            "-1",
            "",
            "1e1",
            "0x5",
            `${content.length}\t`,
            "99999999999999999999",
          ]);
    const coding = (): string =>
      chance(0.95)
        ? "chunked"
        : pick([
            "Chunked",
            "chunked, identity",
            "identity",
            "gzip, chunked",
            "chunked,chunked",
            "xchunked",
            "chunked;q=1",
            " chunked ",
            "chunked\x0b",
            "",
          ]);
    if (framing === "length" || framing === "both") headers.push(`${name("Content-Length")}: ${length()}`);
    if (framing === "chunked" || framing === "both")
      headers.push(`${name("Transfer-Encoding")}:${pick([" ", "", "\t"])}${coding()}`);
    if (framing === "odd") {
      headers.push(
        pick([
          `Content-Length: ${content.length}${eol()}Content-Length: ${content.length}`,
          `Content-Length: 0${eol()}Content-Length: 5`,
          `Transfer-Encoding: chunked${eol()}Transfer-Encoding: identity`,
          `X-A: b${eol()} Content-Length: 5`,
          "Content_Length: 5",
          "Content-Length 5",
          "Content-Length\r\n: 5",
        ]),
      );
    }
    if (chance(0.2))
      headers.push(
        `Connection: ${pick(["close", "keep-alive", "keep-alive,\tclose", "close , x", "upgrade", "x\tclose", "Keep-Alive, Close"])}`,
      );
    if (chance(0.05)) headers.push(`Expect: ${pick(["100-continue", "100-Continue", "x"])}`);
    if (chance(0.05)) headers.push(`Upgrade: ${pick(["websocket", "h2c"])}`);
    if (chance(0.1))
      headers.push(
        pick([
          "X-A: b\x00",
          "X-A: \x7f",
          "X A: b",
          "X-A:b",
          ": b",
          "X-A",
          "X-\xe9: b",
          "X-A: \xe9",
          "X-A: b\rc",
          "\tX-A: b",
        ]),
      );
    if (chance(0.3)) headers.reverse();
    const sent =
      framing === "chunked" || (framing === "both" && chance(0.5))
        ? chunked()
        : framing === "none" && chance(0.8)
          ? ""
          : content;
    return `${method}${space()}${target}${space()}${version}${eol()}${headers.map((header) => header + eol()).join("")}${eol()}${sent}`;
  }

  return Array.from({ length: count }, () => {
    let text = chance(0.05) ? pick(["\r\n", "\n", "\r\n\r\n", " "]) : "";
    for (let requests = 1 + Math.floor(random() * 3); requests > 0; requests--) text += request();
    const bytes = Buffer.from(text, "latin1");
    if (!chance(0.3)) return bytes;
    const at = Math.floor(random() * bytes.length);
    const byte = Buffer.of(chance(0.5) ? Math.floor(random() * 256) : pick([0, 9, 10, 11, 13, 32, 44, 58, 59]));
    const rest = chance(0.5) ? at : at + 1;
    return Buffer.concat([bytes.subarray(0, at), chance(0.7) ? byte : Buffer.alloc(0), bytes.subarray(rest)]);
  });
}

/** A method that Node does not know it refuses; that we do not is no other understanding of the stream. */
const known = (method: string): boolean => METHODS.includes(method) && method !== "CONNECT";
/** Node gives the absolute form as it came. */
const path = (target: string): string => target.replace(/^https?:\/\/[^/?]*(?=[/?]|$)/i, "").replace(/^(?=\?|$)/, "/");

test(`of ${CASES} generated streams none is understood otherwise than by node:http`, async () => {
  const streams = generate(CASES, SEED);
  const theirs = await readByNode(streams);
  expect(theirs).toHaveLength(streams.length);
  const counts = { same: 0, stricter: 0, requests: 0 };
  const other: string[] = [];
  for (const [index, bytes] of streams.entries()) {
    const ours = await readByUs(bytes, index % 3 === 0 ? 1 + (index % 7) : bytes.length);
    const unknown = ours.findIndex(({ method }) => !known(method));
    const mine = unknown < 0 ? ours : ours.slice(0, unknown);
    const node = theirs[index]!.map(({ target, ...rest }) => ({ ...rest, target: path(target) }));
    counts.requests += mine.length;
    const agree = mine.every(
      (request, place) =>
        request.method === node[place]?.method &&
        request.target === node[place].target &&
        request.body === node[place].body,
    );
    if (!agree) other.push(JSON.stringify({ bytes: bytes.toString("latin1"), ours: mine, node }));
    else if (mine.length === node.length) counts.same++;
    else counts.stricter++;
  }
  console.log(`seed ${SEED}: ${JSON.stringify(counts)}`);
  expect(other.slice(0, 5)).toEqual([]);
  // A generator whose streams nobody takes would show nothing.
  expect(counts.requests).toBeGreaterThan(CASES / 4);
  expect(counts.same).toBeGreaterThan(CASES / 2);
}, 300_000);
