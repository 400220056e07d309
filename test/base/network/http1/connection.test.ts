import { beforeEach, describe, expect, spyOn, test } from "bun:test";
import { AnswerText } from "../../../../src/base/network/http1/answer-text.ts";
import { serveHttp1 } from "../../../../src/base/network/http1/connection.ts";
import type { Http1Handler, Http1Request } from "../../../../src/base/network/http1/handler.ts";
import { longMemory } from "../../../../src/base/network/http1/long-memory.ts";
import type { Http1Socket } from "../../../../src/base/network/http1/socket.ts";
import type { Http1Answer } from "../../../../src/base/network/http1/write.ts";
import { fc } from "../../../support/properties.ts";

/** A turn of the event loop, which all connections of the process share. */
const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

beforeEach(nextTurn);

/** A socket that a test feeds. */
class FakeSocket implements Http1Socket {
  written = "";
  destroyed = false;
  ended = false;
  paused = false;
  flowing = true;
  readonly #listeners = new Map<string, (bytes: Buffer) => void>();

  write(data: string | Uint8Array): boolean {
    this.written += typeof data === "string" ? data : Buffer.from(data).toString("latin1");
    return this.flowing;
  }
  end(): void {
    this.ended = true;
  }
  destroy(): void {
    this.destroyed = true;
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  on(event: string, listener: (bytes: Buffer) => void): void {
    this.#listeners.set(event, listener);
  }
  feed(text: string): void {
    this.#listeners.get("data")?.(Buffer.from(text, "latin1"));
  }
  emit(event: "close" | "end" | "drain"): void {
    this.#listeners.get(event)?.(Buffer.alloc(0));
  }
}

interface Served {
  readonly socket: FakeSocket;
  readonly requests: { method: string; target: string; body: string; fields: Record<string, string> }[];
  readonly counts: { answered: number; abandoned: number; admitted: number };
  statuses(): string[];
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");

function serve(
  answer: (request: Http1Request) => Http1Answer | Promise<Http1Answer> = ok,
  changes: Partial<Http1Handler> = {},
): Served {
  const socket = new FakeSocket();
  const requests: Served["requests"] = [];
  const counts = { answered: 0, abandoned: 0, admitted: 0 };
  serveHttp1(socket, {
    maxHeaderBytes: 1_000,
    maxBodyBytes: 10_000,
    admit({ contentLength = 0 }) {
      if (contentLength > 10_000) return { status: 413, headers: {}, body: "" };
      counts.admitted++;
      return undefined;
    },
    answer(request) {
      const { method, target, headers } = request.head;
      const { body } = request;
      requests.push({ method, target, body: text(body), fields: Object.fromEntries(headers.fields) });
      return answer(request);
    },
    refuse: (status, reason) => ({ status, headers: {}, body: reason }),
    bodyAwaited() {},
    bodyGrew: () => undefined,
    bodyTaken() {},
    answerWaits() {},
    answerFlows() {},
    answerStreams() {},
    answered: () => void counts.answered++,
    abandoned: () => void counts.abandoned++,
    ended() {},
    failed(error) {
      throw error;
    },
    ...changes,
  });
  return {
    socket,
    requests,
    counts,
    statuses: () => [...socket.written.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((m) => m[1]!),
  };
}

const ok = (request: Http1Request): Http1Answer => ({
  status: 200,
  headers: { "x-body": String(request.body.length) },
  body: text(request.body),
});

const HOST = "Host: localhost\r\n";
const post = (headers: string, body: string): string => `POST /a HTTP/1.1\r\n${HOST}${headers}\r\n${body}`;
const withLength = (body: string): string => post(`Content-Length: ${body.length}\r\n`, body);
const chunked = (...parts: string[]): string =>
  post(
    "Transfer-Encoding: chunked\r\n",
    `${parts.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`).join("")}0\r\n\r\n`,
  );

/** Requests, and what is read of each. */
const READ_AS: Readonly<Record<string, string>> = {
  [`GET /a HTTP/1.1\r\n${HOST}\r\n`]: "GET ",
  [withLength("")]: "POST ",
  [withLength("hello")]: "POST hello",
  [withLength("y".repeat(1_200))]: `POST ${"y".repeat(1_200)}`,
  [chunked("hel", "lo there")]: "POST hello there",
};
const WHOLE_REQUESTS = Object.keys(READ_AS);

/** Gives turns until no more is read: a turn reads a part of what came ahead. */
async function untilRead(requests: readonly unknown[]): Promise<void> {
  for (let before = -1; before !== requests.length; ) {
    before = requests.length;
    await nextTurn();
  }
}

describe("a request", () => {
  test("is read with a length, in chunks, or without a body", () => {
    const { socket, requests } = serve();
    socket.feed(`GET /x?y HTTP/1.1\r\n${HOST}X-A:  b \r\nx-a: c\r\n\r\n`);
    socket.feed(withLength("hello"));
    socket.feed(chunked("hel", "lo there"));
    expect(requests).toEqual([
      { method: "GET", target: "/x?y", body: "", fields: { host: "localhost", "x-a": "b, c" } },
      { method: "POST", target: "/a", body: "hello", fields: { host: "localhost", "content-length": "5" } },
      {
        method: "POST",
        target: "/a",
        body: "hello there",
        fields: { host: "localhost", "transfer-encoding": "chunked" },
      },
    ]);
    expect(socket.written).toContain("HTTP/1.1 200 OK\r\nDate: ");
    expect(socket.ended).toBe(false);
  });

  test("is the same however its bytes are cut", async () => {
    const stream = `${withLength("x".repeat(300)) + chunked("a", "bb".repeat(100))}GET /z HTTP/1.1\r\n${HOST}\r\n${withLength("")}${withLength("y".repeat(1_200))}`;
    const whole = serve();
    whole.socket.feed(stream);
    expect(whole.requests.map(({ body }) => body.length)).toEqual([300, 201, 0, 0, 1_200]);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 80 }), async (sizes) => {
        await nextTurn();
        const cut = serve();
        let at = 0;
        for (let turn = 0; at < stream.length; turn++) {
          const size = sizes[turn % sizes.length]!;
          cut.socket.feed(stream.slice(at, at + size));
          at += size;
        }
        expect(cut.requests).toEqual(whole.requests);
        expect(cut.counts).toEqual({ answered: 5, abandoned: 0, admitted: 5 });
      }),
    );
  });

  test("whose head came before makes no view of what was received: each would be freed for itself, while the collector stops everything", () => {
    const { socket, requests } = serve();
    socket.feed(withLength("first"));
    const views = spyOn(Buffer.prototype, "subarray");
    try {
      for (let turn = 0; turn < 100; turn++) socket.feed(withLength("again"));
      expect(views).toHaveBeenCalledTimes(0);
    } finally {
      views.mockRestore();
    }
    expect(requests.map(({ body }) => body)).toEqual(["first", ...new Array(100).fill("again")]);
  });

  test("is answered in its turn, also when answers take their time", async () => {
    const releases: (() => void)[] = [];
    const { socket, requests } = serve(
      (request) => new Promise((resolve) => releases.push(() => resolve(ok(request)))),
    );
    socket.feed(withLength("one") + withLength("two"));
    expect(requests.length).toBe(1);
    releases[0]!();
    await Bun.sleep(0);
    expect(requests.length).toBe(2);
    releases[1]!();
    await Bun.sleep(0);
    expect(socket.written.indexOf("one")).toBeLessThan(socket.written.indexOf("two"));
  });

  test("never gets a text that stands where the next answer is written: whoever waits takes it, or nobody gets it", async () => {
    const failures: unknown[] = [];
    const { socket } = serve(
      async () => ({ status: 200, headers: {}, body: new AnswerText().begin().ascii("of whoever came last") }),
      { failed: (error) => failures.push(error) },
    );
    socket.feed(withLength("one"));
    await Bun.sleep(0);
    expect(socket.written).toBe("");
    expect([socket.destroyed, failures.length]).toEqual([true, 1]);
  });

  test("that waits for the word to go on gets it", () => {
    const { socket, requests } = serve();
    socket.feed(post("Content-Length: 2\r\nExpect: 100-continue\r\n", ""));
    expect(socket.written).toBe("HTTP/1.1 100 Continue\r\n\r\n");
    socket.feed("ab");
    expect(requests[0]?.body).toBe("ab");
  });

  test("by HEAD gets the length and no body; the last one closes", () => {
    const { socket } = serve(() => ({ status: 200, headers: {}, body: "hello" }));
    socket.feed(`HEAD / HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`);
    expect(socket.written).toEndWith("Connection: close\r\nContent-Length: 5\r\n\r\n");
    expect(socket.ended).toBe(true);
    const old = serve();
    old.socket.feed("GET / HTTP/1.0\r\n\r\n");
    expect(old.statuses()).toEqual(["200"]);
    expect(old.socket.ended).toBe(true);
  });
});

describe("what could be read in two ways", () => {
  const hidden = `GET /hidden HTTP/1.1\r\n${HOST}\r\n`;
  const cases: Readonly<Record<string, readonly [bytes: string, status: string]>> = {
    "length and chunked": [post(`Content-Length: 5\r\nTransfer-Encoding: chunked\r\n`, `0\r\n\r\n${hidden}`), "400"],
    "chunked and length": [post(`Transfer-Encoding: chunked\r\nContent-Length: 5\r\n`, `0\r\n\r\n${hidden}`), "400"],
    "two lengths": [post("Content-Length: 0\r\nContent-Length: 5\r\n", hidden), "400"],
    "two equal lengths": [post("Content-Length: 0\r\nContent-Length: 0\r\n", hidden), "400"],
    "a list of lengths": [post("Content-Length: 0, 0\r\n", hidden), "400"],
    "a signed length": [post("Content-Length: +0\r\n", hidden), "400"],
    "a hexadecimal length": [post("Content-Length: 0x0\r\n", hidden), "400"],
    "an empty length": [post("Content-Length:\r\n", hidden), "400"],
    "another coding": [post("Transfer-Encoding: gzip, chunked\r\n", `0\r\n\r\n${hidden}`), "400"],
    "two codings": [post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", `0\r\n\r\n${hidden}`), "400"],
    "chunked in HTTP/1.0": [`POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`, "400"],
    "a space before a colon": [post("Content-Length : 5\r\n", hidden), "400"],
    "a folded header": [post("X-A: b\r\n Content-Length: 5\r\n", hidden), "400"],
    "a bare line feed in a header": [post("X-A: b\nContent-Length: 5\r\n", hidden), "400"],
    "a bare carriage return": [post("X-A: b\rContent-Length: 5\r\n", hidden), "400"],
    "a null": [post("X-A: b\x00\r\n", hidden), "400"],
    "a chunk size with a space": [post("Transfer-Encoding: chunked\r\n", ` 0\r\n\r\n${hidden}`), "400"],
    "a chunk that goes on": [post("Transfer-Encoding: chunked\r\n", `1\r\nabc\r\n0\r\n\r\n${hidden}`), "400"],
    "a chunk extension with a line feed": [post("Transfer-Encoding: chunked\r\n", `0;a=\nb\r\n\r\n${hidden}`), "400"],
    "a chunk size with a space before its extension": [
      post("Transfer-Encoding: chunked\r\n", `0 ;a=b\r\n\r\n${hidden}`),
      "400",
    ],
    "chunk extensions without end": [
      post("Transfer-Encoding: chunked\r\n", `${`1;${"a".repeat(900)}\r\nx\r\n`.repeat(10)}0\r\n\r\n${hidden}`),
      "400",
    ],
    "a trailer that is no header": [post("Transfer-Encoding: chunked\r\n", `0\r\nX A: b\r\n\r\n${hidden}`), "400"],
    "a trailer that is a length": [
      post("Transfer-Encoding: chunked\r\n", `0\r\nContent-Length: 5\r\n\r\n${hidden}`),
      "400",
    ],
    "a chunk extension without a name": [post("Transfer-Encoding: chunked\r\n", `0;\r\n\r\n${hidden}`), "400"],
    "a folded trailer": [post("Transfer-Encoding: chunked\r\n", `0\r\nX-A: b\r\n c\r\n\r\n${hidden}`), "400"],
    "trailers without end": [
      post("Transfer-Encoding: chunked\r\n", `0\r\n${"X-A: b\r\n".repeat(2_000)}\r\n${hidden}`),
      "431",
    ],
    "a target of another scheme": [`GET ftp://localhost/ HTTP/1.1\r\n${HOST}\r\n${hidden}`, "400"],
    "a target with a user": [`GET http://a@localhost/ HTTP/1.1\r\n${HOST}\r\n${hidden}`, "400"],
    "an absolute target without a host": [`GET http://localhost/ HTTP/1.1\r\n\r\n${hidden}`, "400"],
    "an authority for a target": [`CONNECT localhost:80 HTTP/1.1\r\n${HOST}\r\n${hidden}`, "400"],
    "a star with another method": [`GET * HTTP/1.1\r\n${HOST}\r\n${hidden}`, "400"],
    "lines that end in line feeds alone": [`GET / HTTP/1.1\nHost: localhost\n\n`, "400"],
    "a target with a tab": [`GET /\ta HTTP/1.1\r\n${HOST}\r\n${hidden}`, "400"],
    "two spaces": [`GET  / HTTP/1.1\r\n${HOST}\r\n${hidden}`, "400"],
    "two hosts": [`GET / HTTP/1.1\r\n${HOST}${HOST}\r\n${hidden}`, "400"],
    "no host": [`GET / HTTP/1.1\r\n\r\n${hidden}`, "400"],
    "no version": [`GET /\r\n\r\n${hidden}`, "400"],
    "another version": [`GET / HTTP/2.0\r\n${HOST}\r\n${hidden}`, "505"],
    "another expectation": [post("Expect: miracles\r\n", hidden), "417"],
    "a body that is too long": [post("Content-Length: 10001\r\n", hidden), "413"],
    "chunks that are too long": [post("Transfer-Encoding: chunked\r\n", `2711\r\n${hidden}`), "413"],
    "a head that is too long": [`GET / HTTP/1.1\r\n${HOST}X: ${"y".repeat(1_000)}\r\n\r\n${hidden}`, "431"],
    "too many headers": [`GET / HTTP/1.1\r\n${HOST}${"a:b\r\n".repeat(120)}\r\n${hidden}`, "431"],
  };
  for (const [name, [bytes, status]] of Object.entries(cases)) {
    test(`(${name}) is refused, and nothing after it is read`, () => {
      for (const size of [bytes.length, 7, 1]) {
        const { socket, requests, counts, statuses } = serve();
        for (let at = 0; at < bytes.length; at += size) socket.feed(bytes.slice(at, at + size));
        expect(statuses()).toEqual([status]);
        expect(requests).toEqual([]);
        expect(socket.ended).toBe(true);
        expect(counts.admitted).toBe(counts.abandoned);
      }
    });
  }
});

