/** docs/client.md: what the client promises, against a real edge and against what is none. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import {
  type CallHistogram,
  CryptoEdgeError,
  contextFrom,
  createClient,
  parseWrapped,
} from "../../../src/sdk/client/index.ts";
import { type StaticEdge, startStaticEdge, staticConfiguration } from "../../support/static-edge.ts";
import { until } from "../../support/until.ts";

const KEY = { tenant: "tenant-a", service: "billing" };
const ONCE = { attempts: 1 };
const vectors = JSON.parse(readFileSync(resolve(import.meta.dir, "../../vectors/blob-v1.json"), "utf8"));
const WRAPPED = Buffer.from(vectors.open[0].blob, "hex");

const folder = mkdtempSync(join(tmpdir(), "crypto-edge-client-"));
const socket = join(folder, "edge.sock");
let edge: StaticEdge;
beforeAll(async () => {
  edge = await startStaticEdge(
    staticConfiguration().replace(
      "listeners:",
      `listeners:\n  - { unix: "${socket}", mode: "0600", principal: local }`,
    ),
  );
});
afterAll(async () => {
  await edge.close();
  rmSync(folder, { recursive: true });
});

describe("the client, of an answer that is no success,", () => {
  /** What answers instead of an edge; each path names its answer. */
  const answers: Record<string, () => Response> = {
    "internal error": () => problem(500, "internal_error"),
    overloaded: () => problem(503, "overloaded", { "retry-after": "3" }),
    "code of tomorrow": () => problem(409, "of_tomorrow"),
    "unexplained 413": () => new Response("", { status: 413 }),
    "unexplained 502": () => new Response("<html>Bad Gateway</html>", { status: 502 }),
    "unexplained 403": () => new Response("no", { status: 403 }),
    "a page": () => new Response("<html></html>"),
    "other JSON": () => Response.json({ hello: "you" }),
    "no base64url": () => Response.json({ wrapped: "a+/=", version: 1 }),
  };
  const problem = (status: number, code: string, headers: Record<string, string> = {}): Response =>
    new Response(JSON.stringify({ status, code, detail: `told: ${code}` }), { status, headers });
  const expected: Record<string, object> = {
    "internal error": { code: "internal_error", status: 500, mayPass: false, message: "told: internal_error" },
    overloaded: { code: "overloaded", status: 503, mayPass: true, retryAfterMs: 3_000 },
    "code of tomorrow": { code: "of_tomorrow", status: 409, mayPass: false, message: "told: of_tomorrow" },
    "unexplained 413": { code: "too_large", status: 413, mayPass: false },
    "unexplained 502": { code: "lease_unavailable", status: 502, mayPass: true },
    "unexplained 403": { code: "unexpected_answer", status: 403, mayPass: false },
    "a page": { code: "unexpected_answer", status: 200, mayPass: false },
    "other JSON": { code: "unexpected_answer", mayPass: false },
    "no base64url": { code: "unexpected_answer", mayPass: false },
  };

  let asked = 0;
  const other = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request) {
      asked++;
      return answers[decodeURIComponent(new URL(request.url).pathname.split("/")[1]!)]!();
    },
  });
  afterAll(() => other.stop(true));

  for (const [name, error] of Object.entries(expected)) {
    test(`tells what it was, and asks once: ${name}`, async () => {
      const client = createClient({ url: `http://127.0.0.1:${other.port}/${encodeURIComponent(name)}`, retry: ONCE });
      const before = asked;
      const end = await client.createKey(KEY).catch((thrown: unknown) => thrown);
      expect(end).toBeInstanceOf(CryptoEdgeError);
      expect(end).toMatchObject(error);
      expect(asked).toBe(before + 1);
      if (name === "no base64url") return;
      await expect(client.createKeys(KEY, 2)).rejects.toMatchObject(error);
      await expect(client.decryptKeys([{ wrapped: WRAPPED }])).rejects.toMatchObject(error);
    });
  }

  test("tells that no edge is there", async () => {
    const closed = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
    await closed.stop(true);
    const client = createClient({ url: `http://127.0.0.1:${closed.port}`, retry: ONCE });
    await expect(client.createKey(KEY)).rejects.toMatchObject({ code: "lease_unavailable", mayPass: true });
  });
});

