import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { request as httpsRequest } from "node:https";
import { connect, type TLSSocket } from "node:tls";
import { type ClientFiles, createThrowAwayPki } from "../../src/base/pki/throw-away.ts";
import { createCoreClient } from "../../src/edge/key-source/core/core-client.ts";
import { type CoreWorld, startCoreWorld } from "../support/core-world.ts";
import { until } from "../support/until.ts";

/** For a busy machine. */
setDefaultTimeout(30_000);

/** The protocol as bytes: what another edge, or nobody's friend, may send. */
function call(
  world: CoreWorld,
  files: ClientFiles,
  method: string,
  path: string,
  body?: string | Uint8Array,
  headers: Record<string, string> = {},
): Promise<{
  status: number;
  type: string | undefined;
  retryAfter: string | undefined;
  body: Record<string, unknown>;
}> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      {
        host: "127.0.0.1",
        port: world.core.port,
        ...files,
        agent: false,
        method,
        path,
        headers: { "content-type": "application/json", ...headers },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            type: response.headers["content-type"],
            retryAfter: response.headers["retry-after"],
            body: JSON.parse(Buffer.concat(chunks).toString() || "{}"),
          }),
        );
        response.on("error", reject);
      },
    );
    request.on("error", reject);
    request.end(body);
  });
}

const recipient = generateKeyPairSync("x25519")
  .publicKey.export({ format: "der", type: "spki" })
  .subarray(12)
  .toString("base64url");
const lease = (fields: object = {}): string =>
  JSON.stringify({ tenant: "tenant-a", service: "billing", recipient, ...fields });

