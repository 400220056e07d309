import { afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync } from "node:fs";
import { request as httpsRequest } from "node:https";
import { type AddressInfo, createServer, type Socket, connect as tcpConnect } from "node:net";
import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from "node:tls";
import type { HandshakeLimit } from "../../../../src/base/network/tls/handshake-limit.ts";
import { startTlsServer, type TlsServer, type TlsServerOptions } from "../../../../src/base/network/tls/server.ts";
import { createAuthority, issueCertificate } from "../../../../src/base/pki/authority.ts";
import { type ClientFiles, createThrowAwayPki, type ThrowAwayPki } from "../../../../src/base/pki/throw-away.ts";
import { BodyTooLarge, type NodeHttpOptions, readBody, speakNodeHttp } from "../../../../src/core/node-http.ts";
import { until } from "../../../support/until.ts";

/** For a busy machine. */
setDefaultTimeout(30_000);

let pki: ThrowAwayPki;
let client: ClientFiles;
const open: { destroy(): void }[] = [];
let server: TlsServer;
let refusals: { code: string; reason: string }[];

beforeAll(async () => {
  pki = await createThrowAwayPki("example.org");
  client = await pki.edge("edge-1");
});
afterEach(async () => {
  for (const socket of open.splice(0)) socket.destroy();
  await server.close();
});

/** Answers with who called and what came. */
async function start(
  { onRequest, ...options }: Partial<TlsServerOptions & NodeHttpOptions> = {},
  maxBodyBytes = 1_000_000,
): Promise<void> {
  refusals = [];
  server = await startTlsServer({
    hostname: "127.0.0.1",
    port: 0,
    certificates: pki.core,
    onRefused: (refusal) => refusals.push(refusal),
    onConnection: speakNodeHttp({
      onRequest:
        onRequest ??
        (async (request, response, peer) => {
          try {
            const body = await readBody(request, maxBodyBytes);
            const { method, url: path } = request;
            response.end(JSON.stringify({ method, path, uris: peer.certificate?.uris, body: body.toString() }));
          } catch (error) {
            if (!(error instanceof BodyTooLarge)) return;
            response.statusCode = 413;
            response.end("too large");
          }
        }),
    }),
    ...options,
  });
}

const base = (files: ClientFiles | { ca: string } = client): ConnectionOptions => ({
  host: "127.0.0.1",
  port: server.port,
  ...files,
});

function call(
  files: ClientFiles | { ca: string } = client,
  body?: string,
  options: object = {},
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      { ...base(files), agent: false, method: "POST", path: "/x", ...options },
      (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          text += chunk;
        });
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body: text }));
        response.on("error", reject);
      },
    );
    request.on("error", reject);
    request.end(body);
  });
}

function dial(options: ConnectionOptions = base()): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = tlsConnect(options, () => resolve(socket));
    open.push(socket);
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("closed")));
  });
}

const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => (socket.closed ? resolve() : socket.resume().once("close", () => resolve())));

test("a crowd that comes at once is served, whoever of it leaves before its handshake has begun", async () => {
  await start();
  const leaving = Array.from({ length: 20 }, () => tcpConnect(server.port, "127.0.0.1").on("error", () => undefined));
  const served = Array.from({ length: 40 }, () => call(client, "x"));
  for (const socket of leaving) socket.once("connect", () => socket.destroy());
  expect((await Promise.all(served)).map(({ status }) => status)).toEqual(Array(40).fill(200));
  await until(() => server.connections === 0);
});

/** What a client sends first. */
async function clientHello(): Promise<Buffer> {
  const listener = createServer();
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const came = new Promise<Buffer>((resolve) => listener.once("connection", (socket) => socket.once("data", resolve)));
  const { port } = listener.address() as AddressInfo;
  const socket = tlsConnect({ host: "127.0.0.1", port, ca: client.ca }).on("error", () => undefined);
  const hello = await came;
  socket.destroy();
  listener.close();
  return hello;
}

/** Connections that have said nothing, each known to the server. */
async function silentCrowd(count: number): Promise<Socket[]> {
  const crowd = Array.from({ length: count }, () => tcpConnect(server.port, "127.0.0.1").on("error", () => undefined));
  open.push(...crowd);
  await Promise.all(crowd.map((socket) => new Promise((resolve) => socket.once("connect", resolve))));
  return crowd;
}

test("of a crowd that sends all its hellos at once, each turn of the event loop answers one", async () => {
  const hello = await clientHello();
  let accepted = 0;
  await start({
    handshakes: {
      admits: () => accepted++ >= 0,
      isToBeTold: () => false,
      failed: () => undefined,
    } as unknown as HandshakeLimit,
  });
  const crowd = await silentCrowd(40);
  await until(() => accepted === crowd.length);
  // However long they have been silent.
  await Bun.sleep(200);
  let answered = 0;
  let inThisTurn = 0;
  let most = 0;
  for (const socket of crowd) {
    socket.once("data", () => {
      answered++;
      inThisTurn++;
    });
    socket.write(hello);
  }
  while (answered < crowd.length) {
    await new Promise((resolve) => setImmediate(resolve));
    most = Math.max(most, inThisTurn);
    inThisTurn = 0;
  }
  expect(most).toBe(1);
});