/** An HTTP server that answers by `handle`; closed with the test. */
async function startServer(handle: Parameters<typeof createServer>[1]): Promise<{ url: string } & AsyncDisposable> {
  const server: Server = createServer(handle!);
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((closed) => {
        server.close(() => closed());
        server.closeAllConnections();
      }),
  };
}

const problem = (status: number, code: string): string =>
  JSON.stringify({ status, code, detail: `told: ${code}`, request_id: "r-1" });
const CREATED = JSON.stringify({ wrapped: WRAPPED.toString("base64url"), version: 1, cache_seconds: 30 });

describe("an edge is reached", () => {
  test("over a Unix socket", async () => {
    const client = createClient({ url: `unix:${socket}` });
    const { wrapped } = await client.createKey({ ...KEY, plaintext: true });
    expect((await client.decryptKey({ wrapped })).version).toBe(2);
    client.close();
  });

  test("past a proxy of the environment", async () => {
    const before = { ...process.env };
    Object.assign(process.env, {
      HTTP_PROXY: "http://127.0.0.1:1",
      http_proxy: "http://127.0.0.1:1",
      NODE_USE_ENV_PROXY: "1",
    });
    try {
      const client = createClient({ url: edge.urls.find((url) => url.startsWith("http"))!, retry: ONCE });
      expect((await client.createKey(KEY)).version).toBe(2);
      client.close();
    } finally {
      for (const name of ["HTTP_PROXY", "http_proxy", "NODE_USE_ENV_PROXY"]) {
        if (before[name] === undefined) delete process.env[name];
        else process.env[name] = before[name];
      }
    }
  });

  test("with fetch alone", async () => {
    let called = 0;
    const own = ((...given: Parameters<typeof fetch>) => {
      called++;
      return fetch(...given);
    }) as typeof fetch;
    const client = createClient({ url: edge.urls.find((url) => url.startsWith("http"))!, fetch: own });
    const keys = await client.createKeys({ ...KEY, plaintext: true }, 3);
    const opened = await client.decryptKeys(keys);
    expect(opened.map((key) => key instanceof CryptoEdgeError || key.version)).toEqual([2, 2, 2]);
    expect(called).toBe(2);
    expect(() => createClient({ url: `unix:${socket}`, fetch: own })).toThrow("no Unix sockets");
    expect(() => createClient({ url: "https://edge.example", fetch: own, tls: { cert: "", key: "" } })).toThrow(
      "no client certificates",
    );
  });

  test("at no address that can't be one, or that would send keys in the clear", () => {
    expect(() => createClient({ url: "http://edge.example:7402" })).toThrow("in the clear");
    expect(() => createClient({ url: "unix:relative.sock" })).toThrow("absolute");
    expect(() => createClient({ url: "ftp://edge" })).toThrow("no address");
    expect(() => createClient({ url: "nonsense" })).toThrow("no address");
    expect(() => createClient({ url: "http://[::1]:7402" })).not.toThrow();
  });
});

