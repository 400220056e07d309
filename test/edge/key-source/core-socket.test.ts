import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { TLSSocket } from "node:tls";
import { startTlsServer, type TlsServer } from "../../../src/base/network/tls/server.ts";
import { type ClientFiles, createThrowAwayPki, type ThrowAwayPki } from "../../../src/base/pki/throw-away.ts";
import { systemClock } from "../../../src/base/time/system-clock.ts";
import { CoreConnection } from "../../../src/edge/key-source/core/core-connection.ts";
import { until } from "../../support/until.ts";

/** For a busy machine. */
setDefaultTimeout(30_000);

let pki: ThrowAwayPki;
let certificates: ClientFiles;
const closing: (() => unknown)[] = [];

beforeAll(async () => {
  pki = await createThrowAwayPki("example.org");
  certificates = await pki.edge("edge-1");
});
afterAll(async () => {
  for (const close of closing) await close();
});

/** A peer that answers each request, the nth of its connection, with bytes as a test says. */
async function peer(answer: (socket: TLSSocket, nth: number, request: string) => void, maxConnections = 4) {
  const seen = { connections: 0, requests: 0 };
  const server: TlsServer = await startTlsServer({
    hostname: "127.0.0.1",
    port: 0,
    certificates: pki.core,
    onConnection(socket) {
      seen.connections++;
      let nth = 0;
      let text = "";
      socket.on("error", () => undefined);
      socket.on("data", (bytes: Buffer) => {
        text += bytes.toString("latin1");
        const head = text.indexOf("\r\n\r\n");
        if (head < 0) return;
        const length = Number(/content-length: (\d+)/.exec(text)?.[1] ?? 0);
        if (text.length < head + 4 + length) return;
        const request = text;
        text = "";
        seen.requests++;
        answer(socket, nth++, request);
      });
    },
  });
  const connection = new CoreConnection({
    url: `https://127.0.0.1:${server.port}`,
    certificates,
    clock: systemClock,
    timeoutMs: 10_000,
    maxConnections,
  });
  closing.push(
    () => server.close(),
    () => connection.close(),
  );
  const send = async (body: string | Uint8Array = "{}") => {
    const answered = await connection.send({ method: "POST", path: "/x", body, maxBytes: 100_000 });
    return answered.fault?.message ?? answered.body.toString();
  };
  return { seen, connection, send };
}

const HELLO = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

test("an answer is the same in whatever pieces it comes, after whatever interim answers", async () => {
  const answer = `HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`;
  const { seen, send } = await peer(async (socket, nth) => {
    for (let place = 0; place < answer.length; place += nth + 1) {
      socket.write(answer.slice(place, place + nth + 1));
      await new Promise(setImmediate);
    }
  });
  for (const size of [1, 2, 3, 5, 50, 500]) expect(await send(), `${size}`).toBe("hello");
  expect(seen.connections).toBe(1);
});

test("an answer without a length ends with its connection, which is not used again", async () => {
  const { seen, send } = await peer((socket) => socket.end("HTTP/1.1 200 OK\r\n\r\nhello"));
  expect([await send(), await send()]).toEqual(["hello", "hello"]);
  expect(seen.connections).toBe(2);
});

test("a connection that the peer closes, by its word or with more than an answer on it, is not used again", async () => {
  for (const last of [HELLO.replace("\r\n", "\r\nConnection: close\r\n"), `${HELLO}more`]) {
    const { seen, send } = await peer((socket) => socket.write(last));
    expect([await send(), await send()]).toEqual(["hello", "hello"]);
    expect(seen.connections).toBe(2);
  }
});

test("a call on a kept connection that had been closed is made once more, on a new one, and not a third time", async () => {
  const { seen, send } = await peer((socket, nth) => (nth === 0 ? socket.write(HELLO) : socket.destroy()));
  for (let index = 0; index < 3; index++) expect(await send()).toBe("hello");
  expect(seen).toEqual({ connections: 3, requests: 5 });
  const other = await peer((socket) => (other.seen.requests === 1 ? socket.write(HELLO) : socket.destroy()));
  expect(await other.send()).toBe("hello");
  expect(other.send()).rejects.toThrow("closed the connection without an answer");
  await until(() => other.seen.requests === 3);
});

test("an answer that is broken off or is none is a fault, and the next call has a new connection", async () => {
  for (const [bytes, says] of [
    ["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", "broke off its answer"],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "broke off its answer"],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello", "broke off its answer"],
    ["SSH-2.0-x\r\n\r\n", "its answer is not of HTTP/1.1"],
    [`HTTP/1.1 200 OK\r\nx: ${"y".repeat(20_000)}`, "the head of its answer is too large"],
    ["HTTP/1.1 101 Switching Protocols\r\n\r\n", "it speaks another protocol"],
  ] as const) {
    const { seen, send } = await peer((socket) => (seen.requests === 1 ? socket.end(bytes) : socket.write(HELLO)));
    expect(await send().catch((error: Error) => error.message)).toContain(says);
    expect(await send()).toBe("hello");
    expect(seen.connections).toBe(2);
  }
});

test("more calls than connections wait in line; one given up in it is not sent", async () => {
  const waiting: TLSSocket[] = [];
  const { seen, connection, send } = await peer((socket) => waiting.push(socket), 2);
  const calls = [send(), send(), send()];
  const stop = new AbortController();
  const given = connection.send({ method: "GET", path: "/x", maxBytes: 10, signal: stop.signal });
  const last = send();
  await until(() => waiting.length === 2);
  stop.abort();
  expect(given).rejects.toThrow("given up");
  for (let answered = 0; answered < 4; answered++) {
    await until(() => waiting.length > answered);
    waiting[answered]!.write(HELLO);
  }
  expect(await Promise.all([...calls, last])).toEqual(["hello", "hello", "hello", "hello"]);
  expect(seen).toEqual({ connections: 2, requests: 4 });
});

test("a large body arrives whole, and so does text that is not ASCII", async () => {
  const bodies: string[] = [];
  const { send } = await peer((socket, _nth, request) => {
    bodies.push(Buffer.from(request.slice(request.indexOf("\r\n\r\n") + 4), "latin1").toString());
    socket.write(HELLO);
  });
  const large = "é".repeat(500_000);
  await send(Buffer.from(large));
  await send("ü");
  expect(bodies).toEqual([large, "ü"]);
});

test("a header that would end early is not sent", () => {
  const connection = new CoreConnection({
    url: "https://127.0.0.1:9",
    certificates,
    clock: systemClock,
    timeoutMs: 1_000,
    maxConnections: 1,
  });
  for (const value of ["a\r\nb: c", "a\nb", "\u0100"]) {
    const call = { method: "GET", path: "/x", headers: { x: value }, maxBytes: 10 } as const;
    expect(connection.send(call)).rejects.toThrow("the header x");
  }
  connection.close();
});
