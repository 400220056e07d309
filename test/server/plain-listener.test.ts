import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Handler, Listener, ListenerLimits, ListenerLog } from "../../src/server/listeners/listener.ts";
import { listenOnPort, listenOnUnixSocket, type UnixSocketOptions } from "../../src/server/listeners/plain-http.ts";

const LIMITS: ListenerLimits = {
  connectionsMax: 100,
  connectionsPerPrincipalMax: 50,
  requestsMax: 4,
  requestsPerCallerMax: 4,
  headerBytesMax: 16_384,
  bodyBytesMax: 1 << 20,
  bodiesBytesMax: 1 << 20,
  requestTimeoutMs: 30_000,
  idleTimeoutMs: 60_000,
};

const log: ListenerLog = { info() {}, warn() {}, error() {} };
const plain = (handler: Handler, changes: Partial<ListenerLimits> = {}) => ({
  principal: undefined,
  handler,
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
