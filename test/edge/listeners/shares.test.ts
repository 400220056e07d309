/** What one caller uses up is taken from no other: known callers, strangers, probes, and callers that are gone. */
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { OperationError } from "../../../src/base/errors.ts";
import { writeError } from "../../../src/base/network/problem.ts";
import { systemClock } from "../../../src/base/time/system-clock.ts";
import type { DoorRoute, HttpDoor } from "../../../src/edge/doors/door.ts";
import { DoorRoutes } from "../../../src/edge/listeners/door-routes.ts";
import type { Listener, ListenerLimits } from "../../../src/edge/listeners/listener.ts";
import { listenOnPort } from "../../../src/edge/listeners/plain-http.ts";
import { acceptPlain } from "../../../src/edge/listeners/plain-sockets.ts";
import { listenOnTls } from "../../../src/edge/listeners/tls-listener.ts";
import { makeAuthority, type TestCertificate } from "../../support/certificates.ts";
import { until } from "../../support/until.ts";

const LIMITS: ListenerLimits = {
  connectionsMax: 100,
  connectionsPerPrincipalMax: 20,
  failedHandshakesPerSecond: 10_000,
  requestsMax: 64,
  requestsPerCallerMax: 32,
  headerBytesMax: 16_384,
  bodyBytesMax: 8 << 20,
  bodiesBytesMax: 64 << 20,
  requestTimeoutMs: 60_000,
  idleTimeoutMs: 60_000,
};
const silent = { info() {}, warn() {}, error() {} };
const folder = mkdtempSync(join(tmpdir(), "crypto-edge-shares-"));
const authority = await makeAuthority();
const server = await authority.issue({ dns: ["localhost"], ip: ["127.0.0.1"] });
const billing = await authority.issue({ uris: ["spiffe://example.org/billing"] });
const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const jwks = file("jwks.json", JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), alg: "ES256", kid: "1" }] }));
const tokenOf = (subject: string): Promise<string> =>
  new SignJWT({})
    .setProtectedHeader({ alg: "ES256", kid: "1" })
    .setIssuer("https://issuer.example")
    .setAudience("edge")
    .setSubject(subject)
    .setExpirationTime("1h")
    .sign(privateKey);

const open: Listener[] = [];
const sockets: Socket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const listener of open.splice(0)) await listener.close(0);
});
afterAll(() => rmSync(folder, { recursive: true }));

let holding = 0;

/** `/held` and `/work` answer when they are released; `/work` and `/fits` reserve what they will make; `/large` makes much at once. */
function door(): { door: HttpDoor; release: () => void } {
  holding = 0;
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const text = (body: string) => ({ status: 200, headers: { "Content-Type": "text/plain" }, body });
  const route = (path: string, handle: DoorRoute["handle"], more: Partial<DoorRoute> = {}): DoorRoute => ({
    methods: ["GET", "POST"],
    path,
    bodyBytesMax: 8 << 20,
    handle,
    ...more,
  });
  const large = "x".repeat(8_000_000);
  return {
    release,
    door: {
      name: "shares",
      transport: "http",
      refuse: (error) => writeError(error),
      routes: [
        route("/who", (_request, { principal }) => text(`${principal.kind} ${principal.name}`)),
        route("/held", async () => {
          holding++;
          await released;
          return text("held");
        }),
        route("/large", () => text(large)),
        route("/work", async (request) => {
          const refused = request.reserve(Number(request.query));
          if (refused !== undefined) return writeError(refused);
          holding++;
          await released;
          return text("worked");
        }),
        route("/fits", (request) => {
          const refused = request.reserve(Number(request.query));
          return refused === undefined ? text("fits") : writeError(refused);
        }),
        route("/open", () => text("open"), { open: true }),
        route("/probe", () => text("probe"), { open: true, probe: true, bodyBytesMax: 0 }),
      ],
    },
  };
}

async function https(limits: Partial<ListenerLimits> = {}): Promise<Listener & { release: () => void }> {
  const { door: served, release } = door();
  const listener = await listenOnTls(
    {
      host: "127.0.0.1",
      port: 0,
      cert: file("cert.pem", server.certificate),
      key: file("key.pem", server.key),
      clientCa: file("ca.pem", authority.certificate),
      clientCertificates: "verified",
      clientCrl: [],
      nameSources: ["uri"],
      minVersion: "TLSv1.3",
      tokens: [{ issuer: "https://issuer.example", audience: "edge", jwks }],
      limits: { ...LIMITS, ...limits },
      clock: systemClock,
      log: silent,
    },
    { http: new DoorRoutes([served]) },
  );
  open.push(listener);
  return { ...listener, release };
}

