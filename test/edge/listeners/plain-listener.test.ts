import { afterEach, expect, test } from "bun:test";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Listener, ListenerLimits, ListenerLog } from "../../../src/edge/listeners/listener.ts";
import { listenOnPort, listenOnUnixSocket } from "../../../src/edge/listeners/plain-http.ts";
import type { UnixSocketOptions } from "../../../src/edge/listeners/unix-socket.ts";
import { LISTENER_LIMITS } from "../../support/listener-limits.ts";
import { type Handler, routesOf } from "./handler-door.ts";

const LIMITS: ListenerLimits = { ...LISTENER_LIMITS, requestsMax: 4, requestsPerCallerMax: 4, bodyBytesMax: 1 << 20 };

const log: ListenerLog = { info() {}, warn() {}, error() {} };
const plain = (handler: Handler, changes: Partial<ListenerLimits> = {}) => ({
  principal: { kind: "listener", name: "local" } as const,
  doors: routesOf(handler),
  limits: { ...LIMITS, ...changes },
  log,
});

const open: Listener[] = [];
const folders: string[] = [];
afterEach(async () => {
  for (const listener of open.splice(0)) await listener.close(0);
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function socketPath(): string {
  const folder = mkdtempSync(join(tmpdir(), "crypto-edge-unix-"));
  folders.push(folder);
  return join(folder, "edge.sock");
}

async function listen(path: string, socket: UnixSocketOptions = { mode: 0o660 }, answer = "here"): Promise<Listener> {
  const listener = await listenOnUnixSocket(
    path,
    socket,
    plain(() => new Response(answer)),
  );
  open.push(listener);
  return listener;
}

const ask = async (unix: string): Promise<string> => (await fetch("http://edge/", { unix } as RequestInit)).text();

test("a Unix socket has the mode and the owner that were asked for", async () => {
  const path = socketPath();
  await listen(path, { mode: 0o600 });
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(await ask(path)).toBe("here");
  if (process.getuid?.() !== 0) return;
  const owned = socketPath();
  await listen(owned, { mode: 0o620, owner: { user: 1234, group: 5678 } });
  const { uid, gid, mode } = statSync(owned);
  expect([uid, gid, mode & 0o777]).toEqual([1234, 5678, 0o620]);
});

test("a stale socket file is replaced", async () => {
  const path = socketPath();
  // A process that was killed leaves its socket file behind.
  const child = Bun.spawnSync([
    process.execPath,
    "-e",
    `require("node:net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`,
  ]);
  expect(child.signalCode).toBe("SIGKILL");
  expect(statSync(path).isSocket()).toBe(true);
  await listen(path, undefined, "new");
  expect(await ask(path)).toBe("new");
});

test("a live socket is a clear error and stays as it is", async () => {
  const path = socketPath();
  await listen(path, undefined, "first");
  await expect(listen(path, undefined, "second")).rejects.toThrow("in use by another process");
  expect(await ask(path)).toBe("first");
});

test("a file that is no socket is never removed", async () => {
  const path = socketPath();
  writeFileSync(path, "precious");
  await expect(listen(path)).rejects.toThrow("is no socket");
  expect(await Bun.file(path).text()).toBe("precious");
});

test("a folder that is missing is a clear error", async () => {
  await expect(listen("/nowhere/at/all/edge.sock")).rejects.toThrow("Check that its folder exists");
});

test("requests beyond those in flight are turned away at once, with Retry-After", async () => {
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const listener = await listenOnPort(
    "127.0.0.1",
    0,
    plain(async () => {
      await released;
      return new Response("done");
    }),
  );
  open.push(listener);
  const held = Array.from({ length: 4 }, () => fetch(listener.address));
  let refused = new Response(null, { status: 200 });
  for (let tries = 0; refused.status !== 503; tries++) {
    expect(tries).toBeLessThan(50);
    refused = await Promise.race([fetch(listener.address), Bun.sleep(200).then(() => new Response())]);
  }
  expect(refused.headers.get("retry-after")).toBe("1");
  expect(await refused.json()).toMatchObject({ code: "overloaded" });
  release();
  for (const response of await Promise.all(held)) expect(await response.text()).toBe("done");
});

test("large bodies in flight are bounded together", async () => {
  const listener = await listenOnPort(
    "127.0.0.1",
    0,
    plain(async (request) => new Response(String((await request.text()).length)), { bodiesBytesMax: 100_000 }),
  );
  open.push(listener);
  const body = "x".repeat(60_000);
  expect(await (await fetch(listener.address, { method: "POST", body })).text()).toBe("60000");
  const tooMuch = await fetch(listener.address, { method: "POST", body: "x".repeat(100_001) });
  expect(tooMuch.status).toBe(503);
  expect(await (await fetch(listener.address, { method: "POST", body })).text()).toBe("60000");
});

/** More than the system keeps of it on the way. */
const LARGE = 16_000_000;
const large: Handler = () => new Response("x".repeat(LARGE));

/** A caller that asks and does not read until it is told to. */
async function unread(port: number, more = ""): Promise<{ read(): Promise<number>; end(): void }> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  let came = 0;
  socket.on("data", (bytes) => {
    came += bytes.length;
  });
  socket.pause();
  socket.write(`GET / HTTP/1.1\r\nHost: localhost\r\n${more}\r\n`);
  await Bun.sleep(100);
  return {
    async read() {
      const closed = once(socket, "close");
      socket.resume();
      await closed;
      return came;
    },
    end: () => socket.destroy(),
  };
}

test("an answer that is still being read when the listener closes is read to its end", async () => {
  const listener = await listenOnPort("127.0.0.1", 0, plain(large));
  const caller = await unread(Number(new URL(listener.address).port));
  const closed = listener.close(10_000);
  await Bun.sleep(100);
  expect(await caller.read()).toBeGreaterThan(LARGE);
  await closed;
});

test("a slow reader gets a connection's last answer whole", async () => {
  const caller = await unread(await onPort(large), "Connection: close\r\n");
  await Bun.sleep(3_000);
  expect(await caller.read()).toBeGreaterThan(LARGE);
});

test("answers of megabytes, as bytes and as text, come whole, and those after them too", async () => {
  const bytes = crypto.getRandomValues(new Uint8Array(65_536));
  const long = Buffer.concat(Array.from({ length: 80 }, () => bytes));
  const answers: Record<string, Uint8Array | string> = {
    "/bytes": long,
    "/text": "z".repeat(3_000_001),
    "/short": "s",
  };
  const listener = await listenOnPort(
    "127.0.0.1",
    0,
    plain((request) => new Response(answers[new URL(request.url).pathname] as BodyInit)),
  );
  open.push(listener);
  for (const path of ["/bytes", "/text", "/short", "/bytes", "/bytes"]) {
    const got = Buffer.from(await (await fetch(listener.address + path)).arrayBuffer());
    expect([path, Buffer.from(answers[path]!).equals(got)]).toEqual([path, true]);
  }
});

test("an answer that nobody reads is in flight, and is cut when that takes too long", async () => {
  const port = await onPort(large, { requestsMax: 2, idleTimeoutMs: 1_500, bodiesBytesMax: 1e9 });
  const callers = [await unread(port), await unread(port)];
  const refused = await fetch(`http://127.0.0.1:${port}/`);
  expect(refused.status).toBe(503);
  await refused.text();
  await Bun.sleep(3_000);
  expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toHaveLength(LARGE);
  for (const caller of callers) caller.end();
});

test("one caller's unread answers use up no more than its share of what may be in flight", async () => {
  const port = await onPort(large, { bodyBytesMax: 1_000_000, bodiesBytesMax: 16_000_000 });
  const callers = [await unread(port), await unread(port)];
  const refused = await fetch(`http://127.0.0.1:${port}/`);
  expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "1"]);
  await refused.text();
  for (const caller of callers) caller.end();
  await Bun.sleep(100);
  expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toHaveLength(LARGE);
});