describe("core-protocol.md", () => {
  test("a lease answer has the members of the page, and no others", async () => {
    await using world = await startCoreWorld({ createOnFirstUse: true });
    const edge = await world.pki.edge("edge-1");
    const { status, type, body } = await call(world, edge, "POST", "/core/v1/leases", lease());
    expect([status, type]).toEqual([200, "application/json"]);
    expect(Object.keys(body)).toEqual([
      "tenant",
      "service",
      "ttl_seconds",
      "refresh_after_seconds",
      "log",
      "revocation_seq",
      "versions",
    ]);
    expect(body).toMatchObject({ ttl_seconds: 300, refresh_after_seconds: 240, revocation_seq: 0 });
    const [version] = body.versions as Record<string, string>[];
    expect(Object.keys(version!)).toEqual(["version", "state", "enc", "sealed"]);
    expect(Buffer.from(version!.enc!, "base64url")).toHaveLength(32);
    expect(Buffer.from(version!.sealed!, "base64url")).toHaveLength(48);
    // Each call is sealed anew.
    const again = await call(world, edge, "POST", "/core/v1/leases", lease());
    expect((again.body.versions as Record<string, string>[])[0]!.enc).not.toBe(version!.enc!);
  });

  test("a lease request that is malformed says where, as a problem document; nothing is made for it", async () => {
    await using world = await startCoreWorld({ createOnFirstUse: true });
    const edge = await world.pki.edge("edge-1");
    for (const body of [
      "",
      "nonsense",
      "null",
      "[]",
      "{}",
      lease({ tenant: "../etc" }),
      lease({ tenant: "" }),
      lease({ tenant: "x".repeat(129) }),
      lease({ service: 7 }),
      lease({ version: 0 }),
      lease({ version: 2 ** 32 }),
      lease({ version: "1" }),
      lease({ recipient: "short" }),
      Buffer.from([0xff, 0xfe, 0x00]),
    ]) {
      const answer = await call(world, edge, "POST", "/core/v1/leases", body);
      expect(answer).toMatchObject({
        status: 400,
        type: "application/problem+json",
        body: { status: 400, code: "invalid_request" },
      });
    }
    expect(await world.core.admin.tenants()).toEqual([]);
    // Points of low order: the shared secret would be known to everybody.
    for (const point of [Buffer.alloc(32), Buffer.from(`01${"00".repeat(31)}`, "hex")]) {
      const answer = await call(
        world,
        edge,
        "POST",
        "/core/v1/leases",
        lease({ recipient: point.toString("base64url") }),
      );
      expect(answer).toMatchObject({ status: 400, body: { code: "invalid_request" } });
    }
    const large = await call(world, edge, "POST", "/core/v1/leases", lease({ extra: "x".repeat(10_000) }));
    expect(large).toMatchObject({ status: 413, body: { code: "too_large" } });
  });

  test("a confirmation names a place in this log and the process that confirms, and nothing else", async () => {
    await using world = await startCoreWorld({ createOnFirstUse: true });
    const edge = await world.pki.edge("edge-1");
    await call(world, edge, "POST", "/core/v1/leases", lease());
    await world.core.admin.rotate("tenant-a", "billing");
    const { log, lastSeq: seq } = world.core;
    const header = { "crypto-edge-instance": "a".repeat(64) };
    const confirm = (body: string, headers: Record<string, string> = header) =>
      call(world, edge, "POST", "/core/v1/applied", body, headers);
    for (const body of [
      "",
      "null",
      "[]",
      "{}",
      JSON.stringify({ log }),
      JSON.stringify({ seq }),
      JSON.stringify({ log, seq: -1 }),
      JSON.stringify({ log, seq: 0.5 }),
      JSON.stringify({ log, seq: "1" }),
      JSON.stringify({ log, seq: 2 ** 53 }),
      JSON.stringify({ log: "", seq }),
      JSON.stringify({ log: "../etc", seq }),
      JSON.stringify({ log, seq, edge: "edge-2" }),
      `{"log":"${log}","seq":0,"seq":1}`,
    ]) {
      expect(await confirm(body)).toMatchObject({ status: 400, body: { code: "invalid_request" } });
    }
    for (const instance of [undefined, "", "a b", "x".repeat(65)]) {
      const answer = await confirm(
        JSON.stringify({ log, seq }),
        instance === undefined ? {} : { "crypto-edge-instance": instance },
      );
      expect(answer).toMatchObject({ status: 400, body: { code: "invalid_request" } });
    }
    expect(await confirm(JSON.stringify({ log, seq, extra: "x".repeat(600) }))).toMatchObject({ status: 413 });
    for (const place of [
      { log: "other", seq },
      { log, seq: seq + 1 },
    ]) {
      expect(await confirm(JSON.stringify(place))).toMatchObject({ status: 409, body: { code: "conflict" } });
    }
    expect(await confirm(JSON.stringify({ log, seq }))).toMatchObject({ status: 200, body: {} });
    expect(await call(world, edge, "GET", "/core/v1/applied")).toMatchObject({ status: 405 });
    const administrator = await world.pki.admin();
    const answer = await call(world, administrator, "POST", "/core/v1/applied", JSON.stringify({ log, seq }), header);
    expect(answer).toMatchObject({ status: 403, body: { code: "edge_not_allowed" } });
  });

  test("an edge may confirm only so often", async () => {
    await using world = await startCoreWorld({ limits: { leasesPerSecond: 0.1 } });
    const edge = await world.pki.edge("edge-1");
    const body = JSON.stringify({ log: world.core.log, seq: 0 });
    const confirm = () => call(world, edge, "POST", "/core/v1/applied", body, { "crypto-edge-instance": "one" });
    expect(await confirm()).toMatchObject({ status: 200 });
    expect(await confirm()).toMatchObject({ status: 429, retryAfter: expect.any(String) });
  });

  test("a refusal of a revoked version names the states", async () => {
    await using world = await startCoreWorld();
    const edge = await world.pki.edge("edge-1");
    const { admin } = world.core;
    await admin.createService("tenant-a", "billing");
    await admin.revoke({ tenant: "tenant-a", service: "billing", version: 1 });
    expect(await call(world, edge, "POST", "/core/v1/leases", lease({ version: 1 }))).toMatchObject({
      status: 410,
      body: { code: "key_revoked", states: [{ version: 1, state: "compromised" }] },
    });
    expect(await call(world, edge, "POST", "/core/v1/leases", lease())).toMatchObject({
      status: 410,
      body: { code: "key_revoked" },
    });
  });

  test("who may call what: edges lease, read the stream and report; administrators administer; others nothing", async () => {
    await using world = await startCoreWorld({ createOnFirstUse: true });
    const client = async (path: string): Promise<ClientFiles> => {
      const { certificate, key } = await world.pki.issue({ identity: { kind: "client", path } });
      return { ca: world.pki.authority.certificate, cert: certificate, key };
    };
    const [edge, admin, other] = [await world.pki.edge("edge-1"), await world.pki.admin(), await client("billing/api")];
    const [nested, deeper] = [await client("ed/edge-1"), await client("cor/admin")];
    const calls = {
      lease: (files: ClientFiles) => call(world, files, "POST", "/core/v1/leases", lease()),
      usage: (files: ClientFiles) => call(world, files, "POST", "/core/v1/usage", "", { "idempotency-key": "a" }),
      keys: (files: ClientFiles) => call(world, files, "GET", "/core/v1/keys"),
      tenants: (files: ClientFiles) => call(world, files, "GET", "/core/v1/admin/tenants"),
      destroy: (files: ClientFiles) =>
        call(world, files, "POST", "/core/v1/admin/destroy", JSON.stringify({ tenant: "tenant-z" })),
    };
    const status = async (one: keyof typeof calls, files: ClientFiles) => (await calls[one](files)).status;
    expect(await status("lease", edge)).toBe(200);
    expect(await status("usage", edge)).toBe(200);
    expect(await status("tenants", admin)).toBe(200);
    expect(await status("destroy", admin)).toBe(404);
    for (const files of [edge, other, nested, deeper]) {
      expect(await calls.tenants(files)).toMatchObject({ status: 403, body: { code: "not_allowed" } });
      expect(await calls.destroy(files)).toMatchObject({ status: 403, body: { code: "not_allowed" } });
    }
    for (const files of [admin, other, nested, deeper]) {
      expect(await calls.lease(files)).toMatchObject({ status: 403, body: { code: "edge_not_allowed" } });
      expect(await calls.usage(files)).toMatchObject({ status: 403, body: { code: "edge_not_allowed" } });
    }
    for (const files of [edge, admin, other]) expect(await status("keys", files)).toBe(200);
  });

  test("a certificate of another trust domain, though of the same CA, is nobody here", async () => {
    await using world = await startCoreWorld({ createOnFirstUse: true });
    const authority = { ...world.pki.authority, trustDomain: "elsewhere.org" };
    const { issueCertificate } = await import("../../src/base/pki/authority.ts");
    for (const identity of [{ kind: "edge", edge: "edge-1" }, { kind: "core-admin" }] as const) {
      const { certificate, key } = await issueCertificate(authority, { identity });
      const files = { ca: authority.certificate, cert: certificate, key };
      expect((await call(world, files, "POST", "/core/v1/leases", lease())).status).toBe(403);
      expect((await call(world, files, "GET", "/core/v1/admin/tenants")).status).toBe(403);
    }
  });

  test("unknown paths and methods have their answers, and the Core goes on after all of it", async () => {
    await using world = await startCoreWorld({ createOnFirstUse: true });
    const edge = await world.pki.edge("edge-1");
    const admin = await world.pki.admin();
    for (const path of ["/", "/core/v2/leases", "/core/v1/leases/", "//core/v1/leases", "/core/v1/admin"]) {
      expect((await call(world, edge, "POST", path, lease())).body).toMatchObject({ code: "not_found" });
    }
    expect((await call(world, admin, "GET", "/core/v1/admin/nothing")).body).toMatchObject({ code: "not_found" });
    expect((await call(world, edge, "GET", "/core/v1/leases")).body).toMatchObject({ code: "method_not_allowed" });
    expect((await call(world, edge, "DELETE", "/core/v1/usage")).body).toMatchObject({ code: "method_not_allowed" });
    expect((await call(world, edge, "POST", "/core/v1/revocations")).body).toMatchObject({
      code: "method_not_allowed",
    });
    for (const path of ["/core/v1/admin/tenants/", "/core/v1/admin/x/../tenants", "/core/v1/admin/%74enants"]) {
      const answer = await call(world, admin, "POST", path, '{"tenant":"tenant-x"}');
      expect(answer.body).toMatchObject({ code: "not_found" });
    }
    expect(await world.core.admin.tenants()).not.toContainEqual(expect.objectContaining({ tenant: "tenant-x" }));
    expect((await call(world, edge, "POST", "/core/v1/leases", lease())).status).toBe(200);
  });

  test("what is no request of HTTP/1.1 gets an answer that says so", async () => {
    await using world = await startCoreWorld();
    const files = await world.pki.edge("edge-1");
    const answerTo = (text: string) =>
      new Promise<string>((resolve, reject) => {
        const socket = connect({ host: "127.0.0.1", port: world.core.port, servername: "localhost", ...files });
        let answer = "";
        socket.on("data", (chunk: Buffer) => {
          answer += chunk.toString("latin1");
        });
        socket.on("close", () => resolve(answer));
        socket.on("error", reject);
        socket.write(text);
      });
    for (const text of [
      "get /core/v1/keys HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET /core/v1/keys HTTP/1.1\nHost: x\n\n",
      "POST /core/v1/leases HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
      "hello\r\n\r\n",
    ]) {
      const answer = await answerTo(text);
      expect(answer).toStartWith("HTTP/1.1 400 Bad Request\r\n");
      expect(answer).toContain('"code":"invalid_request"');
    }
  });

  test("administration over the wire does what it does in process, and checks what it is given", async () => {
    await using world = await startCoreWorld();
    const admin = await world.pki.admin();
    const post = (path: string, body: object) =>
      call(world, admin, "POST", `/core/v1/admin/${path}`, JSON.stringify(body));
    const scope = { tenant: "tenant-a", service: "billing" };
    expect(await post("tenants", { tenant: "tenant-b" })).toMatchObject({ status: 201 });
    expect(await post("services", scope)).toMatchObject({ status: 201, body: { version: 1 } });
    expect(await post("services", scope)).toMatchObject({ status: 409, body: { code: "conflict" } });
    expect(await post("rotate", scope)).toMatchObject({
      status: 200,
      body: { events: [{ type: "rotate", version: 2 }] },
    });
    expect(await post("revoke", { ...scope, version: 2, reason: "lost", rotate: true })).toMatchObject({
      body: {
        events: [
          { type: "revoke", seq: 2, version: 2, reason: "lost" },
          { type: "rotate", seq: 3, version: 3 },
        ],
      },
    });
    expect(await post("restore", { ...scope, version: 2 })).toMatchObject({ body: { events: [{ type: "restore" }] } });
    expect(await post("destroy", { ...scope, version: 1 })).toMatchObject({
      body: { events: [{ state: "destroyed" }] },
    });
    for (const [path, body] of [
      ["rotate", { tenant: "tenant-a" }],
      ["revoke", { ...scope, version: "2" }],
      ["revoke", { ...scope, extra: 1 }],
      ["revoke", { ...scope, reason: "x".repeat(501) }],
      ["restore", { service: "billing" }],
      ["tenants", []],
    ] as const) {
      expect(await post(path, body)).toMatchObject({ status: 400, body: { code: "invalid_request" } });
    }
    const get = async (path: string) => (await call(world, admin, "GET", `/core/v1/admin/${path}`)).body;
    expect((await get("services?tenant=tenant-a")).services).toMatchObject([
      {
        service: "billing",
        versions: [
          { version: 1, state: "destroyed" },
          { version: 2, state: "deprecated" },
          { version: 3, state: "active" },
        ],
      },
    ]);
    expect(((await get("events?after=3")).events as unknown[]).length).toBe(2);
    expect(await get("events?after=-1")).toMatchObject({ code: "invalid_request" });
    expect(await get("usage?limit=0")).toMatchObject({ code: "invalid_request" });
  });

  test("an edge whose certificate is revoked is let in no more, and its open stream ends, once the lists are read again", async () => {
    await using world = await startCoreWorld({ createOnFirstUse: true, heartbeatMs: 20 });
    const { makeRevocationList } = await import("../../src/base/pki/authority.ts");
    const [bad, good] = [await world.pki.edge("edge-1"), await world.pki.edge("edge-1")];
    const follow = (certificates: ClientFiles) => {
      const client = createCoreClient({ url: world.core.url, certificates });
      let ended = false;
      const stop = new AbortController();
      const done = client
        .revocations(undefined, { onMessage: () => undefined }, stop.signal)
        .catch(() => undefined)
        .then(() => {
          ended = true;
          client.close();
        });
      return {
        ended: () => ended,
        stop: (): Promise<void> => {
          stop.abort();
          return done;
        },
      };
    };
    const [revoked, kept] = [follow(bad), follow(good)];
    await until(() => world.core.counters.streams === 2);
    const list = await makeRevocationList(world.pki.authority, [bad.cert]);
    await world.core.reloadCertificates({
      ...world.pki.core,
      clientCrls: [{ name: "crl.pem", bytes: Buffer.from(list) }],
    });
    await until(() => revoked.ended() && world.core.counters.streams === 1);
    expect(call(world, bad, "POST", "/core/v1/leases", lease())).rejects.toThrow();
    await call(world, bad, "POST", "/core/v1/leases", lease()).catch(() => undefined);
    expect((await call(world, good, "POST", "/core/v1/leases", lease())).status).toBe(200);
    const other = await createThrowAwayPki("example.org");
    const forged = await makeRevocationList(other.authority, []);
    expect(
      world.core.reloadCertificates({
        ...world.pki.core,
        clientCrls: [{ name: "forged.pem", bytes: Buffer.from(forged) }],
      }),
    ).rejects.toThrow("not signed by any authority");
    expect(kept.ended()).toBe(false);
    await kept.stop();
  });

  test("a stream ends with the certificate that it was opened with", async () => {
    await using world = await startCoreWorld({ heartbeatMs: 50 });
    const certificates = await world.pki.edge("edge-1", { notAfter: new Date(Date.now() + 2_000) });
    const client = createCoreClient({ url: world.core.url, certificates });
    const stream = client.revocations(undefined, { onMessage: () => undefined }, new AbortController().signal).then(
      () => "ended",
      (error: Error) => error.message,
    );
    await until(() => world.core.counters.streams === 1);
    expect(await stream).toBe("ended");
    expect(client.keys()).rejects.toThrow("this edge's certificate expired");
    await client.keys().catch(() => undefined);
    client.close();
  });

  test("an edge may hold only so many streams", async () => {
    await using world = await startCoreWorld({ heartbeatMs: 3_600_000, streamsPerEdge: 4 });
    const client = await world.client();
    const stop = new AbortController();
    const streams = Array.from({ length: 4 }, () =>
      client.revocations(undefined, { onMessage: () => undefined }, stop.signal).catch(() => undefined),
    );
    await until(() => world.core.counters.streams === 4);
    const edge = await world.pki.edge("edge-1");
    expect(await call(world, edge, "GET", "/core/v1/revocations")).toMatchObject({ status: 429, retryAfter: "5" });
    stop.abort();
    await Promise.all(streams);
    await until(() => world.core.counters.streams === 0);
  });

  test("the log says which administrator acted, by the certificate's name and number, and what came of it", async () => {
    const lines: { message: string; fields: Record<string, unknown> }[] = [];
    await using world = await startCoreWorld({
      log: (_level, message, fields) => lines.push({ message, fields: { ...fields } }),
    });
    const administrator = await world.pki.admin();
    const serial = new X509Certificate(administrator.cert).serialNumber.toLowerCase();
    const body = JSON.stringify({ tenant: "tenant-a", service: "billing" });
    for (const status of [201, 409]) {
      const path = "/core/v1/admin/services";
      const type = { "content-type": "application/json" };
      expect((await call(world, administrator, "POST", path, body, type)).status).toBe(status);
      const line = lines.findLast(({ message }) => message === "an administrator acted");
      expect(line?.fields).toMatchObject({ caller: "spiffe://example.org/core/admin", call: path, status });
      expect(String(line?.fields.serial).toLowerCase().replace(/^0+/, "")).toBe(serial.replace(/^0+/, ""));
    }
    // Looking changes nothing, and is not told.
    const before = lines.length;
    await call(world, administrator, "GET", "/core/v1/admin/status");
    expect(lines.slice(before).filter(({ message }) => message === "an administrator acted")).toEqual([]);
  });

  test("a page in a browser that holds an administrator's certificate can order nothing", async () => {
    await using world = await startCoreWorld();
    const admin = await world.pki.admin();
    const order = (headers: Record<string, string>, body = '{"tenant":"tenant-a"}') =>
      call(world, admin, "POST", "/core/v1/admin/tenants", body, headers);
    for (const headers of [
      { origin: "https://evil.example", "sec-fetch-site": "cross-site" },
      { "sec-fetch-site": "same-site" },
      { origin: "null" },
      { origin: "https://evil.example" },
    ]) {
      for (const type of ["text/plain", "application/json"]) {
        expect(await order({ ...headers, "content-type": type })).toMatchObject({
          status: 403,
          body: { code: "not_allowed" },
        });
      }
    }
    // What a page may send without asking first, and what would have to be decoded.
    for (const headers of [
      { "content-type": "text/plain" },
      { "content-type": "application/x-www-form-urlencoded" },
      { "content-type": "" },
      { "content-encoding": "gzip" },
      { "content-type": "application/json; charset=utf-16" },
    ]) {
      expect(await order(headers)).toMatchObject({ status: 400, body: { code: "invalid_request" } });
    }
    expect((await call(world, admin, "GET", "/core/v1/admin/tenants")).body).toEqual({ tenants: [] });
    expect((await order({ "content-type": "application/json; charset=utf-8" })).status).toBe(201);
  });

  test("a body with a member twice, or that is not UTF-8, is refused: of an edge and of an administrator", async () => {
    await using world = await startCoreWorld({ createOnFirstUse: true });
    const edge = await world.pki.edge("edge-1");
    const twice = lease().replace('"tenant":', '"tenant":"tenant-b","tenant":');
    for (const body of [twice, Buffer.concat([Buffer.from(lease()), Buffer.from([0xff])])]) {
      expect(await call(world, edge, "POST", "/core/v1/leases", body)).toMatchObject({
        status: 400,
        body: { code: "invalid_request" },
      });
    }
    const admin = await world.pki.admin();
    expect(await call(world, admin, "POST", "/core/v1/admin/tenants", '{"tenant":"a","tenant":"b"}')).toMatchObject({
      status: 400,
      body: { code: "invalid_request" },
    });
    expect(await world.core.admin.tenants()).toEqual([]);
  });

  test("an edge may hold only so many connections, and others are let in all the same", async () => {
    await using world = await startCoreWorld({ limits: { connections: 3 } });
    const edge = await world.pki.edge("edge-1");
    const sockets: TLSSocket[] = [];
    const open = (files: ClientFiles): Promise<TLSSocket> =>
      new Promise((resolve) => {
        const socket = connect({ host: "127.0.0.1", port: world.core.port, servername: "localhost", ...files });
        sockets.push(socket);
        socket.on("error", () => undefined);
        socket.once("secureConnect", () => resolve(socket));
      });
    for (let index = 0; index < 6; index++) await open(edge);
    await until(() => world.core.counters.connections === 3);
    expect((await call(world, await world.pki.edge("edge-2"), "GET", "/core/v1/keys")).status).toBe(200);
    for (const socket of sockets) socket.destroy();
    await until(() => world.core.counters.connections === 0);
    expect((await call(world, edge, "GET", "/core/v1/keys")).status).toBe(200);
  });
});
