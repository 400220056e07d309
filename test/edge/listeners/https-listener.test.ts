import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { systemClock } from "../../../src/base/time/system-clock.ts";
import type { Listener, ListenerLog } from "../../../src/edge/listeners/listener.ts";
import { listenOnTls, type TlsListenerOptions } from "../../../src/edge/listeners/tls-listener.ts";
import { makeAuthority, type TestCertificate } from "../../support/certificates.ts";
import { LISTENER_LIMITS } from "../../support/listener-limits.ts";
import { until } from "../../support/until.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { type Handler, routesOf } from "./handler-door.ts";

const folder = mkdtempSync(join(tmpdir(), "crypto-edge-https-"));
const authority = await makeAuthority();
const stranger = await makeAuthority("another CA");
const server = await authority.issue({ dns: ["localhost"], ip: ["127.0.0.1"] });
const billing = await authority.issue({ uris: ["spiffe://example.org/billing/api"], commonName: "billing" });
const DAY_MS = 86_400_000;

const path = (name: string, text?: string): string => {
  const file = join(folder, name);
  if (text !== undefined) writeFileSync(file, text);
  return file;
};
path("cert.pem", server.certificate);
path("key.pem", server.key);
path("ca.pem", authority.certificate);

/** Tells who asked and what came. */
const echo: Handler = async (request, { kind, name }) =>
  Response.json({ kind, name, method: request.method, body: await request.text() });

interface Started {
  readonly listener: Listener;
  readonly url: string;
  readonly port: number;
  readonly logged: { level: string; details: Record<string, unknown>; message: string }[];
}

const open: Listener[] = [];
afterEach(async () => {
  for (const listener of open.splice(0)) await listener.close(0);
});
afterAll(() => rmSync(folder, { recursive: true }));

async function start(changes: Partial<TlsListenerOptions> = {}, handler = echo): Promise<Started> {
  const logged: Started["logged"] = [];
  const logAt =
    (level: string) =>
    (details: object, message: string): void =>
      void logged.push({ level, details: details as Record<string, unknown>, message });
  const log: ListenerLog = { info: logAt("info"), warn: logAt("warn"), error: logAt("error") };
  const listener = await listenOnTls(
    {
      host: "127.0.0.1",
      port: 0,
      cert: path("cert.pem"),
      key: path("key.pem"),
      clientCa: path("ca.pem"),
      clientCertificates: "verified",
      clientCrl: [],
      nameSources: ["uri", "dns", "common_name"],
      minVersion: "TLSv1.3",
      tokens: [],
      limits: LISTENER_LIMITS,
      clock: systemClock,
      log,
      ...changes,
    },
    { http: routesOf(handler) },
  );
  open.push(listener);
  return { listener, url: listener.address, port: Number(new URL(listener.address).port), logged };
}

type FetchWithTls = RequestInit & { tls?: Record<string, unknown> };

function ask(url: string, client?: TestCertificate, init: RequestInit = {}): Promise<Response> {
  const tls = {
    ca: authority.certificate,
    ...(client === undefined ? {} : { cert: client.certificate, key: client.key }),
  };
  return fetch(url, { ...init, keepalive: false, tls } as FetchWithTls);
}

/** Resolves with what came before the end, or the error's code. */
function rawTls(
  port: number,
  client: TestCertificate | undefined,
  send: string,
  options: object = {},
): Promise<string> {
  return new Promise((resolve) => {
    let came = "";
    const socket: TLSSocket = connectTls({
      host: "127.0.0.1",
      port,
      ca: authority.certificate,
      ...(client === undefined ? {} : { cert: client.certificate, key: client.key }),
      ...options,
    });
    socket.on("secureConnect", () => socket.write(send));
    socket.on("data", (bytes: Buffer) => {
      came += bytes.toString("latin1");
    });
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(`error ${error.code ?? error.message}`));
    socket.on("close", () => resolve(came));
  });
}