test("a listener on loopback answers no request that names another host, as a browser would send it", async () => {
  const listener = await listenOnPort(
    "127.0.0.1",
    0,
    plain(() => new Response("here")),
  );
  open.push(listener);
  const { port } = new URL(listener.address);
  for (const host of ["localhost", `localhost:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`]) {
    expect(await (await fetch(listener.address, { headers: { host } })).text()).toBe("here");
  }
  for (const host of ["evil.example", `evil.example:${port}`, "127.0.0.1.evil.example", "localhost.evil.example"]) {
    const response = await fetch(listener.address, { headers: { host } });
    expect(response.status).toBe(421);
    expect(await response.json()).toMatchObject({ code: "misdirected_request" });
  }
});

/** What a raw client gets until the listener ends the connection. */
function exchange(port: number, send: (socket: Socket) => void): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = "";
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true }, () => send(socket));
    socket.setEncoding("latin1");
    socket.on("data", (text) => {
      received += text;
    });
    socket.on("error", reject);
    socket.on("end", () => {
      socket.destroy();
      resolve(received);
    });
    socket.on("close", () => resolve(received));
  });
}

async function onPort(handler: Handler, changes: Partial<ListenerLimits> = {}): Promise<number> {
  const listener = await listenOnPort("127.0.0.1", 0, plain(handler, changes));
  open.push(listener);
  return Number(new URL(listener.address).port);
}