describe("a call", () => {
  test("is sent again while its error passes, and no more often than told", async () => {
    let asked = 0;
    await using server = await startServer((_, answer) => {
      asked++;
      if (asked < 3) answer.writeHead(503).end(problem(503, "lease_unavailable"));
      else answer.writeHead(201).end(CREATED);
    });
    const client = createClient({ url: server.url, retry: { firstDelayMs: 1 } });
    expect(await client.createKey(KEY)).toMatchObject({ version: 1, cacheSeconds: 30 });
    expect(asked).toBe(3);
    asked = -10;
    await expect(client.createKey(KEY)).rejects.toMatchObject({ code: "lease_unavailable", requestId: "r-1" });
    expect(asked).toBe(-7);
  });

  test("is not sent again when nothing would change, or Retry-After is beyond the limit", async () => {
    let asked = 0;
    await using server = await startServer((_, answer) => {
      asked++;
      if (asked === 1) answer.writeHead(410).end(problem(410, "key_revoked"));
      else answer.writeHead(429, { "retry-after": "60" }).end(problem(429, "rate_limited"));
    });
    const client = createClient({ url: server.url, timeoutMs: 5_000 });
    await expect(client.createKey(KEY)).rejects.toMatchObject({ code: "key_revoked", status: 410, mayPass: false });
    expect(asked).toBe(1);
    await expect(client.createKey(KEY)).rejects.toMatchObject({ code: "rate_limited", retryAfterMs: 60_000 });
    expect(asked).toBe(2);
  });

  test("survives that the edge has closed a kept connection", async () => {
    const connections = new Set<Socket>();
    let asked = 0;
    await using server = await startServer((request, answer) => {
      asked++;
      connections.add(request.socket);
      answer.writeHead(201).end(CREATED);
    });
    const client = createClient({ url: server.url, retry: ONCE });
    await client.createKey(KEY);
    await client.createKey(KEY);
    expect(connections.size).toBe(1);
    for (const connection of connections) connection.destroy();
    await client.createKey(KEY);
    expect(asked).toBe(3);
    client.close();
  });

  test("ends with its time, with its signal, and never with half an answer", async () => {
    await using server = await startServer((request, answer) => {
      if (request.headers["x-request-id"] === "half") {
        answer.writeHead(201, { "content-length": "1000" });
        answer.write(CREATED, () => request.socket.destroy());
      }
    });
    const client = createClient({ url: server.url, retry: ONCE });
    const slow = await client.createKey(KEY, { timeoutMs: 50 }).catch((error: unknown) => error);
    expect(slow).toMatchObject({ code: "lease_unavailable", message: expect.stringContaining("no answer in time") });
    expect((slow as Error).cause).toBeInstanceOf(Error);
    const reason = new Error("the user went away");
    const aborting = new AbortController();
    const call = client.createKey(KEY, { signal: aborting.signal });
    aborting.abort(reason);
    expect(await call.catch((error: unknown) => error)).toBe(reason);
    expect(await client.createKey(KEY, { signal: AbortSignal.abort(reason) }).catch((error: unknown) => error)).toBe(
      reason,
    );
    await expect(client.createKey(KEY, { requestId: "half" })).rejects.toMatchObject({ code: "lease_unavailable" });
    client.close();
  });

  test("tells the histogram how it ended", async () => {
    const observed: [string, string, boolean][] = [];
    const histogram: CallHistogram = {
      observe: ({ operation, code }, seconds) => observed.push([operation, code, seconds >= 0]),
    };
    const client = createClient({ url: `unix:${socket}`, histogram });
    await client.createKey(KEY);
    await client.createKey({ tenant: "tenant-a", service: "nowhere" }).catch(() => {});
    await client.createKey(KEY, { signal: AbortSignal.abort() }).catch(() => {});
    expect(observed).toEqual([
      ["create", "ok", true],
      ["create", "key_not_found", true],
      ["create", "aborted", true],
    ]);
    client.close();
  });

  test("carries the token of its time and the request's id", async () => {
    const heard: (string | undefined)[] = [];
    await using server = await startServer((request, answer) => {
      heard.push(request.headers.authorization, request.headers["x-request-id"] as string);
      answer.writeHead(201).end(CREATED);
    });
    let turn = 0;
    const client = createClient({ url: server.url, token: async () => `t${++turn}` });
    await client.createKey(KEY, { requestId: "order-17" });
    await client.createKey(KEY, { requestId: "order-18" });
    expect(heard).toEqual(["Bearer t1", "order-17", "Bearer t2", "order-18"]);
    client.close();
  });
});