describe("a client certificate over HTTPS", () => {
  test("tells the principal", async () => {
    const { url } = await start();
    const response = await ask(url, billing, { method: "POST", body: "hello" });
    expect(await response.json()).toEqual({
      kind: "spiffe",
      name: "spiffe://example.org/billing/api",
      method: "POST",
      body: "hello",
    });
  });

  test("is a must: without one there is no connection", async () => {
    const { url, logged } = await start();
    await expect(ask(url)).rejects.toThrow();
    await until(() => logged.some(({ message }) => message === "a connection is refused"));
  });

  test("of another authority, or out of its time, is refused and logged", async () => {
    const { url, logged } = await start();
    const other = await stranger.issue({ uris: ["spiffe://example.org/billing/api"] });
    const expired = await authority.issue({
      uris: ["spiffe://example.org/billing/api"],
      notBefore: new Date(Date.now() - 2 * DAY_MS),
      notAfter: new Date(Date.now() - DAY_MS),
    });
    const early = await authority.issue({
      uris: ["spiffe://example.org/billing/api"],
      notBefore: new Date(Date.now() + DAY_MS),
    });
    for (const [index, client] of [other, expired, early].entries()) {
      await expect(ask(url, client)).rejects.toThrow();
      await until(() => logged.length > index);
    }
    expect(logged.map(({ details }) => details.code)).toEqual([
      "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
      "CERT_HAS_EXPIRED",
      "CERT_NOT_YET_VALID",
    ]);
    expect(logged.map(({ message }) => message)).toEqual(Array(3).fill("a connection is refused"));
  });

  test("that has been revoked gets a 401 that says so, and a log line", async () => {
    const revoked = await authority.issue({ uris: ["spiffe://example.org/billing/old"] });
    const clientCrl = [path("one.crl", await authority.revoke([revoked.certificate]))];
    const { url, logged } = await start({ clientCrl });
    const response = await ask(url, revoked);
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({
      code: "unauthenticated",
      detail: expect.stringContaining("has been revoked"),
    });
    expect(logged).toMatchObject([{ level: "warn", details: { reason: "the certificate has been revoked" } }]);
    expect((await ask(url, billing)).status).toBe(200);
  });

  test("without a usable name gets a 401 that says so, and a log line", async () => {
    const { url, logged } = await start({ nameSources: ["uri"] });
    const response = await ask(url, await authority.issue({ commonName: "only a common name" }));
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({ detail: expect.stringContaining("no name that is accepted here") });
    expect(logged).toMatchObject([{ level: "warn", message: "a client certificate is refused" }]);
  });
});

describe("TLS", () => {
  const get = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

  test("is 1.3, and 1.2 only where the configuration says so", async () => {
    const strict = await start();
    expect(await rawTls(strict.port, billing, get, { maxVersion: "TLSv1.2" })).not.toContain("200 OK");
    const lax = await start({ minVersion: "TLSv1.2" });
    expect(await rawTls(lax.port, billing, get, { maxVersion: "TLSv1.2" })).toContain("200 OK");
    expect(await rawTls(lax.port, billing, get, { maxVersion: "TLSv1.1" })).not.toContain("200 OK");
  });

  test("files are read again without dropping a connection", async () => {
    const cert = path("changing.pem", server.certificate);
    const key = path("changing.key", server.key);
    const { listener, port } = await start({ cert, key });
    const socket = connectTls({
      host: "127.0.0.1",
      port,
      ca: authority.certificate,
      cert: billing.certificate,
      key: billing.key,
    });
    await new Promise<void>((resolve) => socket.once("secureConnect", () => resolve()));
    const answered = (): Promise<string> =>
      new Promise((resolve) => {
        socket.once("data", (bytes: Buffer) => resolve(bytes.toString("latin1")));
        socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      });
    expect(await answered()).toContain("200 OK");

    const renewed = await authority.issue({ dns: ["renewed.example"], ip: ["127.0.0.1"] });
    path("changing.pem", renewed.certificate);
    path("changing.key", renewed.key);
    await listener.reload?.();
    expect(await answered()).toContain("200 OK");
    socket.destroy();

    const fresh = connectTls({
      host: "127.0.0.1",
      port,
      ca: authority.certificate,
      cert: billing.certificate,
      key: billing.key,
    });
    await new Promise<void>((resolve) => fresh.once("secureConnect", () => resolve()));
    expect(fresh.getPeerCertificate().subjectaltname).toContain("renewed.example");
    fresh.destroy();
  });

  test("files that are no good are refused at a reload, and the old ones stay in use", async () => {
    const cert = path("broken.pem", server.certificate);
    const { listener, url } = await start({ cert });
    for (const text of ["garbage", (await authority.issue({ ip: ["127.0.0.1"] })).certificate, ""]) {
      path("broken.pem", text);
      await expect(listener.reload?.()).rejects.toThrow();
      expect((await ask(url, billing)).status).toBe(200);
    }
  });

  test("a new client authority counts after a reload, and the old one no more", async () => {
    const clientCa = path("changing-ca.pem", authority.certificate);
    const { listener, url } = await start({ clientCa });
    const other = await stranger.issue({ uris: ["spiffe://example.org/billing/api"] });
    await expect(ask(url, other)).rejects.toThrow();
    path("changing-ca.pem", stranger.certificate);
    await listener.reload?.();
    expect((await ask(url, other)).status).toBe(200);
    await expect(ask(url, billing)).rejects.toThrow();
  });

  test("files that change are taken up without a signal, once they are whole", async () => {
    const clock = new VirtualClock();
    clock.jumpWall(Date.now() - clock.wallMs());
    const crl = path("live.crl", await authority.revoke([]));
    const { url, logged } = await start({ clientCrl: [crl], clock });
    expect((await ask(url, billing)).status).toBe(200);

    // As an operator does it: the new file takes the old one's name.
    renameSync(path("next.crl", await authority.revoke([billing.certificate])), crl);
    await clock.advance(4_100);
    await until(() => logged.some(({ message }) => message.includes("were taken up")));
    expect((await ask(url, billing)).status).toBe(401);
  });

  test("connections of a certificate that is revoked now are refused from their next request on", async () => {
    const crl = path("cut.crl", await authority.revoke([]));
    const { listener, port } = await start({ clientCrl: [crl] });
    const socket = connectTls({
      host: "127.0.0.1",
      port,
      ca: authority.certificate,
      cert: billing.certificate,
      key: billing.key,
    });
    const answered = (): Promise<string> =>
      new Promise((resolve) => {
        socket.once("data", (bytes: Buffer) => resolve(bytes.toString("latin1")));
        socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      });
    expect(await answered()).toContain("200 OK");
    path("cut.crl", await authority.revoke([billing.certificate]));
    await listener.reload?.();
    expect(await answered()).toContain("401");
    socket.destroy();
  });
});

