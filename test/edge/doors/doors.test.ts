/** The port of the front doors in a whole edge: two tiny doors from a plugin, on every kind of listener. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { resolve } from "node:path";
import { connect as connectTls } from "node:tls";
import { ConfigurationError } from "../../../src/base/config/configuration-error.ts";
import { loadConfiguration } from "../../../src/edge/config/load-with-plugins.ts";
import { type Edge, startEdge } from "../../../src/edge/edge.ts";
import { makeAuthority } from "../../support/certificates.ts";
import { folderOf } from "../plugin-host/support.ts";

const STATIC = resolve(import.meta.dir, "../../../plugins/static");

/** `tiny` speaks text over HTTP, `lines` echoes lines of its own, `unmade` can't be made. */
const PLUGIN = `
import { OperationError, definePlugin, door, Section, SectionError, Type } from "crypto-edge/plugin";
const text = (status, body, headers = {}) => ({ status, headers: { "Content-Type": "text/plain", ...headers }, body });
const refuse = (error, head) => error instanceof OperationError
  ? text(error.status, "NO " + error.code + " " + head.method + " " + head.path)
  : text(500, "NO defect");
export default definePlugin({
  name: "doors",
  apiVersion: 1,
  doors: {
    again: door({
      transport: "http",
      configuration: Section({ path: Type.String() }),
      create: ({ path }) => ({ name: "again", transport: "http", refuse, routes: [{ methods: ["GET", "POST"], path, bodyBytesMax: 0, open: true, handle: () => text(200, "again") }] }),
    }),
    tiny: door({
      transport: "http",
      configuration: Section({ mount: Type.String({ default: "tiny" }), greeting: Type.String() }),
      create({ mount, greeting }, { operations, version }, { edgeId }) {
        return {
          name: "tiny",
          transport: "http",
          routes: [
            { methods: ["GET"], path: "/" + mount + "/hello", bodyBytesMax: 0, open: true, handle: () => text(200, greeting + " " + version + " " + edgeId) },
            { methods: ["LIST", "POST"], path: "/" + mount + "/echo/:name/*rest", bodyBytesMax: 10, handle: (request, caller, parameters) =>
              text(200, JSON.stringify({ ...parameters, method: request.method, query: request.query, body: Buffer.from(request.body).toString(), who: caller.principal.kind + ":" + caller.principal.name, door: caller.door, der: request.connection.peerCertificate?.length > 100 })) },
            { methods: ["POST"], path: "/" + mount + "/broken", bodyBytesMax: 10, handle: () => { throw new Error("a defect"); } },
            { methods: ["POST"], path: "/" + mount + "/wrap/:tenant", bodyBytesMax: 100, async handle(_request, caller, { tenant }) {
              try {
                const made = await operations.createKey(caller, { tenant, service: "billing" });
                return text(200, Buffer.from(made.wrapped).toString("hex"));
              } catch (error) { return refuse(error, _request); }
            } },
          ],
          identify(head) {
            const who = head.headers.get("x-who");
            if (who === "signed") return { kind: "unproven", load: "signed" };
            if (who !== undefined) return { kind: "proven", principal: { kind: "access_key", name: who } };
            return head.connection.peerCertificate === undefined ? { kind: "none" } : { kind: "proven", principal: { kind: "public_key", name: "k" } };
          },
          prove(request) {
            if (Buffer.from(request.body).toString() !== "sesame") throw new OperationError("unauthenticated", "no");
            return { kind: "access_key", name: "by-body" };
          },
          refuse,
        };
      },
    }),
    lines: door({
      transport: "socket",
      configuration: Section({}),
      create: () => ({
        name: "lines",
        transport: "socket",
        serve(socket, { principal, kind }, limits) {
          socket.on("data", (bytes) => {
            if (!limits.enter(bytes.length)) return socket.end("busy");
            socket.write(kind + " " + principal?.name + " " + bytes);
            limits.leave(bytes.length);
          });
        },
      }),
    }),
    unmade: door({
      transport: "http",
      configuration: Section({ list: Type.Array(Type.String(), { default: [] }) }),
      create: ({ list }) => {
        if (list.length > 1) throw new SectionError(["list", 1], "one is enough");
        throw new Error("no such thing");
      },
    }),
  },
});
`;

