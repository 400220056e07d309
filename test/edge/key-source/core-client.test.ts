import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createServer, type Socket } from "node:net";
import { startTlsServer, type TlsServer } from "../../../src/base/network/tls/server.ts";
import { createAuthority } from "../../../src/base/pki/authority.ts";
import { type ClientFiles, createThrowAwayPki, type ThrowAwayPki } from "../../../src/base/pki/throw-away.ts";
import { createSealer } from "../../../src/core/hpke.ts";
import { type HttpRequest, type HttpResponse, readBody, speakNodeHttp } from "../../../src/core/node-http.ts";
import { createCoreClient } from "../../../src/edge/key-source/core/core-client.ts";
import { createCoreKeySource } from "../../../src/edge/key-source/core/core-key-source.ts";
import { KeySourceError } from "../../../src/edge/key-source/key-source.ts";
import { startCoreWorld } from "../../support/core-world.ts";
import { until } from "../../support/until.ts";

/** For a busy machine. */
setDefaultTimeout(30_000);

const request = { tenant: "tenant-a", service: "billing" };
const past = { notBefore: new Date("2020-01-01"), notAfter: new Date("2021-01-01") };
const future = { notBefore: new Date("2090-01-01"), notAfter: new Date("2091-01-01") };

let pki: ThrowAwayPki;
let edge: ClientFiles;
const servers: TlsServer[] = [];

beforeAll(async () => {
  pki = await createThrowAwayPki("example.org");
  edge = await pki.edge("edge-1");
});
afterAll(async () => {
  for (const server of servers) await server.close();
});

/** A peer that answers as a test says. */
async function fake(
  onRequest: (request: HttpRequest, response: HttpResponse) => void | Promise<void>,
  certificates = pki.core,
): Promise<string> {
  const onConnection = speakNodeHttp({ onRequest });
  const server = await startTlsServer({ hostname: "127.0.0.1", port: 0, certificates, onConnection });
  servers.push(server);
  return `https://127.0.0.1:${server.port}`;
}

async function refusal(
  url: string,
  options: { certificates?: ClientFiles; timeoutMs?: number; version?: number; signal?: AbortSignal } = {},
): Promise<KeySourceError> {
  const { certificates = edge, timeoutMs = 5_000, version, signal } = options;
  const client = createCoreClient({ url, certificates, timeoutMs });
  try {
    await client.lease({ ...request, ...(version === undefined ? {} : { version }) }, signal);
  } catch (error) {
    if (error instanceof KeySourceError) return error;
    throw new Error(`not a KeySourceError: ${String(error)}`);
  } finally {
    client.close();
  }
  throw new Error("the lease was given");
}

