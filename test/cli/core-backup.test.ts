/** The drill of docs/core.md: back up, rotate, lose the database, restore. What was wrapped opens or is named as lost. */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAdminClient } from "../../src/core/admin-client.ts";
import { loadConfiguration } from "../../src/edge/config/load-with-plugins.ts";
import { startEdge } from "../../src/edge/edge.ts";
import { createCoreClient } from "../../src/edge/key-source/core/core-client.ts";
import { createClient } from "../../src/sdk/client/client.ts";
import { freePort } from "../support/free-port.ts";
import { startServing } from "../support/serving-command.ts";
import { until } from "../support/until.ts";

/** For a busy machine. */
setDefaultTimeout(180_000);

const main = join(import.meta.dir, "../../src/main.ts");
let directory: string;
let port: number;
const children: Bun.Subprocess[] = [];

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "core-backup-"));
  port = await freePort();
  for (const args of [
    ["init", "--trust-domain", "example.org"],
    ["core", "--ip", "127.0.0.1", "--dns", "localhost"],
    ["core", "--admin"],
    ["edge", "edge-1"],
  ]) {
    await ok("pki", ...args);
  }
  writeFileSync(join(directory, "master.key"), randomBytes(32), { mode: 0o600 });
  writeFileSync(
    join(directory, "core.yaml"),
    `listen: "127.0.0.1:${port}"
database: core.db
master_key: { file: master.key }
tls: { cert: pki/core.pem, key: pki/core.key, client_ca: pki/ca.pem }
allow: [{ edges: ["*"], tenants: ["*"], services: ["*"] }]
`,
  );
  writeFileSync(
    join(directory, "edge.yaml"),
    `edge: { id: edge-1 }
key_source: { use: core, core: { url: "https://127.0.0.1:${port}", ca: pki/ca.pem, cert: pki/edge-1.pem, key: pki/edge-1.key } }
listeners: [{ http: "127.0.0.1:0", principal: local }]
policies: [{ principals: [local], tenants: ["*"], services: ["*"], operations: [create, decrypt] }]
log: { level: error }
key_memory: { dumpable: true }
`,
  );
}, 300_000);

afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(directory, { recursive: true, force: true });
});

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const child = Bun.spawn([process.execPath, main, ...args], {
    cwd: directory,
    env: { PATH: process.env.PATH ?? "", CRYPTO_CORE_URL: `https://127.0.0.1:${port}` },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, out, err };
}

async function ok(...args: string[]): Promise<string> {
  const { code, out, err } = await run(...args);
  if (code !== 0) throw new Error(`${args.join(" ")}: ${err}`);
  return out;
}

async function startCore(): Promise<Bun.Subprocess> {
  const { child } = await startServing([process.execPath, main, "core", "serve", "--config", "core.yaml"], {
    ready: "core: ready",
    cwd: directory,
    env: { PATH: process.env.PATH },
    stderr: "ignore",
    onStarted: (started) => children.push(started),
  });
  return child;
}