describe("what HTTP lets a caller do", () => {
  test("chunk extensions and trailers are read and dropped", () => {
    const { socket, requests } = serve();
    const body = '5;name=value\r\nhello\r\n6;q="a b"\r\n there\r\n0;last\r\nX-Checksum: 1\r\nX-Other: 5\r\n\r\n';
    const bytes = post("Transfer-Encoding: chunked\r\nTrailer: X-Checksum\r\n", body) + withLength("next");
    for (const size of [bytes.length, 3, 1]) {
      requests.length = 0;
      for (let at = 0; at < bytes.length; at += size) socket.feed(bytes.slice(at, at + size));
      expect(requests.map((request) => request.body)).toEqual(["hello there", "next"]);
      expect(Object.keys(requests[0]!.fields)).toEqual(["host", "transfer-encoding", "trailer"]);
    }
  });

  test("the absolute form of a target names the host", () => {
    for (const [target, path, host] of [
      ["http://other:8080/a%2Fb?c=d", "/a%2Fb?c=d", "other:8080"],
      ["HTTPS://[::1]", "/", "[::1]"],
      ["http://other?x", "/?x", "other"],
    ] as const) {
      const { socket, requests } = serve();
      socket.feed(`GET ${target} HTTP/1.1\r\n${HOST}\r\n`);
      expect(requests.map(({ target: seen, fields }) => [seen, fields.host])).toEqual([[path, host]]);
    }
    const { socket, requests } = serve();
    socket.feed(`OPTIONS * HTTP/1.1\r\n${HOST}\r\n`);
    expect(requests.map(({ target }) => target)).toEqual(["*"]);
  });

  test("the options of a connection are a list with spaces and tabs", () => {
    for (const [header, closes] of [
      ["keep-alive,\tclose", true],
      ["Close", true],
      ["a , close , b", true],
      ["close-later", false],
      ["not close", false],
    ] as const) {
      const { socket } = serve();
      socket.feed(`GET / HTTP/1.1\r\n${HOST}Connection: ${header}\r\n\r\n`);
      expect([header, socket.ended]).toEqual([header, closes]);
    }
  });

  test("a body waits until who sends it is known, and is not read where nobody is", async () => {
    let decide = (_answer: Http1Answer | undefined): void => undefined;
    const admit = (): Promise<Http1Answer | undefined> =>
      new Promise((resolve) => {
        decide = resolve;
      });
    const known = serve(ok, { admit });
    known.socket.feed(withLength("hello"));
    known.socket.feed("x".repeat(2_000));
    expect([known.requests.length, known.socket.paused]).toEqual([0, true]);
    decide(undefined);
    await Bun.sleep(0);
    expect(known.requests.map(({ body }) => body)).toEqual(["hello"]);

    const unknown = serve(ok, { admit });
    unknown.socket.feed(withLength("hello"));
    decide({ status: 401, headers: {}, body: "" });
    await Bun.sleep(0);
    expect([unknown.statuses(), unknown.requests]).toEqual([["401"], []]);

    const gone = serve(ok, { admit });
    gone.socket.feed(withLength("hello"));
    gone.socket.emit("close");
    decide(undefined);
    await Bun.sleep(0);
    expect(gone.counts).toMatchObject({ abandoned: 1, answered: 0 });
  });

  test("a stream is written as it comes, at the caller's pace, and cancelled when the caller goes", async () => {
    let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
    let cancelled = false;
    const body = new ReadableStream<Uint8Array>({
      start(own) {
        controller = own;
      },
      cancel() {
        cancelled = true;
      },
    });
    const { socket, counts } = serve(() => ({ status: 200, headers: { "Content-Type": "text/event-stream" }, body }));
    socket.feed(`GET / HTTP/1.1\r\n${HOST}\r\n`);
    expect(socket.written).toEndWith("Connection: close\r\n\r\n");
    socket.flowing = false;
    controller?.enqueue(Buffer.from("one."));
    await Bun.sleep(0);
    controller?.enqueue(Buffer.from("two."));
    await Bun.sleep(0);
    expect(socket.written).toEndWith("one.");
    socket.flowing = true;
    socket.emit("drain");
    await Bun.sleep(0);
    expect(socket.written).toEndWith("one.two.");
    expect(counts.answered).toBe(0);
    socket.emit("close");
    await Bun.sleep(0);
    expect([cancelled, counts.answered]).toEqual([true, 1]);
  });
});