describe("a certificate that is not right is named, with the reason and the remedy", () => {
  const never = (): never => {
    throw new Error("a request got through");
  };
  const coreWith = async (validity: object, names: { dns?: string[]; ip?: string[] } = { ip: ["127.0.0.1"] }) => {
    const { certificate, key } = await pki.issue({ identity: { kind: "core" }, ...names, ...validity });
    return fake(never, { ...pki.core, cert: certificate, key });
  };

  test("the Core's has expired", async () => {
    const error = await refusal(await coreWith(past));
    expect(error.code).toBe("unavailable");
    expect(error.message).toMatch(
      /^the certificate of the Core at https:\/\/127\.0\.0\.1:\d+ has expired: renew it there/,
    );
  });

  test("the Core's is not valid yet", async () => {
    expect((await refusal(await coreWith(future))).message).toContain("is not valid yet: check both machines' clocks");
  });

  test("the Core's is of another CA", async () => {
    const other = await createAuthority({ trustDomain: "example.org" });
    const error = await refusal(await fake(never), { certificates: { ...edge, ca: other.certificate } });
    expect(error.message).toContain("was not issued by the configured CA");
  });

  test("the Core's is for another name", async () => {
    const error = await refusal(await coreWith({}, { dns: ["other.example"] }));
    expect(error.message).toContain("was not made for the name 127.0.0.1, but for");
    expect(error.message).toContain("other.example");
  });

  test("the Core's is for the name that was configured, though the URL has another", async () => {
    const url = await coreWith({}, { dns: ["core.example"] });
    const client = createCoreClient({ url, certificates: edge, serverName: "core.example", timeoutMs: 2_000 });
    const error = (await client.lease(request).catch((thrown: unknown) => thrown)) as KeySourceError;
    client.close();
    // The handshake succeeds; what fails is this fake's handler.
    expect(error.message).not.toContain("was not made for the name");
  });

  test("the edge's own has expired, or is not valid yet", async () => {
    const url = await fake(never);
    const expired = await refusal(url, { certificates: await pki.edge("edge-1", past) });
    expect(expired.message).toMatch(/^this edge's certificate expired on 2021-01-01T00:00:00.000Z: issue a new one/);
    const early = await refusal(url, { certificates: await pki.edge("edge-1", future) });
    expect(early.message).toMatch(/^this edge's certificate is not valid before 2090-01-01/);
  });

  test("the edge's own is of another CA", async () => {
    const other = await createThrowAwayPki("example.org");
    const foreign = await other.edge("edge-1");
    const error = await refusal(await fake(never), { certificates: { ...foreign, ca: edge.ca } });
    expect(error.message).toContain("it may not accept this edge's certificate: it was issued by");
  });

  test("the edge's own is no certificate, or its key another's: at once, not at the first call", async () => {
    const other = await pki.edge("edge-2");
    const make = (certificates: ClientFiles) => () => createCoreClient({ url: "https://127.0.0.1:1", certificates });
    expect(make({ ...edge, cert: "nonsense" })).toThrow("the client's certificate is not a PEM certificate");
    expect(make({ ...edge, ca: "" })).toThrow("the CA certificate is not a PEM certificate");
    expect(make({ ...edge, key: "nonsense" })).toThrow("is not a PEM private key");
    expect(make({ ...edge, key: other.key })).toThrow("does not belong to its certificate");
  });

  test("the edge's own has no role that the Core gives leases to", async () => {
    await using world = await startCoreWorld({ createOnFirstUse: true });
    const admin = await world.pki.admin();
    expect(await refusal(world.core.url, { certificates: admin })).toMatchObject({ code: "edge_not_allowed" });
  });
});

describe("a peer that is not a Core, or a bad one", () => {
  const answer = (status: number, body: string | Uint8Array, headers: Record<string, string> = {}) =>
    fake((_request, response) => {
      response.statusCode = status;
      for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
      response.end(body);
    });

  test("nothing listens", async () => {
    expect((await refusal("https://127.0.0.1:9")).message).toContain("can't be reached (nothing listens there)");
  });

  test("it does not speak TLS, or says nothing at all", async () => {
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      sockets.push(socket);
      socket.on("error", () => undefined);
      socket.once("data", () => socket.write("HTTP/1.1 400 Bad Request\r\n\r\n"));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    expect((await refusal(`https://127.0.0.1:${port}`, { timeoutMs: 1_000 })).code).toBe("unavailable");
    server.removeAllListeners("connection");
    server.on("connection", (socket: Socket) => sockets.push(socket));
    expect((await refusal(`https://127.0.0.1:${port}`, { timeoutMs: 100 })).message).toContain(
      "did not answer within 100 ms",
    );
    for (const socket of sockets) socket.destroy();
    server.close();
  });

  test("garbage, nothing, too much, or answers of another shape", async () => {
    for (const [status, body, says] of [
      [200, "<html>hello</html>", "not JSON"],
      [200, "", "not JSON"],
      [200, "{}", "malformed lease"],
      [200, "[]", "malformed lease"],
      [200, new Uint8Array(300_000), "too large"],
      [302, "", "answered 302"],
      [404, "not found", "answered 404"],
      [500, "{}", "answered 500"],
    ] as const) {
      const error = await refusal(await answer(status, body));
      expect(error).toMatchObject({ code: "unavailable" });
      expect(error.message).toContain(says);
    }
  });

  test("problems that are not the protocol's are no authoritative answers", async () => {
    const problem = (status: number, code: string) => answer(status, JSON.stringify({ code, detail: "no" }));
    expect((await refusal(await problem(404, "key_not_found"))).code).toBe("key_not_found");
    expect((await refusal(await problem(410, "key_revoked"))).code).toBe("key_revoked");
    expect((await refusal(await problem(403, "edge_not_allowed"))).code).toBe("edge_not_allowed");
    for (const [status, code] of [
      [404, "other"],
      [500, "key_not_found"],
      [200, "key_revoked"],
    ] as const) {
      expect((await refusal(await problem(status, code))).code).toBe("unavailable");
    }
  });

  test("its wish when to come back is heard, within reason", async () => {
    const after = async (value: string) =>
      (await refusal(await answer(503, '{"code":"unavailable"}', { "retry-after": value }))).retryAfterMs;
    expect(await after("7")).toBe(7_000);
    expect(await after("999999999")).toBe(3_600_000);
    expect(await after("soon")).toBeUndefined();
    expect(await after(new Date(Date.now() + 60_000).toUTCString())).toBeWithin(1_000, 61_000);
  });

  test("a detail of many lines and much text becomes one short line", async () => {
    const error = await refusal(
      await answer(503, JSON.stringify({ code: "x", detail: `a\n\u001b[31mb${"c".repeat(9_999)}` })),
    );
    for (const control of ["\n", "\u001b"]) expect(error.message).not.toContain(control);
    expect(error.message.length).toBeLessThan(500);
  });

  test("a lease for another tenant, other versions, two active ones, or sealed for someone else", async () => {
    const sealer = createSealer("crypto-edge lease v1");
    const lie = async (
      change: (lease: Record<string, unknown>, seal: (aad: string) => object) => void,
      version?: number,
    ) => {
      const url = await fake(async (incoming, response) => {
        const asked = JSON.parse((await readBody(incoming, 10_000)).toString()) as { recipient: string };
        const seal = (aad: string) => {
          const { enc, sealed } = sealer.seal(
            Buffer.from(asked.recipient, "base64url"),
            new Uint8Array(32),
            Buffer.from(aad),
          );
          return { enc: Buffer.from(enc).toString("base64url"), sealed: Buffer.from(sealed).toString("base64url") };
        };
        const lease = {
          ...request,
          ttl_seconds: 300,
          refresh_after_seconds: 240,
          log: "abc",
          revocation_seq: 0,
          versions: [{ version: 1, state: "active", ...seal("tenant-a/billing/1") }],
        };
        change(lease, seal);
        response.end(JSON.stringify(lease));
      });
      return (await refusal(url, version === undefined ? {} : { version })).message;
    };
    expect(await lie((lease) => Object.assign(lease, { tenant: "tenant-b" }))).toContain("another tenant or service");
    expect(await lie((lease) => Object.assign(lease, { versions: [] }))).toContain("malformed lease");
    expect(await lie((lease) => Object.assign(lease, { ttl_seconds: 0 }))).toContain("malformed lease");
    expect(
      await lie((lease, seal) =>
        Object.assign(lease, {
          versions: [1, 2].map((version) => ({ version, state: "active", ...seal(`tenant-a/billing/${version}`) })),
        }),
      ),
    ).toContain("contradict");
    expect(
      await lie((lease, seal) =>
        Object.assign(lease, { versions: [{ version: 1, state: "deprecated", ...seal("tenant-a/billing/1") }] }),
      ),
    ).toContain("other versions than were asked for");
    expect(await lie(() => undefined, 2)).toContain("other versions than were asked for");
    for (const aad of ["tenant-b/billing/1", "tenant-a/billing/2"]) {
      expect(
        await lie((lease, seal) => Object.assign(lease, { versions: [{ version: 1, state: "active", ...seal(aad) }] })),
      ).toContain("does not open");
    }
  });

  test("one that is slow, at the head or in the body, is given up in time", async () => {
    const silent = await fake(() => undefined);
    expect((await refusal(silent, { timeoutMs: 100 })).message).toContain("did not answer within 100 ms");
    const dripping = await fake((_request, response) => {
      response.statusCode = 200;
      (response as { write(text: string): void }).write("{");
    });
    expect((await refusal(dripping, { timeoutMs: 300 })).message).toContain("too slow to finish its answer");
    const signal = AbortSignal.timeout(50);
    expect((await refusal(silent, { signal })).message).toContain("given up");
  });

  test("an event stream that is none, or whose event never ends, is given up", async () => {
    const noStream = await answer(200, "hello", { "content-type": "text/plain" });
    const endless = await fake((_request, response) => {
      response.setHeader("content-type", "text/event-stream");
      (response as { write(text: string): void }).write(`data: ${"x".repeat(200_000)}`);
    });
    for (const [url, says] of [
      [noStream, "no event stream"],
      [endless, "too large"],
    ] as const) {
      const client = createCoreClient({ url, certificates: edge });
      const failed = client.revocations(undefined, { onMessage: () => undefined }, new AbortController().signal);
      expect(failed).rejects.toThrow(says);
      await failed.catch(() => undefined);
      client.close();
    }
  });
});

describe("the connection to the Core", () => {
  test("is kept: a hundred calls one after the other make one", async () => {
    await using world = await startCoreWorld({ createOnFirstUse: true });
    const client = await world.client();
    for (let index = 0; index < 100; index++) await client.lease({ tenant: `tenant-${index}`, service: "billing" });
    expect(world.core.counters.connections).toBe(1);
  });

  test("is made anew when the Core was restarted meanwhile: no call fails for it", async () => {
    const first = await startCoreWorld({ createOnFirstUse: true });
    const client = createCoreClient({ url: first.core.url, certificates: await first.pki.edge("edge-1") });
    await client.lease(request);
    const { port } = first.core;
    await first[Symbol.asyncDispose]();
    await using again = await startCoreWorld({ ...first.options, listen: { hostname: "127.0.0.1", port } });
    await client.lease(request);
    client.close();
    expect(again.core.counters.leaseCalls).toBe(1);
  });

  test("uses new certificates after a reload, while a stream opened before goes on", async () => {
    await using world = await startCoreWorld({ createOnFirstUse: true, heartbeatMs: 10 });
    const client = await world.client("edge-1");
    let beats = 0;
    const stop = new AbortController();
    const stream = client.revocations(undefined, { onMessage: () => beats++ }, stop.signal).catch(() => undefined);
    await client.lease(request);
    client.reload(await world.pki.edge("edge-renewed"));
    await client.lease(request);
    expect((await world.core.admin.edges()).map((one) => one.edge)).toEqual(["edge-1", "edge-renewed"]);
    expect(() => client.reload({ ca: "", cert: "", key: "" })).toThrow("is not a PEM certificate");
    await client.lease(request);
    const before = beats;
    await until(() => beats > before + 3);
    stop.abort();
    await stream;
  });

  test("closed, lets calls in flight and later ones reject", async () => {
    const url = await fake(() => undefined);
    const source = createCoreKeySource(createCoreClient({ url, certificates: edge }));
    const inFlight = source.lease(request, new AbortController().signal);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await source.close();
    await source.close();
    expect(inFlight).rejects.toMatchObject({ code: "unavailable" });
    expect(source.lease(request, new AbortController().signal)).rejects.toMatchObject({ code: "unavailable" });
    await inFlight.catch(() => undefined);
  });

  test("is to an https URL with nothing but host and port", () => {
    for (const url of ["http://core:1", "core", "https://core/path", "https://user@core", "https://core?x"]) {
      expect(() => createCoreClient({ url, certificates: edge })).toThrow();
    }
  });
});