async function http(limits: Partial<ListenerLimits> = {}): Promise<{ port: number; release: () => void }> {
  const { door: served, release } = door();
  const principal = { kind: "listener", name: "local" } as const;
  const doors = new DoorRoutes([served]);
  const listener = await listenOnPort("127.0.0.1", 0, {
    principal,
    doors,
    limits: { ...LIMITS, ...limits },
    log: silent,
  });
  open.push(listener);
  return { port: Number(new URL(listener.address).port), release };
}

interface Asked {
  readonly status: number;
  readonly body: string;
}

async function ask(
  url: string,
  options: { token?: string; client?: TestCertificate; body?: string } = {},
): Promise<Asked> {
  const { token, client, body } = options;
  const tls = { ca: authority.certificate, ...(client && { cert: client.certificate, key: client.key }) };
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const init = { method: body === undefined ? "GET" : "POST", headers, keepalive: false, tls, ...(body && { body }) };
  const response = await fetch(url, init as RequestInit);
  return { status: response.status, body: await response.text() };
}

async function dial({ address }: Listener, text: string, client?: TestCertificate): Promise<TLSSocket> {
  const { hostname, port } = new URL(address);
  const socket = connectTls({
    host: hostname,
    port: Number(port),
    ca: authority.certificate,
    ...(client && { cert: client.certificate, key: client.key }),
  });
  socket.on("error", () => undefined);
  sockets.push(socket);
  await new Promise<void>((resolve, reject) => {
    socket.once("secureConnect", () => resolve());
    socket.once("error", reject);
  });
  socket.write(text);
  return socket;
}

const HEAD = "HTTP/1.1\r\nHost: localhost\r\n";

describe("strangers", () => {
  test("who begin requests without end take nothing from callers with tokens or certificates", async () => {
    const listener = await https({ requestsPerCallerMax: 8 });
    for (let index = 0; index < 15; index++) {
      const socket = await dial(listener, "");
      socket.write(`POST /who ${HEAD}Content-Length: 1000\r\n\r\n`);
      socket.write(`POST /open ${HEAD}Content-Length: 1000\r\n\r\n`);
    }
    const token = await tokenOf("caller");
    for (let tries = 0; tries < 10; tries++) {
      expect(await ask(`${listener.address}/who`, { token })).toEqual({ status: 200, body: "token caller" });
      expect((await ask(`${listener.address}/who`, { client: billing })).status).toBe(200);
    }
  });

  test("are refused by their heads, before any of a body is read", async () => {
    const listener = await https();
    const socket = await dial(listener, `POST /who ${HEAD}Content-Length: 1000000\r\n\r\n`);
    const answer = await new Promise<string>((resolve) => socket.once("data", (bytes) => resolve(String(bytes))));
    expect(answer).toStartWith("HTTP/1.1 401 Unauthorized");
    expect(answer).toContain("Connection: close");
  });

  test("hold so many connections and no more: the eldest goes, callers who are known stay", async () => {
    const listener = await https({ connectionsMax: 20, connectionsPerPrincipalMax: 8 });
    const token = await tokenOf("caller");
    const known = await dial(listener, `GET /who ${HEAD}Authorization: Bearer ${token}\r\n\r\n`);
    await new Promise((resolve) => known.once("data", resolve));
    const strangers: TLSSocket[] = [];
    for (let index = 0; index < 12; index++) strangers.push(await dial(listener, ""));
    await until(() => strangers.filter(({ destroyed }) => destroyed).length === 4);
    expect(strangers.slice(0, 4).every(({ destroyed }) => destroyed)).toBe(true);
    known.write(`GET /who ${HEAD}Authorization: Bearer ${token}\r\n\r\n`);
    expect(String(await new Promise((resolve) => known.once("data", resolve)))).toContain("200 OK");
    expect((await ask(`${listener.address}/who`, { client: billing })).status).toBe(200);
  });
});

describe("callers with tokens", () => {
  test("have a share each", async () => {
    const listener = await https({ requestsPerCallerMax: 2 });
    const [one, other] = [await tokenOf("one"), await tokenOf("other")];
    const held: Promise<Asked>[] = [];
    for (const nth of [1, 2]) {
      held.push(ask(`${listener.address}/held`, { token: one }));
      await until(() => holding === nth);
    }
    expect((await ask(`${listener.address}/who`, { token: one })).status).toBe(429);
    expect((await ask(`${listener.address}/who`, { token: other })).status).toBe(200);
    listener.release();
    expect((await Promise.all(held)).map(({ status }) => status)).toEqual([200, 200]);
    expect((await ask(`${listener.address}/who`, { token: one })).status).toBe(200);
  });

  test("have so many connections each", async () => {
    const listener = await https({ connectionsPerPrincipalMax: 3 });
    const token = await tokenOf("one");
    const request = `GET /who ${HEAD}Authorization: Bearer ${token}\r\n\r\n`;
    const statuses: string[] = [];
    for (let index = 0; index < 4; index++) {
      const socket = await dial(listener, request);
      statuses.push(String(await new Promise((resolve) => socket.once("data", resolve))).slice(9, 12));
    }
    expect(statuses).toEqual(["200", "200", "200", "503"]);
    const other = await tokenOf("other");
    expect((await ask(`${listener.address}/who`, { token: other })).status).toBe(200);
  });
});