const authority = await makeAuthority();
const server = await authority.issue({ dns: ["localhost"], ip: ["127.0.0.1"] });
const billing = await authority.issue({ uris: ["spiffe://example.org/billing/api"] });
const stranger = await (await makeAuthority("another CA")).issue({ dns: ["stranger.example"] });

const configuration = (listeners: string, doors = "doors: { tiny: { greeting: hello } }"): string => `
edge: { id: edge-1 }
key_source: { use: static, static: { keys: [{ tenant: tenant-a, service: billing, version: 1, key: "${"ab".repeat(32)}" }] } }
${doors}
listeners:
${listeners}
policies: [{ principals: [local, "spiffe://example.org/*"], tenants: ["*"], services: ["*"], operations: [create, decrypt, rewrap] }]
plugins: [plugin.ts, "${STATIC}"]
log: { level: error }
`;

const FILES = {
  "plugin.ts": PLUGIN,
  "cert.pem": server.certificate,
  "key.pem": server.key,
  "ca.pem": authority.certificate,
};
const TLS = "cert: cert.pem, key: key.pem";
const folder = folderOf({
  ...FILES,
  "edge.yaml": configuration(`
  - { http: "127.0.0.1:0", principal: local, doors: [native, tiny] }
  - { https: "127.0.0.1:0", ${TLS}, client_ca: ca.pem, doors: [tiny], tiny: { mount: other, greeting: bonjour } }
  - { https: "127.0.0.1:0", ${TLS}, client_certificates: any, doors: [tiny] }
  - { tls: "127.0.0.1:0", ${TLS}, client_ca: ca.pem, min_tls: "1.2", doors: [lines] }
  - { unix: lines.sock, principal: local, doors: [lines] }`),
});

let edge: Edge;
const address = (index: number): string => edge.addresses[index]!;
beforeAll(async () => {
  edge = await startEdge(await loadConfiguration(`${folder.path}/edge.yaml`));
});
afterAll(async () => {
  await edge.close();
  folder[Symbol.dispose]();
});

async function ask(url: string, init: RequestInit = {}, client?: { certificate: string; key: string }) {
  const tls = { ca: authority.certificate, ...(client && { cert: client.certificate, key: client.key }) };
  const response = await fetch(url, { ...init, keepalive: false, tls } as RequestInit);
  return { status: response.status, body: await response.text(), headers: response.headers };
}

/** One request as it is written, over plain TCP. */
function raw(port: number, request: string): Promise<string> {
  return new Promise((done, failed) => {
    let came = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(request));
    socket.setEncoding("latin1");
    socket.on("data", (text) => {
      came += text;
    });
    socket.on("close", () => done(came));
    socket.on("error", failed);
  });
}