describe("a bearer token over HTTPS", async () => {
  const keys = await generateKeyPair("ES256");
  const jwks = path("jwks.json", JSON.stringify({ keys: [await exportJWK(keys.publicKey)] }));
  const tokens = [{ issuer: "https://issuer.example", audience: "crypto-edge", jwks }];
  const token = await new SignJWT({ sub: "system:serviceaccount:shop:billing" })
    .setProtectedHeader({ alg: "ES256" })
    .setIssuer("https://issuer.example")
    .setAudience("crypto-edge")
    .setExpirationTime("5m")
    .sign(keys.privateKey);

  test("names a caller without a certificate", async () => {
    const { url } = await start({ tokens });
    for (let time = 0; time < 2; time++) {
      const response = await ask(url, undefined, { headers: { authorization: `Bearer ${token}` } });
      expect(await response.json()).toMatchObject({ kind: "token", name: "system:serviceaccount:shop:billing" });
    }
    expect((await ask(url)).status).toBe(401);
    const refused = await ask(url, undefined, { headers: { authorization: `Bearer ${token.slice(0, -4)}AAAA` } });
    expect(refused.status).toBe(401);
    expect(await refused.json()).toMatchObject({ detail: expect.stringContaining("signature does not hold") });
  });

  test("does not change who a caller with a certificate is, and does not rescue a bad one", async () => {
    const { url, logged } = await start({ tokens });
    const headers = { authorization: `Bearer ${token}` };
    expect(await (await ask(url, billing, { headers })).json()).toMatchObject({ kind: "spiffe" });
    const other = await stranger.issue({ uris: ["spiffe://example.org/billing/api"] });
    await expect(ask(url, other, { headers })).rejects.toThrow();
    expect(logged.length).toBeGreaterThan(0);
  });
});