test("one who comes after a silent crowd is served; of the crowd who leaves is let go, and who stays is cut in time", async () => {
  const descriptors = (): number => readdirSync("/proc/self/fd").length;
  const limits = { handshakeTimeoutMs: 1_500 };
  await start({ limits });
  await call();
  const before = descriptors();
  const crowd = await silentCrowd(40);
  for (let calls = 0; calls < 5; calls++) expect((await call()).status).toBe(200);
  for (const socket of crowd.slice(0, 10)) socket.end();
  for (const socket of crowd.slice(10, 20)) socket.resetAndDestroy();
  await Promise.all(crowd.map(closed));
  await until(() => descriptors() <= before);
});

describe("a TLS server that knows its callers", () => {
  test("shows the certificate of the peer to the handler, over HTTP/1.1", async () => {
    await start();
    const one = await call(client, "hello");
    expect(JSON.parse(one.body)).toEqual({
      method: "POST",
      path: "/x",
      uris: ["spiffe://example.org/edge/edge-1"],
      body: "hello",
    });
  });

  test("reads names from the certificate itself: one that holds a comma is one name", async () => {
    await start();
    const trick = "spiffe://example.org/a,URI:spiffe://example.org/core/admin, URI:spiffe://example.org/core/admin";
    const { X509CertificateGenerator, SubjectAlternativeNameExtension, PemConverter } = await import("@peculiar/x509");
    const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
    const keys = (await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"])) as CryptoKeyPair;
    const [authorityKey] = PemConverter.decode(pki.authority.key);
    const certificate = await X509CertificateGenerator.create({
      subject: "CN=trick",
      issuer: `CN=crypto-edge CA of example.org`,
      publicKey: keys.publicKey,
      signingKey: await crypto.subtle.importKey("pkcs8", authorityKey!, algorithm, false, ["sign"]),
      signingAlgorithm: algorithm,
      notAfter: new Date(Date.now() + 3_600_000),
      extensions: [new SubjectAlternativeNameExtension([{ type: "url", value: trick }])],
    });
    const key = PemConverter.encode(await crypto.subtle.exportKey("pkcs8", keys.privateKey), "PRIVATE KEY");
    const answer = await call({ ca: client.ca, cert: certificate.toString("pem"), key });
    expect(JSON.parse(answer.body).uris).toEqual([trick]);
  });

  test("refuses callers with no certificate, one of another CA, one out of its time, and says so to its log", async () => {
    await start();
    const other = await createAuthority({ trustDomain: "example.org" });
    const stranger = await issueCertificate(other, { identity: { kind: "edge", edge: "edge-1" } });
    const bad: (ClientFiles | { ca: string })[] = [
      { ca: client.ca },
      { ca: client.ca, cert: stranger.certificate, key: stranger.key },
      await pki.edge("edge-1", { notBefore: new Date("2020-01-01"), notAfter: new Date("2021-01-01") }),
      await pki.edge("edge-1", { notBefore: new Date("2090-01-01"), notAfter: new Date("2091-01-01") }),
    ];
    for (const [index, files] of bad.entries()) {
      expect(call(files)).rejects.toThrow();
      await call(files).catch(() => undefined);
      await until(() => refusals.length >= index + 1);
    }
    expect(refusals.map(({ reason }) => reason).join("; ")).toMatch(/expired/);
  });

  test("lets callers without a certificate in where it is optional, and still none with a bad one", async () => {
    await start({ clientCertificate: "optional" });
    expect(JSON.parse((await call({ ca: client.ca })).body)).not.toHaveProperty("uris");
    expect(JSON.parse((await call()).body)).toHaveProperty("uris");
    const other = await createThrowAwayPki("example.org");
    const foreign = { ...(await other.edge("edge-1")), ca: client.ca };
    expect(call(foreign)).rejects.toThrow();
    await call(foreign).catch(() => undefined);
  });

  test("asks once more whether a verified peer is admitted", async () => {
    await start({ admit: (peer) => (peer.certificate?.uris[0]?.endsWith("edge-1") ? "it was revoked" : undefined) });
    expect(call()).rejects.toThrow();
    await call().catch(() => undefined);
    expect((await call(await pki.edge("edge-2"))).status).toBe(200);
    expect(refusals).toContainEqual(expect.objectContaining({ code: "not_admitted", reason: "it was revoked" }));
  });

  test("speaks TLS 1.3 alone unless told otherwise", async () => {
    await start();
    expect(dial({ ...base(), maxVersion: "TLSv1.2" })).rejects.toThrow();
    await dial({ ...base(), maxVersion: "TLSv1.2" }).catch(() => undefined);
    expect((await dial()).getProtocol()).toBe("TLSv1.3");
  });

  test("takes new certificates for new connections while open ones go on", async () => {
    await start();
    const kept = await dial({ ...base(), ALPNProtocols: ["http/1.1"] });
    let received = "";
    kept.on("data", (chunk: Buffer) => {
      received += chunk.toString();
    });
    kept.write("GET /1 HTTP/1.1\r\nhost: x\r\n\r\n");
    await until(() => received.includes('"/1"'));
    const next = await createThrowAwayPki("example.org");
    server.reload({ ...next.core, clientCa: next.authority.certificate });
    expect(call()).rejects.toThrow();
    await call().catch(() => undefined);
    expect((await call(await next.edge("edge-9"))).status).toBe(200);
    kept.write("GET /2 HTTP/1.1\r\nhost: x\r\n\r\n");
    await until(() => received.includes('"/2"'));
    expect(() => server.reload({ ...next.core, key: pki.core.key })).toThrow();
    expect((await call(await next.edge("edge-9"))).status).toBe(200);
  });
});

describe("limits", () => {
  test("a body that is too long is answered, declared or not, and the server goes on", async () => {
    await start({}, 1_000);
    const long = "x".repeat(100_000);
    expect(await call(client, long)).toEqual({ status: 413, body: "too large" });
    expect(await call(client, long, { headers: { "transfer-encoding": "chunked" } })).toEqual({
      status: 413,
      body: "too large",
    });
    expect((await call(client, "x".repeat(1_000))).status).toBe(200);
  });

  test("a connection that finishes no handshake, sends no request, or never ends one is cut", async () => {
    await start({ limits: { handshakeTimeoutMs: 200, idleTimeoutMs: 200, bodyTimeoutMs: 200 } });
    const mute = tcpConnect(server.port, "127.0.0.1");
    open.push(mute);
    mute.on("error", () => undefined);
    const idle = await dial();
    idle.on("error", () => undefined);
    const slowHead = await dial({ ...base(), ALPNProtocols: ["http/1.1"] });
    slowHead.on("error", () => undefined);
    slowHead.write("GET / HTTP/1.1\r\nhost:");
    const slowBody = await dial({ ...base(), ALPNProtocols: ["http/1.1"] });
    slowBody.on("error", () => undefined);
    slowBody.write("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc");
    const dripping = setInterval(() => slowHead.write("x"), 20);
    await Promise.all([mute, idle, slowHead, slowBody].map(closed));
    clearInterval(dripping);
    expect((await call()).status).toBe(200);
  });

  test("a request in flight is not idle, however long it takes", async () => {
    await start({
      limits: { idleTimeoutMs: 100, bodyTimeoutMs: 100 },
      onRequest: (_request, response) => {
        setTimeout(() => response.end("late"), 1_300);
      },
    });
    expect((await call(client, "", { method: "GET" })).body).toBe("late");
    expect((await call(client, "a body that the handler does not read")).body).toBe("late");
  });

  test("connections beyond the limit are refused, and there is room again when one goes", async () => {
    await start({ limits: { maxConnections: 2 } });
    const [one] = [await dial(), await dial()];
    await until(() => server.connections === 2);
    expect(call()).rejects.toThrow();
    await call().catch(() => undefined);
    expect(refusals).toContainEqual(expect.objectContaining({ code: "too_many_connections" }));
    one!.destroy();
    await until(() => server.connections === 1);
    expect((await call()).status).toBe(200);
  });

  test("huge headers, no HTTP at all, no TLS at all: that connection ends, the server does not", async () => {
    await start();
    const huge = await call(client, "", { headers: { "x-large": "y".repeat(100_000) } }).catch(() => undefined);
    expect(huge?.status ?? 431).not.toBe(200);
    const noise = await dial({ ...base(), ALPNProtocols: ["http/1.1"] });
    noise.on("error", () => undefined);
    noise.write("\x00\x01\x02 this is no HTTP\r\n\r\n");
    await expect(dial({ ...base(), ALPNProtocols: ["h2"] })).rejects.toThrow();
    const plain = tcpConnect(server.port, "127.0.0.1");
    open.push(plain);
    plain.on("error", () => undefined);
    plain.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    await Promise.all([noise, plain].map(closed));
    expect((await call()).status).toBe(200);
  });

  test("closing lets a request in flight finish, and takes no new ones", async () => {
    let finish: (() => void) | undefined;
    await start({
      onRequest: (_request, response) => {
        finish = () => response.end("done");
      },
    });
    const answer = call();
    await until(() => finish !== undefined);
    const stopped = server.close(5_000);
    expect(call()).rejects.toThrow();
    await call().catch(() => undefined);
    finish?.();
    expect((await answer).body).toBe("done");
    await stopped;
  });
});