const HEAD = "POST /x HTTP/1.1\r\nhost: localhost\r\n";
const statuses = (received: string): string[] => [...received.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, code]) => code!);

test("a caller who has ended its half gets a long answer whole, and then the end", async () => {
  const body = "a".repeat(1_000_000);
  const port = await onPort(() => new Response(body));
  const request = `${HEAD}content-length: 0\r\n\r\n`;
  const slow = await exchange(port, (socket) => {
    socket.end(request);
    socket.pause();
    setTimeout(() => socket.resume(), 100);
  });
  expect(slow.slice(slow.indexOf("\r\n\r\n") + 4) === body).toBe(true);
  const both = await exchange(port, (socket) => socket.end(request.repeat(2)));
  expect([statuses(both), both.length > 2 * body.length]).toEqual([["200", "200"], true]);
});

test("a caller whose body is refused by its head sends all of it first, and gets the answer and the end", async () => {
  const port = await onPort(() => new Response("never"), { bodyBytesMax: 1_000 });
  const body = "a".repeat(4_000_000);
  const ends = await Promise.all(
    Array.from({ length: 3 }, () =>
      exchange(port, (socket) => {
        socket.pause();
        socket.write(`${HEAD}content-length: ${body.length}\r\n\r\n`);
        // As a client that reads nothing before it has sent all.
        socket.write(body, () => socket.resume());
      }),
    ),
  );
  for (const received of ends) {
    expect(statuses(received)).toEqual(["413"]);
    expect(received).toEndWith("}");
  }
  expect(
    statuses(await exchange(port, (socket) => socket.write(`${HEAD}content-length: 0\r\nconnection: close\r\n\r\n`))),
  ).toEqual(["200"]);
});

test("connections beyond the limit are told so, and there is room again when one goes", async () => {
  const port = await onPort(() => new Response("here"), { connectionsPerPrincipalMax: 3 });
  const held: Socket[] = [];
  for (let index = 0; index < 3; index++) {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    held.push(socket);
  }
  const ask = () => exchange(port, (socket) => socket.write(`${HEAD}connection: close\r\n\r\n`));
  const refused = await ask();
  expect(statuses(refused)).toEqual(["503"]);
  expect(refused).toContain("Retry-After: 1\r\n");
  expect(refused).toContain('"code":"overloaded"');
  held.pop()!.destroy();
  let answer = "";
  for (let tries = 0; tries < 100 && !answer.endsWith("here"); tries++) {
    await Bun.sleep(10);
    answer = await ask();
  }
  expect(answer).toEndWith("here");
  for (const socket of held) socket.destroy();
});

test("a body that never ends, and a connection that says nothing, are cut", async () => {
  const port = await onPort(() => new Response("here"), { requestTimeoutMs: 100, idleTimeoutMs: 100 });
  expect(await exchange(port, (socket) => socket.write(`${HEAD}content-length: 5\r\n\r\nab`))).toBe("");
  expect(await exchange(port, () => undefined)).toBe("");
  expect(await exchange(port, (socket) => socket.write(HEAD))).toBe("");
});

test("an answer that takes longer than a body may is given all the same", async () => {
  const port = await onPort(
    async (request) => {
      await request.text();
      await new Promise((resolve) => setTimeout(resolve, 1_600));
      return new Response("at last");
    },
    { requestTimeoutMs: 100 },
  );
  // So long a body does not come with its head.
  const response = await fetch(`http://127.0.0.1:${port}/`, { method: "POST", body: "x".repeat(300_000) });
  expect(await response.text()).toBe("at last");
});

test("a caller that says all it wants and shuts its side gets every answer", async () => {
  const port = await onPort(async (request) => {
    await Bun.sleep(5);
    return new Response(`<${await request.text()}>`);
  });
  const received = await exchange(port, (socket) => {
    for (const body of ["a", "bc", "def"]) socket.write(`${HEAD}content-length: ${body.length}\r\n\r\n${body}`);
    socket.end();
  });
  expect(received.match(/<\w+>/g)).toEqual(["<a>", "<bc>", "<def>"]);
});

