/** An edge and a Core that may open few files: real processes, each of their listeners flooded with connections that say nothing. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent, type RequestOptions, request as requestHttp } from "node:http";
import { request as requestHttps, Agent as TlsAgent } from "node:https";
import { connect, type NetConnectOpts, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeAuthority } from "../support/certificates.ts";
import { freePort } from "../support/free-port.ts";
import { eventually } from "../support/until.ts";

setDefaultTimeout(300_000);

const MAIN = join(import.meta.dir, "../../src/main.ts");
const LIMIT = 64;
const FLOOD = 150;
/** Of processor time, while connections wait or are turned away. A listener that is called again and again takes all of it. */
const BUSY_PART_MAX = 0.25;
const WATCHED_MS = 4_000;

const ended: (() => void)[] = [];
afterEach(() => {
  for (const end of ended.splice(0).reverse()) end();
});

function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "descriptor-limit-"));
  ended.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

interface Limited {
  readonly child: ChildProcess;
  log(): string;
  /** Lines of the log that say so. */
  count(text: string): number;
  processorMs(): number;
}

async function startLimited(folder: string, args: readonly string[], ready: string): Promise<Limited> {
  const file = join(folder, "log");
  const descriptor = openSync(file, "w");
  const child = spawn("sh", ["-c", `ulimit -n ${LIMIT}; exec "$0" "$@"`, process.execPath, MAIN, ...args], {
    cwd: folder,
    stdio: ["ignore", descriptor, descriptor],
  });
  closeSync(descriptor);
  ended.push(() => child.kill("SIGKILL"));
  const log = (): string => readFileSync(file, "utf8");
  await eventually(() => log().includes(ready) || child.exitCode !== null, "the process being ready");
  expect([child.exitCode, log().includes(ready)]).toEqual([null, true]);
  return {
    child,
    log,
    count: (text) => log().split(text).length - 1,
    processorMs() {
      const [user, system] = readFileSync(`/proc/${child.pid}/stat`, "latin1").split(") ")[1]!.split(" ").slice(11, 13);
      return (Number(user) + Number(system)) * 10;
    },
  };
}

async function flood(where: NetConnectOpts): Promise<Socket[]> {
  const sockets = Array.from({ length: FLOOD }, () => connect(where).on("error", () => undefined));
  await eventually(() => sockets.every((socket) => !socket.connecting), "the connections being made or refused");
  return sockets;
}

/** The status, or the error's code. */
function call(request: typeof requestHttp, options: RequestOptions, body = ""): Promise<number | string> {
  return new Promise((resolve) => {
    const headers = { host: "localhost", "content-type": "application/json", "content-length": body.length };
    const sent = request({ ...options, headers, timeout: 60_000 }, (response) => {
      response.resume().on("end", () => resolve(response.statusCode ?? -1));
    });
    sent.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "failed"));
    sent.on("timeout", () => sent.destroy());
    sent.end(body);
  });
}

/** Floods it, and expects one warning, little work, and service on `kept` meanwhile; then all of it back by itself. */
async function expectHeldLimit(
  limited: Limited,
  where: NetConnectOpts,
  kept: () => Promise<number | string>,
  anew: () => Promise<number | string>,
): Promise<void> {
  const good = await kept();
  const warned = limited.count("no file descriptors are left");
  const again = limited.count("there are file descriptors again");
  const sockets = await flood(where);
  await eventually(() => limited.count("no file descriptors are left") > warned, "the warning");
  const beforeMs = limited.processorMs();
  await Bun.sleep(WATCHED_MS);
  expect(limited.processorMs() - beforeMs).toBeLessThan(WATCHED_MS * BUSY_PART_MAX);
  expect(await kept()).toBe(good);
  for (const socket of sockets) socket.destroy();
  await eventually(() => limited.count("there are file descriptors again") > again, "the room being told");
  let answer: number | string = "";
  await eventually(async () => {
    answer = await anew();
    return answer === good;
  }, "new connections being served");
  expect(limited.count("no file descriptors are left")).toBe(warned + 1);
  expect(limited.log()).toContain(`"limit":${LIMIT}`);
  expect(limited.child.exitCode).toBeNull();
}