test("probes are answered outside every share", async () => {
  const { port, release } = await http({ requestsMax: 2, requestsPerCallerMax: 2 });
  const url = `http://127.0.0.1:${port}`;
  const held: Promise<Asked>[] = [ask(`${url}/held`), ask(`${url}/held`)];
  await until(() => holding === 2);
  expect((await ask(`${url}/who`)).status).toBe(503);
  expect(await ask(`${url}/probe`)).toEqual({ status: 200, body: "probe" });
  release();
  await Promise.all(held);
});

test("work that a door announces counts against its caller until it is answered", async () => {
  const { port, release } = await http();
  const url = `http://127.0.0.1:${port}`;
  const first = ask(`${url}/work?10000000`);
  await until(() => holding === 1);
  expect((await ask(`${url}/fits?8000000`)).status).toBe(429);
  expect((await ask(`${url}/fits?5000000`)).status).toBe(200);
  release();
  expect((await first).status).toBe(200);
  expect((await ask(`${url}/fits?8000000`)).status).toBe(200);
});

describe("a caller that is gone", () => {
  /** Pipelines requests whose answers it never reads, until the edge has as much as it takes; then it is killed. */
  const script = (port: number): string => `
import socket, struct, time, sys
held = []
for _ in range(4):
    s = socket.create_connection(("127.0.0.1", ${port}))
    s.setblocking(False)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    held.append(s)
request = b"GET /large HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n" * 2000
for s in held:
    try: s.send(request)
    except BlockingIOError: pass
print("sent", flush=True)
sys.stdin.readline()
`;

  test("leaves nothing of its unread answers, though it was not listened to", async () => {
    const { port } = await http({ bodiesBytesMax: 64 << 20 });
    const url = `http://127.0.0.1:${port}`;
    for (let round = 0; round < 3; round++) {
      const child = Bun.spawn(["python3", "-c", script(port)], { stdin: "pipe", stdout: "pipe" });
      // Four answers of 8 MB that wait are twice a caller's share.
      await until(async () => (await ask(`${url}/fits?4000000`)).status === 429);
      expect((await ask(`${url}/probe`)).status).toBe(200);
      child.kill("SIGKILL");
      await child.exited;
      await until(async () => (await ask(`${url}/fits?16000000`)).status !== 429);
    }
  }, 300_000);
});

test("a route's own error is no defect", async () => {
  const { door: served } = door();
  const failing: HttpDoor = {
    ...served,
    routes: [
      {
        methods: ["GET"],
        path: "/fails",
        bodyBytesMax: 0,
        handle() {
          throw new OperationError("unauthenticated", "Say who you are.");
        },
      },
    ],
  };
  const errors: unknown[] = [];
  const listener = await listenOnPort("127.0.0.1", 0, {
    principal: { kind: "listener", name: "local" },
    doors: new DoorRoutes([failing]),
    limits: LIMITS,
    log: { ...silent, error: (details) => void errors.push(details) },
  });
  open.push(listener);
  expect((await ask(`${listener.address}/fails`)).status).toBe(401);
  expect(errors).toEqual([]);
});

test("a socket that is reset while its answer is written is noticed", async () => {
  const { port } = await http();
  const socket = connect(port, "127.0.0.1");
  sockets.push(socket);
  await new Promise((resolve) => socket.once("connect", resolve));
  socket.write(`GET /large ${HEAD}\r\n`);
  await new Promise((resolve) => socket.once("readable", resolve));
  socket.resetAndDestroy();
  await until(async () => (await ask(`http://127.0.0.1:${port}/fits?16000000`)).status !== 429);
});

test("a connection that was reset while this process was busy ends, though its socket is paused", async () => {
  let closed = false;
  let resets = (): void => undefined;
  const server = await acceptPlain({ hostname: "127.0.0.1", port: 0, reusePort: false }, (socket) => {
    socket.on("close", () => {
      closed = true;
    });
    socket.on("data", () => {
      socket.pause();
      resets();
      // As while a batch is made: nothing is heard of the other side meanwhile.
      Bun.sleepSync(1_000);
      socket.write("x".repeat(16_000_000), "latin1");
    });
  });
  const child = Bun.spawn(
    [
      "python3",
      "-c",
      `
import socket, struct, sys
s = socket.create_connection(("127.0.0.1", ${server.port}))
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
s.send(b"hello")
sys.stdin.readline()
s.close()
`,
    ],
    { stdin: "pipe" },
  );
  resets = () => {
    child.stdin.write("now\n");
    child.stdin.flush();
  };
  await until(() => closed);
  server.stop();
  await child.exited;
});