describe("HTTP doors", () => {
  test("of several on one listener each answers on its own paths", async () => {
    expect((await ask(`${address(0)}/tiny/hello`)).body).toMatch(/^hello .* edge-1$/);
    const made = await ask(`${address(0)}/v1/keys/create`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"tenant":"tenant-a","service":"billing"}',
    });
    expect(made.status).toBe(201);
    const wrapped = await ask(`${address(0)}/tiny/wrap/tenant-a`, { method: "POST" });
    expect(wrapped.body).toStartWith("4c34");
  });

  test("get method, path and query as they were sent", async () => {
    const port = Number(new URL(address(0)).port);
    const answer = await raw(
      port,
      "LIST /tiny/echo/a%2Fb/x/../%79?q=%20 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    expect(answer).toContain("HTTP/1.1 200 OK\r\n");
    expect(answer).toContain("\r\nContent-Length: ");
    expect(JSON.parse(answer.split("\r\n\r\n")[1]!)).toEqual({
      name: "a%2Fb",
      rest: "x/../%79",
      method: "LIST",
      query: "q=%20",
      body: "",
      who: "listener:local",
      door: "tiny",
      der: false,
    });
    const head = await raw(port, "HEAD /tiny/hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    expect(head).toStartWith("HTTP/1.1 200 OK");
    expect(head).toEndWith("\r\n\r\n");
  });

  test("are refused in their own words", async () => {
    const post = (path: string, body: string, headers = {}) =>
      ask(`${address(1)}${path}`, { method: "POST", body, headers }, billing);
    expect(await post("/other/echo/a/", "01234567890")).toMatchObject({
      status: 413,
      body: "NO too_large POST /other/echo/a/",
    });
    expect(await post("/other/nothing", "")).toMatchObject({ status: 404, body: "NO not_found POST /other/nothing" });
    const wrong = await post("/other/hello", "");
    expect(wrong).toMatchObject({ status: 405, body: "NO method_not_allowed POST /other/hello" });
    expect(wrong.headers.get("allow")).toBe("GET");
    expect(await post("/other/broken", "")).toMatchObject({ status: 500, body: "NO defect" });
    expect(await post("/other/wrap/tenant-x", "")).toMatchObject({ status: 404 });
    // Of a path that nobody has, the door that comes nearest says so.
    expect((await ask(`${address(0)}/tiny/nothing`)).body).toBe("NO not_found GET /tiny/nothing");
    const native = await ask(`${address(0)}/v1/keys/nothing`);
    expect(JSON.parse(native.body)).toMatchObject({ code: "not_found" });
    expect((await ask(`${address(0)}/tiny/hello`, { method: "DELETE" })).body).toBe(
      "NO method_not_allowed DELETE /tiny/hello",
    );
  });

  test("know a client certificate, verified or not, and ask the door where there is none that names", async () => {
    const echo = (index: number, path: string, client?: typeof billing, headers = {}, body = "") =>
      ask(`${address(index)}${path}`, { method: "POST", headers, body }, client);
    const verified = await echo(1, "/other/echo/a/", billing, { "x-who": "nobody asks" });
    expect(JSON.parse(verified.body)).toMatchObject({ who: "spiffe:spiffe://example.org/billing/api", der: true });
    await expect(echo(1, "/other/hello", stranger)).rejects.toThrow();

    const any = await echo(2, "/tiny/echo/a/", stranger);
    expect(JSON.parse(any.body)).toMatchObject({ who: "public_key:k", der: true });
    expect(await echo(2, "/tiny/echo/a/")).toMatchObject({
      status: 401,
      body: "NO unauthenticated POST /tiny/echo/a/",
    });
    expect(await ask(`${address(2)}/tiny/hello`)).toMatchObject({ status: 200 });
    expect(JSON.parse((await echo(2, "/tiny/echo/a/", undefined, { "x-who": "AKIA" })).body)).toMatchObject({
      who: "access_key:AKIA",
    });
    const signed = { "x-who": "signed" };
    expect(await echo(2, "/tiny/echo/a/", undefined, signed, "no")).toMatchObject({ status: 401 });
    expect(JSON.parse((await echo(2, "/tiny/echo/a/", undefined, signed, "sesame")).body)).toMatchObject({
      who: "access_key:by-body",
    });
  });
});

describe("a door with a protocol of its own", () => {
  const said = (socket: ReturnType<typeof connect>, text: string): Promise<string> =>
    new Promise((done, failed) => {
      socket.on("error", failed);
      socket.once("data", (bytes) => {
        socket.destroy();
        done(String(bytes));
      });
      socket.write(text);
    });

  test("has a Unix socket to itself", async () => {
    expect(await said(connect(`${folder.path}/lines.sock`), "hi")).toBe("unix local hi");
  });

  test("has TLS with a client certificate, of the version that was asked for", async () => {
    const { hostname: host, port } = new URL(address(3));
    const options = {
      host,
      port: Number(port),
      ca: authority.certificate,
      cert: billing.certificate,
      key: billing.key,
    };
    expect(address(3)).toStartWith("tls://127.0.0.1:");
    expect(await said(connectTls({ ...options, maxVersion: "TLSv1.2" }), "hi")).toBe(
      "tls spiffe://example.org/billing/api hi",
    );
  });
});