test("an edge at its limit of descriptors serves those it has, turns the others away without spinning, and comes back by itself", async () => {
  const folder = makeFolder();
  const authority = await makeAuthority();
  const server = await authority.issue({ dns: ["localhost"], ip: ["127.0.0.1"] });
  writeFileSync(join(folder, "cert.pem"), server.certificate);
  writeFileSync(join(folder, "key.pem"), server.key);
  writeFileSync(join(folder, "ca.pem"), authority.certificate);
  writeFileSync(
    join(folder, "edge.yaml"),
    `edge: { id: few }
key_source: { use: static, static: { keys: [{ tenant: a, service: b, version: 1, state: active, key: "${"ab".repeat(32)}" }] } }
plugins: ["${join(import.meta.dir, "../../plugins/static")}"]
listeners:
  - { http: "127.0.0.1:0", principal: local }
  - { unix: edge.sock, mode: "0600", principal: local }
  - { https: "127.0.0.1:0", cert: cert.pem, key: key.pem, client_ca: ca.pem }
  - { unix: kmip.sock, mode: "0600", principal: local, doors: [kmip] }
doors: { kmip: { tenant: a, service: b } }
policies: [{ principals: [local], tenants: ["*"], services: ["*"], operations: [create] }]
audit: { operations: all, file: { path: audit.jsonl } }
key_memory: { dumpable: true }
`,
  );
  const edge = await startLimited(folder, ["serve", "--config", "edge.yaml"], '"ready"');
  const line = edge
    .log()
    .split("\n")
    .find((each) => each.includes('"ready"'))!;
  const ports = (JSON.parse(line) as { addresses: string[] }).addresses.map((address) => Number(new URL(address).port));
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const create = (options: RequestOptions) =>
    call(requestHttp, { method: "POST", path: "/v1/keys/create", ...options }, '{"tenant":"a","service":"b"}');
  const kept = () => create({ agent, host: "127.0.0.1", port: ports[0] });
  expect(await kept()).toBe(201);
  for (const where of [
    { host: "127.0.0.1", port: ports[0]! },
    { path: join(folder, "edge.sock") },
    { host: "127.0.0.1", port: ports[2]! },
    { path: join(folder, "kmip.sock") },
  ]) {
    await expectHeldLimit(edge, where, kept, () => create({ agent: false, socketPath: join(folder, "edge.sock") }));
  }
});

test("a Core at its limit of descriptors likewise, and its events can be committed meanwhile", async () => {
  const folder = makeFolder();
  for (const args of [
    ["init", "--trust-domain", "example.org"],
    ["core", "--ip", "127.0.0.1", "--dns", "localhost"],
    ["core", "--admin"],
  ]) {
    const { exitCode, stderr } = Bun.spawnSync([process.execPath, MAIN, "pki", ...args], { cwd: folder });
    expect([exitCode, stderr.toString()]).toEqual([0, ""]);
  }
  writeFileSync(join(folder, "master.key"), crypto.getRandomValues(new Uint8Array(32)), { mode: 0o600 });
  const [port, watchPort] = [await freePort(), await freePort()];
  writeFileSync(
    join(folder, "core.yaml"),
    `listen: "127.0.0.1:${port}"
database: core.db
master_key: { file: master.key }
tls: { cert: pki/core.pem, key: pki/core.key, client_ca: pki/ca.pem }
allow: [{ edges: ["*"], tenants: ["*"], services: ["*"] }]
metrics: { listen: "127.0.0.1:${watchPort}" }
`,
  );
  const core = await startLimited(folder, ["core", "serve", "--config", "core.yaml"], "ready on");
  const read = (name: string): string => readFileSync(join(folder, "pki", name), "utf8");
  const tls = { ca: read("ca.pem"), cert: read("core-admin.pem"), key: read("core-admin.key") };
  const agent = new TlsAgent({ keepAlive: true, maxSockets: 1, ...tls });
  let made = 0;
  const create = (options: object) =>
    call(
      requestHttps,
      {
        method: "POST",
        path: "/core/v1/admin/services",
        host: "127.0.0.1",
        port,
        ...tls,
        ...options,
      } as RequestOptions,
      JSON.stringify({ tenant: "tenant-a", service: `service-${made++}` }),
    );
  expect(await create({ agent })).toBe(201);
  for (const where of [port, watchPort]) {
    await expectHeldLimit(
      core,
      { host: "127.0.0.1", port: where },
      () => create({ agent }),
      () => create({ agent: false }),
    );
  }
});
