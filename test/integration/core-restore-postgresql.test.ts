/** The drill of docs/core.md with PostgreSQL: its own tools back up and restore, `core restore` begins the new history. By command. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createThrowAwayPki, type ThrowAwayPki } from "../../src/base/pki/throw-away.ts";
import { loadConfiguration } from "../../src/edge/config/load-with-plugins.ts";
import { startEdge } from "../../src/edge/edge.ts";
import { createClient } from "../../src/sdk/client/client.ts";
import { freePort } from "../support/free-port.ts";
import { startServing } from "../support/serving-command.ts";
import { eventually } from "../support/until.ts";
import { type PostgresqlServer, startPostgresql } from "./support/postgresql.ts";

setDefaultTimeout(300_000);

const MAIN = join(import.meta.dir, "../../src/main.ts");
let folder: string;
let port: number;
let server: PostgresqlServer;
let pki: ThrowAwayPki;
const children: Bun.Subprocess[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "core-restore-"));
  port = await freePort();
  server = await startPostgresql();
  await server.database("core");
  pki = await createThrowAwayPki("example.org");
  const [edge, admin] = [await pki.edge("edge-1"), await pki.admin()];
  for (const [name, text] of Object.entries({
    "core.pem": pki.core.cert,
    "core.key": pki.core.key,
    "ca.pem": pki.core.clientCa,
    "edge.pem": edge.cert,
    "edge.key": edge.key,
    "admin.pem": admin.cert,
    "admin.key": admin.key,
    "master.key": randomBytes(32).toString("hex"),
    "core.yaml": `listen: "127.0.0.1:${port}"
database: { url: "postgres://core@127.0.0.1:${server.port}/core", timeout: 20s }
master_key: { file: master.key }
tls: { cert: core.pem, key: core.key, client_ca: ca.pem }
allow: [{ edges: ["*"], tenants: ["*"], services: ["*"] }]
`,
    "edge.yaml": `edge: { id: edge-1 }
key_source: { use: core, core: { url: "https://127.0.0.1:${port}", ca: ca.pem, cert: edge.pem, key: edge.key } }
listeners: [{ http: "127.0.0.1:0", principal: local }]
policies: [{ principals: [local], tenants: ["*"], services: ["*"], operations: [create, decrypt] }]
log: { level: error }
key_memory: { dumpable: true }
`,
  })) {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
  }
});

afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  await server?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

async function run(command: string, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const child = Bun.spawn([command, ...args], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? "" },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { code: await child.exited, out, err };
}

async function ok(command: string, ...args: string[]): Promise<string> {
  const { code, out, err } = await run(command, ...args);
  if (code !== 0) throw new Error(`${args.join(" ")}: ${out}${err}`);
  return out;
}

const core = (...args: string[]) => run(process.execPath, MAIN, "core", ...args);
const onDatabase = (what: string, ...more: string[]) => core(what, "--config", "core.yaml", ...more);
const administer = (...args: string[]) =>
  ok(
    ...[process.execPath, MAIN, "core", ...args, "--url", `https://127.0.0.1:${port}`],
    ...["--ca", "ca.pem", "--cert", "admin.pem", "--key", "admin.key"],
  );
const sql = (statement: string, database = "postgres") =>
  ok("psql", "-h", "127.0.0.1", "-p", String(server.port), "-U", "core", "-At", "-c", statement, database);

async function startCore(config = "core.yaml"): Promise<Bun.Subprocess> {
  const { child } = await startServing([process.execPath, MAIN, "core", "serve", "--config", config], {
    ready: "core: ready",
    cwd: folder,
    env: { PATH: process.env.PATH },
    stderr: "ignore",
    onStarted: (started) => children.push(started),
  });
  return child;
}

test("core migrate makes the tables, and again does nothing; the Core's own user need not be allowed to make any", async () => {
  await sql("CREATE ROLE plain LOGIN");
  const text = readFileSync(join(folder, "core.yaml"), "utf8");
  writeFileSync(join(folder, "plain.yaml"), text.replace("postgres://core@", "postgres://plain@"));
  const asPlain = () => core("migrate", "--config", "plain.yaml");
  const refused = await asPlain();
  expect(refused.code).not.toBe(0);
  expect(refused.err).toContain("lets this user make no tables");
  expect(refused.err).toContain("run `crypto-edge core migrate` as one that may");

  const made = await onDatabase("migrate");
  expect(made).toMatchObject({ code: 0, err: "" });
  expect(made.out).toContain(`postgres://127.0.0.1:${server.port}/core: its tables are those of this version`);
  expect(await onDatabase("migrate")).toEqual(made);

  await sql("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO plain", "core");
  expect(await asPlain()).toMatchObject({ code: 0, err: "" });
  const running = await startCore("plain.yaml");
  await administer("service", "create", "tenant-plain", "billing");
  await administer("rotate", "tenant-plain", "billing");
  await administer("destroy", "tenant-plain", "--reason", "test", "--yes");
  running.kill("SIGTERM");
  await running.exited;
});

test("after a restore by PostgreSQL's tools, what was wrapped opens or is named as lost, never as altered; no version is used twice", async () => {
  let running = await startCore();
  await administer("service", "create", "tenant-a", "billing");
  await administer("service", "create", "tenant-a", "mail");
  const edge = await startEdge(await loadConfiguration(join(folder, "edge.yaml"), undefined, {}));
  try {
    const client = createClient({ url: edge.addresses[0]!, retry: { attempts: 1 } });
    const made = async () => (await client.createKey({ tenant: "tenant-a", service: "billing" })).wrapped;
    const outcome = (wrapped: Uint8Array) =>
      client.decryptKey({ wrapped }).then(
        ({ version }) => `opened version ${version}`,
        (error: { code?: string }) => String(error.code),
      );
    const activeIs = (version: number) =>
      eventually(
        () =>
          client.createKey({ tenant: "tenant-a", service: "billing" }).then(
            (key) => key.version === version,
            () => false,
          ),
        `version ${version}`,
      );
    const old = await made();

    // The Core says which tool, and the tool works beside the running Core.
    const advice = await onDatabase("backup", "core.backup");
    expect(advice.code).not.toBe(0);
    expect(advice.err).toContain(`pg_dump --format=custom --file=core.dump --host=127.0.0.1 --port=${server.port}`);
    expect(existsSync(join(folder, "core.backup"))).toBe(false);
    const [command = ""] = /pg_dump [^)]*/.exec(advice.err) ?? [];
    await ok("sh", "-c", command);

    await administer("rotate", "tenant-a", "billing");
    await administer("revoke", "tenant-a", "mail", "--reason", "test");
    await activeIs(2);
    const lost = await made();
    expect(await outcome(lost)).toBe("opened version 2");

    running.kill("SIGTERM");
    await running.exited;
    await sql("DROP DATABASE core");
    await sql("CREATE DATABASE core");
    await ok("pg_restore", "-h", "127.0.0.1", "-p", String(server.port), "-U", "core", "-d", "core", "core.dump");

    const log = () => sql("SELECT log FROM event_log", "core");
    const before = await log();
    expect((await onDatabase("restore")).err).toContain("--version-margin");
    const withFile = await core("restore", "core.dump", "--config", "core.yaml", "--version-margin", "100");
    expect(withFile.err).toContain("restore it with its own tools first, then run this without a file");
    expect(await log()).toBe(before);
    const restored = await onDatabase("restore", "--version-margin", "100");
    expect(restored.err).toBe("");
    expect(restored.out).toContain("a new history has begun: log");
    for (const service of ["billing", "mail"]) {
      expect(restored.out).toContain(
        `tenant-a/${service}: version 1 is there; versions 2 to 101, if they were made, are lost`,
      );
    }
    expect(restored.out).toContain("revocations made since then are forgotten");
    expect(await log()).not.toBe(before);

    running = await startCore();
    await eventually(async () => (await outcome(old)) === "opened version 1", "what was wrapped before the backup");
    await eventually(async () => (await outcome(lost)) === "key_not_found", "what is lost, by name");
    await administer("rotate", "tenant-a", "billing");
    await activeIs(102);
    expect(await outcome(await made())).toBe("opened version 102");
    expect(await outcome(lost)).toBe("key_not_found");
    expect(await outcome(old)).toBe("opened version 1");
    // What was forgotten is revoked again, as the page says.
    await administer("revoke", "tenant-a", "mail", "--reason", "again");
    expect(await administer("service", "list", "tenant-a")).toMatch(/mail +compromised/);
  } finally {
    await edge.close();
  }
});