test("a caller that asks and asks and does not read holds no more than its own requests", async () => {
  const answer = "x".repeat(1 << 20);
  let made = 0;
  const port = await onPort(() => {
    made++;
    return new Response(answer);
  });
  const socket = connect(port, "127.0.0.1");
  socket.pause();
  await once(socket, "connect");
  const request = `${HEAD}content-length: 0\r\n\r\n`;
  socket.write(request.repeat(500));
  let before = -1;
  for (let tries = 0; tries < 100 && made !== before; tries++) {
    before = made;
    await Bun.sleep(50);
  }
  expect(made).toBeGreaterThan(0);
  // What the kernel takes for a socket, and one answer that waits.
  expect(made).toBeLessThan(30);
  let received = 0;
  socket.on("data", (bytes) => {
    received += bytes.length;
  });
  socket.resume();
  for (let tries = 0; tries < 600 && received < 500 * answer.length; tries++) await Bun.sleep(10);
  expect(made).toBe(500);
  expect(received).toBeGreaterThan(500 * answer.length);
  socket.destroy();
});

test("a body that is too long is told so, while it is still being sent", async () => {
  const port = await onPort(() => new Response("here"));
  const received = await exchange(port, (socket) => {
    socket.on("error", () => undefined);
    socket.write(`${HEAD}content-length: 50000000\r\n\r\n`);
    const chunk = Buffer.alloc(65_536);
    const send = (): void => {
      if (socket.destroyed || socket.writableEnded) return;
      socket.write(chunk, () => setImmediate(send));
    };
    send();
  });
  expect(statuses(received)).toEqual(["413"]);
});

test("a request that could be read in two ways is refused, and nothing after it is read", async () => {
  let asked = 0;
  const port = await onPort(() => {
    asked++;
    return new Response("here");
  });
  for (const smuggled of [
    `${HEAD}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
    `${HEAD}transfer-encoding: chunked\r\n\r\n0;a=\nb\r\n\r\n`,
    `${HEAD}content-length: 1\r\ncontent-length: 2\r\n\r\na`,
    "GET ftp://localhost/ HTTP/1.1\r\nhost: localhost\r\n\r\n",
  ]) {
    const received = await exchange(port, (socket) =>
      socket.write(`${smuggled}GET /y HTTP/1.1\r\nhost: localhost\r\n\r\n`),
    );
    expect(statuses(received)).toEqual(["400"]);
  }
  expect(asked).toBe(0);
});

test("a port that is listened on already is a clear error", async () => {
  const port = await onPort(() => new Response("here"));
  await expect(
    listenOnPort(
      "127.0.0.1",
      port,
      plain(() => new Response("there")),
    ),
  ).rejects.toThrow("is in use");
  const other = Bun.spawnSync([
    process.execPath,
    "-e",
    `try { Bun.listen({ hostname: "127.0.0.1", port: ${port}, socket: { data() {} } }); } catch (error) { console.log(error.code); }
     process.exit();`,
  ]);
  expect(other.stdout.toString().trim()).toBe("EADDRINUSE");
});

test("an edge that ends leaves a socket alone that another has put in its place", async () => {
  const path = socketPath();
  const elder = await listen(path, undefined, "elder");
  rmSync(path);
  await listen(path, undefined, "younger");
  await elder.close(0);
  expect(await ask(path)).toBe("younger");
});

test("a socket is put in its place in one step, and nothing else is left beside it", async () => {
  const path = socketPath();
  const listener = await listen(path);
  expect(readdirSync(dirname(path))).toEqual(["edge.sock"]);
  await listener.close(0);
  expect(readdirSync(dirname(path))).toEqual([]);
});

test("a path as long as a socket's may be is listened on", async () => {
  const folder = dirname(socketPath());
  const path = join(folder, "s".repeat(107 - folder.length - 1));
  await listen(path);
  expect(await ask(path)).toBe("here");
});

test("a path that nobody could connect to is refused, not listened on under a shorter name", async () => {
  const folder = dirname(socketPath());
  const path = join(folder, "s".repeat(108 - folder.length - 1));
  await expect(listen(path)).rejects.toThrow("has more than 107 bytes");
  expect(readdirSync(folder)).toEqual([]);
});