test("after a restore, what was wrapped opens or is named as lost, never as altered; no version is used twice", async () => {
  const core = await startCore();
  await ok("core", "service", "create", "tenant-a", "billing");
  await ok("core", "service", "create", "tenant-a", "mail");
  const edge = await startEdge(await loadConfiguration(join(directory, "edge.yaml"), undefined, {}));
  try {
    const client = createClient({ url: edge.addresses[0]!, retry: { attempts: 1 } });
    const made = async () => (await client.createKey({ tenant: "tenant-a", service: "billing" })).wrapped;
    const outcome = (wrapped: Uint8Array) =>
      client.decryptKey({ wrapped }).then(
        ({ version }) => `opened version ${version}`,
        (error: { code?: string }) => String(error.code),
      );
    const old = await made();

    const backup = await ok("core", "backup", "core.backup", "--config", "core.yaml");
    expect(backup).toContain("1 tenants, 2 services, 2 key versions");
    expect(statSync(join(directory, "core.backup")).mode & 0o777).toBe(0o600);
    expect((await run("core", "backup", "core.backup", "--config", "core.yaml")).err).toContain("--force");

    await ok("core", "rotate", "tenant-a", "billing");
    await ok("core", "revoke", "tenant-a", "mail", "--reason", "test");
    await until(async () => (await client.createKey({ tenant: "tenant-a", service: "billing" })).version === 2, {
      timeoutMs: 60_000,
      everyMs: 50,
    });
    const lost = await made();
    expect(await outcome(lost)).toBe("opened version 2");

    const restore = (...more: string[]) =>
      run("core", "restore", "core.backup", "--config", "core.yaml", "--version-margin", "100", ...more);
    expect((await restore("--force")).err).toContain("in use by another Core");
    core.kill("SIGTERM");
    await core.exited;
    expect((await restore()).err).toContain("--force puts it aside");
    expect((await run("core", "restore", "core.backup", "--config", "core.yaml")).err).toContain("--version-margin");
    const restored = await restore("--force");
    expect(restored.err).toBe("");
    expect(restored.out).toContain(
      "tenant-a/billing: version 1 is there; versions 2 to 101, if they were made, are lost",
    );
    expect(restored.out).toContain("version 2 of tenant-a/billing: what it wrapped is lost");
    expect(restored.out).toContain("that tenant-a/mail is compromised (it is active again)");

    await startCore();
    await until(async () => (await outcome(old)) === "opened version 1", { timeoutMs: 60_000, everyMs: 50 });
    await until(async () => (await outcome(lost)) === "key_not_found", { timeoutMs: 60_000, everyMs: 50 });
    await ok("core", "rotate", "tenant-a", "billing");
    await until(async () => (await client.createKey({ tenant: "tenant-a", service: "billing" })).version === 102, {
      timeoutMs: 60_000,
      everyMs: 50,
    });
    expect(await outcome(await made())).toBe("opened version 102");
    expect(await outcome(lost)).toBe("key_not_found");
    expect(await outcome(old)).toBe("opened version 1");

    // What watches a Core shows the same.
    const status = await ok("core", "status");
    for (const part of ["newest event", "core.db (sqlite)", "certificate", "days)"]) expect(status).toContain(part);
    await until(async () => /edge-1 +\d+\.\d+\.\d+ .* 1 +/.test(await ok("core", "edges")), {
      timeoutMs: 60_000,
      everyMs: 50,
    });
    expect(await ok("core", "events")).toMatch(/tenant-a\/billing version 102 is active now \(event \d+\)/);
    expect(await ok("core", "audit", "--limit", "5")).toBeString();
  } finally {
    await edge.close();
  }
});

test("a backup beside a busy Core is whole, of one moment, and holds nothing up", async () => {
  const file = (name: string): string => readFileSync(join(directory, "pki", name), "utf8");
  const certificates = (name: string) => ({ ca: file("ca.pem"), cert: file(`${name}.pem`), key: file(`${name}.key`) });
  const url = `https://127.0.0.1:${port}`;
  const admin = createAdminClient({ url, certificates: certificates("core-admin") });
  const edge = createCoreClient({ url, certificates: certificates("edge-1") });
  const stopping = new AbortController();
  let rotations = 0;
  let leases = 0;
  const again = async (work: () => Promise<void>): Promise<void> => {
    while (!stopping.signal.aborted) await work();
  };
  await admin.call("POST", "services", { tenant: "tenant-b", service: "busy" });
  const load = Promise.all([
    again(async () => {
      await admin.call("POST", "rotate", { tenant: "tenant-b", service: "busy" });
      rotations++;
    }),
    again(async () => {
      const { versions } = await edge.lease({ tenant: "tenant-b", service: "busy" });
      for (const { key } of versions) key.fill(0);
      leases++;
    }),
  ]);
  try {
    for (let copy = 0; copy < 3; copy++) {
      const before = { rotations, leases };
      const report = JSON.parse(await ok("core", "backup", `busy-${copy}.backup`, "--config", "core.yaml", "--json"));
      const db = new Database(join(directory, `busy-${copy}.backup`), { readonly: true });
      const one = (sql: string) => db.query<{ found: number }, []>(`SELECT ${sql} AS found`).get()!.found;
      // An event exists exactly if its change does.
      const versions = one("(SELECT count(*) FROM service_keys WHERE tenant = 'tenant-b')");
      const told = one("(SELECT count(*) FROM events WHERE event LIKE '%rotate%' AND event LIKE '%tenant-b%')");
      expect(versions).toBe(told + 1);
      expect(one("(SELECT count(*) FROM service_keys WHERE tenant = 'tenant-b' AND state = 'active')")).toBe(1);
      expect(one("(SELECT max(seq) FROM events)")).toBe(report.lastSeq);
      expect(one("(SELECT max(seq) - min(seq) + 1 - count(*) FROM events)")).toBe(0);
      // All that was told before it was asked for is in it.
      expect(told).toBeGreaterThanOrEqual(before.rotations);
      expect(told).toBeLessThanOrEqual(rotations + 1);
      db.close();
      expect(rotations).toBeGreaterThan(before.rotations);
      expect(leases).toBeGreaterThan(before.leases);
    }
  } finally {
    stopping.abort();
    await load;
    admin.close();
    edge.close();
  }
});