describe("a caller that goes", () => {
  test("in the middle of a body leaves nothing counted", () => {
    const { socket, counts, requests } = serve();
    socket.feed(post("Content-Length: 100\r\n", "half"));
    socket.emit("close");
    expect(counts).toEqual({ answered: 0, abandoned: 1, admitted: 1 });
    expect(requests).toEqual([]);
  });

  test("while its answer is made leaves nothing counted either", async () => {
    let release = (): void => undefined;
    const { socket, counts } = serve(
      (request) =>
        new Promise((resolve) => {
          release = () => resolve(ok(request));
        }),
    );
    socket.feed(withLength("x"));
    socket.destroyed = true;
    socket.emit("close");
    release();
    await Bun.sleep(0);
    expect(counts).toEqual({ answered: 1, abandoned: 0, admitted: 1 });
    expect(socket.written).toBe("");
  });

  test("having said all it wanted gets its answer", () => {
    const { socket, statuses } = serve();
    socket.feed(withLength("x"));
    socket.emit("end");
    expect(statuses()).toEqual(["200"]);
    expect(socket.ended).toBe(true);
  });
});

test("HEAD has one length: that of the answer to a GET where it is known", () => {
  const known = serve(() => ({ status: 200, headers: { "content-length": "17" }, body: "" }));
  known.socket.feed(`HEAD / HTTP/1.1\r\n${HOST}\r\n`);
  expect(known.socket.written.match(/Content-Length: \d+/g)).toEqual(["Content-Length: 17"]);
  const made = serve(() => ({ status: 200, headers: { "content-length": "99" }, body: "four" }));
  made.socket.feed(`GET / HTTP/1.1\r\n${HOST}\r\n`);
  expect(made.socket.written.match(/Content-Length: \d+/g)).toEqual(["Content-Length: 4"]);
  const refused = serve(ok, { admit: () => ({ status: 503, headers: {}, body: "busy", close: true }) });
  refused.socket.feed(`HEAD / HTTP/1.1\r\n${HOST}\r\n`);
  expect(refused.socket.written).toEndWith("Content-Length: 4\r\n\r\n");
});