describe("limits of an HTTPS listener", () => {
  test("a body that is too long is answered 413, told or not", async () => {
    const { url } = await start();
    const body = "x".repeat(LISTENER_LIMITS.bodyBytesMax + 1);
    const told = await ask(url, billing, { method: "POST", body });
    expect(told.status).toBe(413);
    expect(await told.json()).toMatchObject({ code: "too_large" });
    const stream = new ReadableStream({
      start(controller) {
        for (let index = 0; index < 20; index++) controller.enqueue(Buffer.alloc(8_192));
        controller.close();
      },
    });
    expect((await ask(url, billing, { method: "POST", body: stream })).status).toBe(413);
  });

  test("a principal's connections are bounded, another's are not touched", async () => {
    const { port, logged } = await start({ limits: { ...LISTENER_LIMITS, connectionsPerPrincipalMax: 2 } });
    const hold = (client: TestCertificate): Promise<string> =>
      rawTls(port, client, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    const slow = (client: TestCertificate): TLSSocket =>
      connectTls({ host: "127.0.0.1", port, ca: authority.certificate, cert: client.certificate, key: client.key }).on(
        "error",
        () => undefined,
      );
    const held = [slow(billing), slow(billing)];
    await Promise.all(
      held.map((socket) => new Promise<void>((resolve) => socket.once("secureConnect", () => resolve()))),
    );
    expect(await hold(billing)).not.toContain("200 OK");
    expect(logged).toMatchObject([{ details: { reason: expect.stringContaining("too many connections") } }]);
    expect(await hold(await authority.issue({ uris: ["spiffe://example.org/other"] }))).toContain("200 OK");
    for (const socket of held) socket.destroy();
    for (let tries = 0; ; tries++) {
      if ((await hold(billing)).includes("200 OK")) break;
      expect(tries).toBeLessThan(50);
      await Bun.sleep(10);
    }
  });

  test("requests beyond those in flight are turned away at once, with Retry-After", async () => {
    let release = (): void => undefined;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const slow: Handler = async () => {
      await released;
      return new Response("done");
    };
    const { url } = await start({ limits: { ...LISTENER_LIMITS, requestsMax: 3, requestsPerCallerMax: 2 } }, slow);
    const other = await authority.issue({ uris: ["spiffe://example.org/other"] });
    const first = [ask(url, billing), ask(url, billing)];
    let turnedAway: Response;
    for (;;) {
      turnedAway = await Promise.race([
        ask(url, billing),
        Bun.sleep(100).then(() => new Response(null, { status: 299 })),
      ]);
      if (turnedAway.status !== 299) break;
    }
    expect(turnedAway.status).toBe(429);
    expect(turnedAway.headers.get("retry-after")).toBe("1");
    const second = ask(url, other);
    await Bun.sleep(100);
    const third = await ask(url, await authority.issue({ uris: ["spiffe://example.org/third"] }));
    expect(third.status).toBe(503);
    expect(await third.json()).toMatchObject({ code: "overloaded" });
    release();
    for (const response of await Promise.all([...first, second])) expect(response.status).toBe(200);
  });

  test("a request that does not arrive in time, and a connection that idles, are cut", async () => {
    const { port } = await start({ limits: { ...LISTENER_LIMITS, requestTimeoutMs: 300, idleTimeoutMs: 300 } });
    expect(await rawTls(port, billing, "")).toBe("");
    expect(await rawTls(port, billing, "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")).not.toContain("200 OK");
    const half = await rawTls(port, billing, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf");
    expect(half).not.toContain("200 OK");
  });

  test("a head that is too long is refused", async () => {
    const { port, url } = await start();
    const answer = await rawTls(port, billing, `GET / HTTP/1.1\r\nHost: x\r\nX: ${"y".repeat(20_000)}\r\n\r\n`);
    expect(answer).not.toContain("200 OK");
    expect((await ask(url, billing)).status).toBe(200);
  });
});

test("a listener that cannot start says what to do", async () => {
  await expect(start({ cert: path("missing.pem") })).rejects.toThrow("missing.pem can't be read");
  await expect(start({ clientCrl: [path("bad.crl", "garbage")] })).rejects.toThrow("not a certificate revocation list");
  await expect(start({ key: path("other.key", billing.key) })).rejects.toThrow();
  const { port } = await start();
  await expect(start({ port })).rejects.toThrow(`Port ${port} on 127.0.0.1 is in use`);
});

test("a client agrees on HTTP/1.1 or 1.0, whatever else it would rather speak", async () => {
  const { port } = await start();
  const agreed = (protocols: string[]): Promise<string | false | null> =>
    new Promise((done, failed) => {
      const socket = connectTls({
        host: "127.0.0.1",
        port,
        ca: authority.certificate,
        cert: billing.certificate,
        key: billing.key,
        ALPNProtocols: protocols,
      });
      socket.on("secureConnect", () => {
        done(socket.alpnProtocol);
        socket.destroy();
      });
      socket.on("error", failed);
    });
  expect(await agreed(["h2", "http/1.1"])).toBe("http/1.1");
  expect(await agreed(["http/1.0"])).toBe("http/1.0");
  await expect(agreed(["h2"])).rejects.toThrow();
});