describe("a batch", () => {
  test("of any size is split into requests that an edge takes", async () => {
    const client = createClient({ url: `unix:${socket}` });
    const keys = await client.createKeys(KEY, 10_001);
    expect(keys).toHaveLength(10_001);
    expect(new Set(keys.map(({ wrapped }) => Buffer.from(wrapped).toString("hex"))).size).toBe(10_001);
    const opened = await client.decryptKeys([...keys, { wrapped: new Uint8Array(3) }]);
    expect(opened).toHaveLength(10_002);
    expect(opened.filter((key) => key instanceof CryptoEdgeError)).toHaveLength(1);
    expect(opened.at(-1)).toMatchObject({ code: "invalid_blob" });
    client.close();
  });

  test("that is too large for an edge is halved until it fits", async () => {
    const sizes: number[] = [];
    await using server = await startServer(async (request, answer) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      const count = Buffer.concat(chunks).readUInt32BE(0);
      sizes.push(count);
      if (count > 3) return void answer.writeHead(413).end(problem(413, "too_large"));
      const head = Buffer.alloc(4);
      head.writeUInt32BE(count);
      const item = Buffer.from([0, 0, 16, ...new Uint8Array(16)]);
      answer.end(Buffer.concat([head, ...Array.from({ length: count }, () => item)]));
    });
    const client = createClient({ url: server.url });
    expect(await client.decryptKeys(Array.from({ length: 10 }, () => ({ wrapped: WRAPPED })))).toHaveLength(10);
    expect(sizes).toEqual([10, 5, 3, 3, 3, 1]);
    client.close();
  });
});

describe("offline", () => {
  test("a wrapped key says what it is", () => {
    expect(parseWrapped(WRAPPED)).toEqual({ tenant: "tenant-a", service: "billing", version: 1, suite: 1 });
    expect(() => parseWrapped(WRAPPED.subarray(1))).toThrow(CryptoEdgeError);
  });

  test("a context comes from an application's values, and from none that say nothing", () => {
    expect(contextFrom({ table: "t", id: 4711, big: 2n ** 64n, on: true, at: new Date(0) })).toEqual({
      table: "t",
      id: "4711",
      big: "18446744073709551616",
      on: "true",
      at: "1970-01-01T00:00:00.000Z",
    });
    for (const value of [undefined, null, 1.5, Number.NaN, {}, new Date(Number.NaN)] as never[]) {
      expect(() => contextFrom({ id: value })).toThrow('context\'s "id"');
    }
  });
});

describe("revocations", () => {
  test("are told in pieces of any size, again after a break, and all are meant where one can't be read", async () => {
    const streams: ServerResponse[] = [];
    await using server = await startServer((_, answer) => {
      answer.writeHead(200, { "content-type": "text/event-stream" });
      answer.write(": hello\n\n");
      streams.push(answer);
    });
    const heard: unknown[] = [];
    const states: boolean[] = [];
    const watch = createClient({ url: server.url }).watchRevocations({
      changed: (scope) => heard.push(scope),
      connected: (live) => states.push(live),
    });
    await until(() => watch.live, { everyMs: 2 });
    const text =
      'id: 1\nevent: revoked\ndata: {"tenant":"tenant-a",\ndata: "service":"billing"}\n\ndata: {"tenant":"b"}\r\n\r\ndata: nonsense\n\n';
    for (const byte of text) streams[0]!.write(byte);
    await until(() => heard.length === 3, { everyMs: 2 });
    expect(heard).toEqual([{ tenant: "tenant-a", service: "billing" }, { tenant: "b", service: undefined }, undefined]);
    streams[0]!.destroy();
    await until(() => streams.length === 2 && watch.live, { everyMs: 2 });
    expect(states).toEqual([true, false, true]);
    watch.close();
    expect(watch.live).toBe(false);
  });

  test("are not asked for again and again where there are none", async () => {
    let asked = 0;
    await using server = await startServer((_, answer) => {
      asked++;
      answer.writeHead(404).end();
    });
    const reasons: (string | undefined)[] = [];
    const watch = createClient({ url: server.url }).watchRevocations({
      changed() {},
      connected: (_, reason) => reasons.push(reason),
    });
    await until(() => reasons.length === 1, { everyMs: 2 });
    expect(reasons[0]).toContain("no stream of revocations");
    expect(asked).toBe(1);
    watch.close();
  });
});