test("a Host is a name or an address, with a port or not", async () => {
  await nextTurn();
  for (const host of ["", "localhost", "edge.example:8443", "[::1]:7402", "127.0.0.1"]) {
    const { socket, statuses } = serve();
    socket.feed(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    expect([host, statuses()]).toEqual([host, ["200"]]);
  }
  for (const host of ["a/b", "a?b", "a#b", "user@host", "a b", "host:port", "[::1"]) {
    const { socket, statuses } = serve();
    socket.feed(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    expect([host, statuses()]).toEqual([host, ["400"]]);
  }
});

test("an answer counts until it has been read, and a connection that closes after it is ended then", () => {
  const { socket, counts } = serve();
  const waits: number[] = [];
  const slow = serve(() => ({ status: 200, headers: {}, body: "x".repeat(100), close: true }), {
    answerWaits: (bytes) => void waits.push(bytes),
  });
  slow.socket.write = () => false;
  slow.socket.feed(`GET / HTTP/1.1\r\n${HOST}\r\n`);
  expect([slow.counts.answered, slow.socket.ended, waits]).toEqual([0, false, [100]]);
  slow.socket.emit("drain");
  expect([slow.counts.answered, slow.socket.ended]).toEqual([1, true]);
  // A caller that goes without having read it.
  socket.write = () => false;
  socket.feed(`GET / HTTP/1.1\r\n${HOST}\r\n`);
  expect(counts.answered).toBe(0);
  socket.emit("close");
  expect(counts).toEqual({ answered: 1, abandoned: 0, admitted: 1 });
});

test("a body is turned away by what has come of it, whether its length was said or not", () => {
  for (const [length, first, second] of [
    ["Transfer-Encoding: chunked", "3\r\nabc\r\n", "3\r\ndef\r\n"],
    ["Content-Length: 12", "abc", "def"],
  ]) {
    const grown: string[] = [];
    const { socket, statuses, counts } = serve(ok, {
      bodyGrew: (bytes) => {
        grown.push(bytes.toString("latin1"));
        return bytes.length > 4 ? { status: 429, headers: {}, body: "too much", close: true } : undefined;
      },
    });
    socket.feed(`POST / HTTP/1.1\r\n${HOST}${length}\r\n\r\n${first}`);
    expect([statuses(), socket.ended]).toEqual([[], false]);
    socket.feed(second!);
    expect([grown.at(-1), statuses(), socket.ended]).toEqual(["abcdef", ["429"], true]);
    socket.feed(second!);
    expect(counts).toEqual({ answered: 0, abandoned: 1, admitted: 1 });
  }
});

test("random bytes never throw, and never count wrong", async () => {
  const piece = fc.oneof(
    fc.constantFrom(
      "GET / HTTP/1.1\r\n",
      HOST,
      "\r\n",
      "\n",
      "Content-Length: 3\r\n",
      "Transfer-Encoding: chunked\r\n",
      "3\r\nabc\r\n",
      "0\r\n\r\n",
      "abc",
      ":",
      " ",
    ),
    fc.constantFrom(...WHOLE_REQUESTS),
    fc.string({ maxLength: 20 }),
  );
  // What follows it is its body, and mostly too little.
  const begun = post("Content-Length: 500\r\n", "");
  const good = fc.array(fc.constantFrom(...WHOLE_REQUESTS), { maxLength: 10 });
  const seen = { requests: 0, refusals: 0, abandoned: 0 };
  await fc.assert(
    fc.asyncProperty(
      good,
      fc.constantFrom("", begun),
      fc.array(piece, { maxLength: 30 }),
      async (first, next, pieces) => {
        const { socket, requests, counts, statuses } = serve();
        for (const each of [...first, next, ...pieces]) socket.feed(each);
        await untilRead(requests);
        socket.emit("close");
        expect(counts.admitted).toBe(counts.answered + counts.abandoned);
        expect(requests.length).toBe(counts.answered);
        seen.requests += requests.length;
        seen.refusals += statuses().filter((status) => status !== "200").length;
        seen.abandoned += counts.abandoned;
      },
    ),
    { numRuns: 500 },
  );
  // Not blind: each outcome came, many times.
  expect(seen.requests).toBeGreaterThan(1_000);
  expect(seen.refusals).toBeGreaterThan(100);
  expect(seen.abandoned).toBeGreaterThan(10);
});

test("requests one after another are all read, in their order, wherever their bytes are cut", async () => {
  let mostAhead = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom(...WHOLE_REQUESTS), { maxLength: 60 }),
      fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 20 }),
      async (sent, sizes) => {
        const { socket, requests, counts } = serve();
        const stream = sent.join("");
        for (let at = 0, turn = 0; at < stream.length; turn++) {
          const size = sizes[turn % sizes.length]!;
          socket.feed(stream.slice(at, at + size));
          at += size;
        }
        mostAhead = Math.max(mostAhead, sent.length - requests.length);
        await untilRead(requests);
        expect(requests.map(({ method, body }) => `${method} ${body}`)).toEqual(sent.map((each) => READ_AS[each]!));
        expect(counts).toEqual({ answered: sent.length, abandoned: 0, admitted: sent.length });
      },
    ),
    { numRuns: 200 },
  );
  // Some had to wait for a later turn.
  expect(mostAhead).toBeGreaterThan(10);
});