describe("a configuration", () => {
  const mistakes = async (listeners: string, doors?: string): Promise<string> => {
    using other = folderOf({ ...FILES, "edge.yaml": configuration(listeners, doors) });
    try {
      const started = await startEdge(await loadConfiguration(`${other.path}/edge.yaml`));
      await started.close();
      return "none";
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error;
      return error.message.replaceAll(`${other.path}/`, "");
    }
  };
  const HTTP = '  - { http: "127.0.0.1:0", principal: local, doors: ';

  test("whose doors want the same paths is told so, with the line", async () => {
    const both = (path: string) =>
      mistakes(`${HTTP}[tiny, again] }`, `doors: { tiny: { greeting: hi }, again: { path: "${path}" } }`);
    for (const path of ["/tiny/hello", "/tiny/:any", "/:any/hello", "/*all", "/tiny/echo/a/b"]) {
      expect(await both(path)).toMatch(
        /^edge.yaml:6:\d+: listeners\[0\].doors: the doors tiny .* and again .* take the same/,
      );
    }
    for (const path of ["/tiny", "/tiny/hello/", "/tiny/echo", "/other/*all"]) expect(await both(path)).toBe("none");
    const beside = (path: string) => mistakes(`${HTTP}[again, native] }`, `doors: { again: { path: "${path}" } }`);
    expect(await beside("/v1/:any/create")).toContain("the doors again (/v1/:any/create) and native (/v1/keys/create)");
    expect(await beside("/v2/keys/create")).toBe("none");
    expect(await mistakes(`${HTTP}[tiny, tiny] }`)).toContain("listeners[0].doors: names a door twice");
  });

  test("that names a door without its section, or one that there is not, is told what to write", async () => {
    expect(await mistakes(`${HTTP}[tiny] }`, "")).toContain('"tiny" needs its section: write "doors: { tiny: { … } }"');
    expect(await mistakes(`${HTTP}[tinny] }`)).toContain("edge.yaml:6:");
    expect(await mistakes(`${HTTP}[lines] }`)).toContain("listeners[0].doors[0]: expected one of native, ");
    expect(await mistakes("  - { unix: a.sock, principal: local, doors: [native, lines] }")).toContain(
      '"lines" has a protocol of its own: give it a listener to itself',
    );
    expect(await mistakes(`${HTTP}[tiny], tiny: { greting: a } }`)).toContain('did you mean "greeting"?');
    expect(await mistakes(`  - { https: "127.0.0.1:0", ${TLS}, doors: [tiny] }`)).toContain(
      '"client_ca" names who signs',
    );
  });

  test("whose door can't be made is told so at the door's section", async () => {
    expect(await mistakes(`${HTTP}[unmade] }`, "doors: { unmade: { list: [a, b] } }")).toContain(
      "edge.yaml:4:30: doors.unmade.list[1]: one is enough",
    );
    expect(await mistakes(`${HTTP}[unmade] }`)).toContain("doors.unmade: no such thing");
    // A door that no listener names is not made.
    expect(await mistakes(`${HTTP}[native] }`, "doors: { unmade: { list: [a, b] } }")).toBe("none");
  });
});

test("the code of a built-in door is loaded by the listener that names it, and not before", async () => {
  const loadedBy = (doors: string): string[] => {
    const src = resolve(import.meta.dir, "../../../src");
    const program = `
      import { resolve } from "node:path";
      import "${src}/sdk/plugin/provide.ts";
      import { loadConfiguration } from "${src}/edge/config/load-with-plugins.ts";
      import { startEdge } from "${src}/edge/edge.ts";
      const edge = await startEdge(await loadConfiguration(resolve(import.meta.dir, "edge.yaml")));
      console.log(Object.keys(require.cache).filter((name) => /edge.doors.*.door\\.ts$/.test(name)).join("\\n"));
      await edge.close();
      process.exit();`;
    using other = folderOf({
      ...FILES,
      "edge.yaml": configuration(`  - { http: "127.0.0.1:0", principal: local, doors: ${doors} }`),
      "main.ts": program,
    });
    const run = Bun.spawnSync([process.execPath, `${other.path}/main.ts`], { stdout: "pipe", stderr: "pipe" });
    const { stdout, stderr } = run;
    const names = [...stdout.toString().matchAll(/doors\/([a-z-]+)\/door\.ts/g)].map(([, name]) => name!);
    if (names.length === 0) throw new Error(stderr.toString());
    return names.sort();
  };
  expect(loadedBy("[native]")).toEqual(["native"]);
  expect(loadedBy("[native, aws-kms]")).toEqual(["aws-kms", "native"]);
}, 300_000);