test("a file that is no whole copy is refused, and the database stays as it is", async () => {
  writeFileSync(join(directory, "broken.backup"), randomBytes(8_192));
  const { code, err } = await run(
    ...["core", "restore", "broken.backup", "--config", "core.yaml", "--version-margin", "1", "--force"],
  );
  expect(code).toBe(1);
  expect(err).toContain("no whole copy of a Core's database");
  expect(statSync(join(directory, "core.db")).size).toBeGreaterThan(0);
});

test("what is no file is neither replaced by a copy, nor waited for, with or without --force", async () => {
  Bun.spawnSync(["mkfifo", join(directory, "fifo")]);
  symlinkSync("fifo", join(directory, "link"));
  mkdirSync(join(directory, "folder"), { recursive: true });
  for (const target of ["fifo", "link", "folder"]) {
    for (const force of [[], ["--force"]]) {
      const backup = await run("core", "backup", target, "--config", "core.yaml", ...force);
      expect([target, backup.code, backup.err]).toEqual([target, 1, expect.stringContaining("is no file")]);
      const args = ["core", "restore", target, "--config", "core.yaml", "--version-margin", "1", ...force];
      const restore = await run(...args);
      expect([target, restore.code, restore.err]).toEqual([target, 1, expect.stringContaining("is not a file")]);
    }
    const verify = await run("audit", "verify", target);
    expect([target, verify.code, verify.err]).toEqual([target, 1, expect.stringContaining("is not a file")]);
  }
  expect(lstatSync(join(directory, "fifo")).isFIFO()).toBe(true);
  expect((await run("core", "backup", "fifo.part", "--config", "core.yaml")).code).toBe(0);
});

test("core config check finds what serve would stumble over: the database, two listeners on one port", async () => {
  const check = async (from: string | RegExp, to: string) => {
    const text = readFileSync(join(directory, "core.yaml"), "utf8").replace(from, to);
    writeFileSync(join(directory, "changed.yaml"), text);
    const { code, out, err } = await run("core", "config", "check", "changed.yaml");
    return `${code} ${out}${err}`;
  };
  expect(await check("core.db", "core.db")).toStartWith("0 ");
  expect(await check("core.db", "fifo")).toContain("changed.yaml:2:1: database: ");
  expect(await check("core.db", "/dev/null")).toContain("is not a file");
  expect(await check("core.db", "folder")).toContain("is not a file");
  expect(await check("core.db", "missing/core.db")).toContain("does not exist");
  expect(await check("core.db", "core.yaml")).toContain("is no database");
  for (const section of ["metrics", "console"]) {
    expect(await check("database:", `${section}: { listen: "127.0.0.1:${port}" }\ndatabase:`)).toContain(
      "would listen where the Core does already",
    );
  }
  expect(existsSync(join(directory, "missing"))).toBe(false);
  const database = (section: string) => check(/database: .*/, `database: { ${section} }`);
  const url = 'url: "postgres://core@db.example/core"';
  const own = "cert: pki/edge-1.pem, key: pki/edge-1.key";
  expect(await database(`${url}, ca: pki/ca.pem, ${own}`)).toStartWith("0 ");
  expect(await database(`${url}, cert: pki/edge-1.pem`)).toContain("database: cert and key go together");
  expect(await database(`${url}, cert: pki/edge-1.pem, key: pki/core.key`)).toContain("is not that of the certificate");
  expect(await database(`${url}, ca: pki/edge-1.pem`)).toContain("holds no certificate of an authority");
  expect(await database(`url: "postgres://core@127.0.0.1/core", ${own}`)).toContain("?sslmode=verify-full");
  // A pair that fits together, and is another's.
  const pair = "cert: pki/core.pem, key: pki/core.key";
  for (const other of ["edge-1", "admin"]) {
    const name = other === "admin" ? "core-admin" : other;
    const checked = await check(pair, `cert: pki/${name}.pem, key: pki/${name}.key`);
    expect(checked).toContain("the certificate is not a Core's: it names spiffe://example.org/");
    const served = await run("core", "serve", "--config", "changed.yaml");
    expect([served.code, served.err]).toEqual([1, expect.stringContaining("the certificate is not a Core's")]);
  }
});