describe("requests that were sent ahead", () => {
  test("are answered in turns with everyone else's, all of them and in their order, also when the caller has ended its half", async () => {
    const { socket, requests, counts } = serve(({ head }) => ({ status: 200, headers: {}, body: head.target }));
    const count = 1_000;
    socket.feed(Array.from({ length: count }, (_, index) => `GET /${index} HTTP/1.1\r\nHost: a\r\n\r\n`).join(""));
    socket.emit("end");
    const inOneTurn = requests.length;
    expect(inOneTurn).toBeGreaterThan(0);
    expect(inOneTurn).toBeLessThan(20);
    expect(socket.ended).toBe(false);
    for (let turns = 0; turns < count && !socket.ended; turns++) await nextTurn();
    expect(requests.map(({ target }) => target)).toEqual(Array.from({ length: count }, (_, index) => `/${index}`));
    expect([socket.ended, counts.answered]).toEqual([true, count]);
    expect(socket.written.split("HTTP/1.1 200 OK").length - 1).toBe(count);
  });

  test("also where each answer is a promise that is kept in the same turn", async () => {
    const { socket, requests } = serve(async () => ({ status: 200, headers: {}, body: "x" }));
    socket.feed("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1_000));
    await nextTurn();
    expect(requests.length).toBeLessThan(200);
    for (let turns = 0; turns < 1_000 && requests.length < 1_000; turns++) {
      await nextTurn();
    }
    expect(requests.length).toBe(1_000);
  });

  test("and those of other connections: all have one turn together, however many they are", async () => {
    const connections = Array.from({ length: 100 }, () =>
      serve(({ head }) => ({ status: 200, headers: {}, body: head.target })),
    );
    for (const { socket } of connections) socket.feed("GET /a HTTP/1.1\r\nHost: a\r\n\r\n".repeat(5));
    const answeredNow = (): number => connections.reduce((sum, { requests }) => sum + requests.length, 0);
    let most = answeredNow();
    for (let before = most; answeredNow() < 500; before = answeredNow()) {
      await nextTurn();
      most = Math.max(most, answeredNow() - before);
    }
    expect(most).toBeLessThan(20);
    expect(connections.every(({ requests }) => requests.length === 5)).toBe(true);
  });

  test("keep no other caller's one operation waiting, however used the turn is; a report waits", async () => {
    const { socket } = serve();
    socket.feed("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1_000));
    const [operation, report] = [serve(), serve()];
    report.socket.feed("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for (let each = 0; each < 3; each++)
      operation.socket.feed("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    expect([operation.requests.length, report.requests.length]).toEqual([3, 0]);
    operation.socket.feed("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx".repeat(100));
    expect(operation.requests.length).toBeLessThan(20);
    for (let turns = 0; report.requests.length === 0 && turns < 1_000; turns++) await nextTurn();
    expect(report.requests.length).toBe(1);
  });

  test("cost by their answers: a few long ones are a turn's work", async () => {
    const long = "x".repeat(50_000);
    const { socket, requests } = serve(() => ({ status: 200, headers: {}, body: long }));
    socket.feed("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(10));
    expect(requests.length).toBe(2);
    // What comes meanwhile waits its turn, and the caller's going ends it.
    socket.feed("GET /last HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(requests.length).toBe(2);
    socket.emit("close");
    await nextTurn();
    expect(requests.length).toBe(2);
  });
});

describe("the memory of a long answer that only it has", () => {
  const LONG = 200_000;
  const serveLent = (keepsNothing: boolean, answer?: Promise<void>) => {
    const lent = longMemory.take(LONG).fill("k").subarray(8);
    const served = serve(async () => {
      await answer;
      return { status: 200, headers: {}, body: lent, lent: true };
    });
    if (keepsNothing) Object.assign(served.socket, { writePart: () => true });
    return { ...served, lent };
  };
  const given = (): { parts: Buffer[] } & Disposable => {
    const parts: Buffer[] = [];
    const spy = spyOn(longMemory, "give").mockImplementation(async (part) => void parts.push(part));
    return { parts, [Symbol.dispose]: () => spy.mockRestore() };
  };

  const lentOf = ({ parts }: { parts: Buffer[] }): Buffer[] => parts.filter(({ byteOffset }) => byteOffset === 8);

  test("is given back once the socket has taken all of it, not before", async () => {
    using back = given();
    const { socket, lent } = serveLent(true);
    socket.flowing = false;
    socket.feed(withLength(""));
    await nextTurn();
    expect(socket.written).toEndWith(text(lent));
    expect(lentOf(back)).toEqual([]);
    socket.emit("drain");
    expect(lentOf(back)).toEqual([lent]);
    socket.emit("close");
    expect(lentOf(back)).toEqual([lent]);
    const quick = serveLent(true);
    quick.socket.feed(withLength(""));
    await nextTurn();
    expect(lentOf(back)).toEqual([lent, quick.lent]);
  });

  test("is given back when its caller goes: before it is made, or while it waits", async () => {
    using back = given();
    const made = Promise.withResolvers<void>();
    const before = serveLent(false, made.promise);
    before.socket.feed(withLength(""));
    before.socket.emit("close");
    made.resolve();
    await nextTurn();
    expect(lentOf(back)).toEqual([before.lent]);
    const waiting = serveLent(true);
    waiting.socket.flowing = false;
    waiting.socket.feed(withLength(""));
    await nextTurn();
    waiting.socket.emit("close");
    expect(lentOf(back)).toEqual([before.lent, waiting.lent]);
    expect(waiting.counts.answered).toBe(1);
  });

  test("stays a socket's that may keep it until it has sent it", async () => {
    using back = given();
    const { socket, statuses } = serveLent(false);
    socket.feed(withLength(""));
    await nextTurn();
    expect(statuses()).toEqual(["200"]);
    expect(lentOf(back)).toEqual([]);
  });
});

describe("a long body's memory", () => {
  const LONG = 200_000;
  const taken: Buffer[] = [];
  const kept: ArrayBufferLike[] = [];
  const isKept = ({ buffer }: Buffer): boolean => kept.includes(buffer);
  const serveLong = (answer: (body: Buffer) => Http1Answer | Promise<Http1Answer>) =>
    serve(({ body }) => answer(body), {
      maxBodyBytes: 1_000_000,
      admit: () => undefined,
    });
  const watched = (): Disposable => {
    taken.length = kept.length = 0;
    const take = longMemory.take.bind(longMemory);
    const taking = spyOn(longMemory, "take").mockImplementation((length) => {
      const buffer = take(length);
      taken.push(buffer);
      return buffer;
    });
    const giving = spyOn(longMemory, "give").mockImplementation(async ({ buffer }) => void kept.push(buffer));
    return {
      [Symbol.dispose]() {
        taking.mockRestore();
        giving.mockRestore();
      },
    };
  };
  const feedLong = async (socket: FakeSocket, body: string): Promise<void> => {
    const bytes = withLength(body);
    for (let at = 0; at < bytes.length; at += 50_000) {
      socket.feed(bytes.slice(at, at + 50_000));
      await nextTurn();
    }
  };

  test("is given back when the answer is made, not before", async () => {
    using _ = watched();
    const answer = Promise.withResolvers<Http1Answer>();
    const { socket, statuses } = serveLong(() => answer.promise);
    await feedLong(socket, "x".repeat(LONG));
    expect(taken).toHaveLength(1);
    socket.emit("close");
    expect(taken.filter(isKept)).toEqual([]);
    answer.resolve({ status: 200, headers: {}, body: "" });
    await nextTurn();
    expect(taken.filter(isKept)).toHaveLength(1);
    expect(statuses()).toEqual([]);
    const at = serveLong(() => ({ status: 200, headers: {}, body: "" }));
    await feedLong(at.socket, "y".repeat(LONG));
    expect(at.statuses()).toEqual(["200"]);
    expect(taken.every(isKept)).toBe(true);
  });

  test("is given back when its caller goes before it is whole, or breaks off", async () => {
    using _ = watched();
    const { socket } = serveLong(ok as never);
    socket.feed(withLength("x".repeat(LONG)).slice(0, 1_000));
    socket.emit("close");
    expect(taken).toHaveLength(1);
    expect(taken.every(isKept)).toBe(true);
  });

  test("stays an answer's that is a part of it, and of work that a defect left behind", async () => {
    using _ = watched();
    const answers: ((body: Buffer) => Http1Answer)[] = [
      (body) => ({ status: 200, headers: {}, body: body.subarray(0, 10) }),
      () => ({ status: 500, headers: {}, body: "" }),
      () => ({ status: 200, headers: {}, body: new ReadableStream() }),
    ];
    for (const answer of answers) {
      const { socket, statuses } = serveLong(answer);
      await feedLong(socket, "x".repeat(LONG));
      expect(statuses()).toHaveLength(1);
      socket.emit("close");
    }
    expect(taken).toHaveLength(3);
    expect(taken.filter(isKept)).toEqual([]);
  });

  test("of a body in chunks is given back too, each larger one when it gives way", async () => {
    using _ = watched();
    const { socket, statuses } = serveLong(() => ({ status: 200, headers: {}, body: "" }));
    const bytes = chunked(...Array.from({ length: 10 }, () => "x".repeat(50_000)));
    for (let at = 0; at < bytes.length; at += 40_000) {
      socket.feed(bytes.slice(at, at + 40_000));
      await nextTurn();
    }
    expect(statuses()).toEqual(["200"]);
    expect(taken.length).toBeGreaterThan(2);
    expect(taken.every(isKept)).toBe(true);
  });
});
