/** Who uses a database in PostgreSQL: a restore has it alone, and a Core whose tables another version has changed goes on no more. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/base/time/system-clock.ts";
import { openStore } from "../../src/core/store/open-store.ts";
import { createCoreClients } from "../../src/edge/key-source/core/core-clients.ts";
import { eventually } from "../support/until.ts";
import { type CoreCluster, startCluster } from "./support/core-cluster.ts";

setDefaultTimeout(180_000);

const MAIN = join(import.meta.dir, "../../src/main.ts");
const KEY = { tenant: "tenant-a", service: "billing" };
let cluster: CoreCluster;
let folder: string;
let sql: Bun.SQL;

beforeAll(async () => {
  cluster = await startCluster(2);
  folder = mkdtempSync(join(tmpdir(), "core-database-use-"));
  const { hostname, port, username, database } = cluster.database;
  sql = new Bun.SQL({ adapter: "postgres", hostname, port, username, database, max: 1, tls: false });
  writeFileSync(join(folder, "master.key"), randomBytes(32), { mode: 0o600 });
  for (const [name, text] of Object.entries({ pem: cluster.pki.core.cert, key: cluster.pki.core.key })) {
    writeFileSync(join(folder, `core.${name}`), text, { mode: 0o600 });
  }
  writeFileSync(
    join(folder, "core.yaml"),
    `listen: "127.0.0.1:1"
database: { url: "postgres://${username}@127.0.0.1:${port}/${database}", timeout: 20s }
master_key: { file: master.key }
tls: { cert: core.pem, key: core.key, client_ca: core.pem }
`,
  );
  await cluster.cores[0]!.admin.call("POST", "services", KEY);
}, 300_000);

afterAll(async () => {
  await sql?.close();
  await cluster?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
}, 300_000);

async function onDatabase(...args: string[]): Promise<{ code: number; told: string }> {
  const child = Bun.spawn([process.execPath, MAIN, "core", ...args, "--config", "core.yaml"], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? "" },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { code: await child.exited, told: out + err };
}

const restore = () => onDatabase("restore", "--version-margin", "10");
const log = async () => (await sql.unsafe("SELECT log FROM event_log"))[0].log as string;

test("a restore is refused while a Core runs, and names it; one whose session was cut takes its place again", async () => {
  const before = await log();
  expect(await restore()).toMatchObject({
    code: 1,
    told: expect.stringMatching(/in use by crypto-edge core core-0 \(from .+\), crypto-edge core core-1 \(from .+\)/),
  });
  await cluster.cores[0]!.kill("SIGKILL");
  await eventually(async () => !(await restore()).told.includes("core-0"), "the Core that was killed named no more");
  expect((await restore()).told).toContain("core core-1");
  await sql.unsafe("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%core-1'");
  await eventually(
    async () =>
      (await sql.unsafe("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock' AND granted"))
        .length === 1,
    "the other Core having its lock again",
  );
  expect((await restore()).told).toContain("core core-1");
  expect(await log()).toBe(before);
  await cluster.cores[0]!.start();
});

test("no Core starts beside a restore", async () => {
  const { database } = cluster;
  await Promise.all(cluster.cores.map((core) => core.kill("SIGTERM")));
  const restoring = await openStore({
    database,
    retainedEvents: 10,
    clock: systemClock,
    user: "core restore",
    alone: true,
  });
  const open = () => openStore({ database, retainedEvents: 10, clock: systemClock, user: "core late" });
  await expect(open()).rejects.toThrow("is being restored by crypto-edge core restore (from ");
  await restoring.close();
  await (await open()).close();
  await Promise.all(cluster.cores.map((core) => core.start()));
});

test("a restore waits for the session of a Core that has just ended", async () => {
  const { database } = cluster;
  const user = (name: string, alone: boolean) =>
    openStore({ database, retainedEvents: 10, clock: systemClock, user: name, alone });
  await Promise.all(cluster.cores.map((core) => core.kill("SIGTERM")));
  const late = await user("core late", false);
  const restoring = user("core restore", true);
  // It waits for it by now.
  await eventually(
    async () =>
      (await sql.unsafe("SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()"))
        .length === 1,
    "the restore waiting",
  );
  await late.close();
  await (await restoring).close();
  await Promise.all(cluster.cores.map((core) => core.start()));
});

test("a Core whose tables a newer version has changed grants nothing and changes nothing, and says so", async () => {
  const [one] = cluster.cores;
  const edge = createCoreClients({ urls: [one!.url], certificates: await cluster.pki.edge("edge-1") });
  try {
    for (const { key } of (await edge.lease(KEY)).versions) key.fill(0);
    // What a newer version's `core migrate` writes, whatever else it does.
    await sql.unsafe("UPDATE schema_versions SET version = version + 1 WHERE part = 'keys'");
    // No change slips in before the next look, a second later.
    expect(await one!.admin.call("POST", "rotate", KEY).catch((error: unknown) => error)).toMatchObject({
      status: 503,
      code: "unavailable",
    });
    for (const { watchUrl } of cluster.cores) {
      await eventually(async () => {
        const ready = await fetch(`${watchUrl}/readyz`);
        return ready.status === 503 && (await ready.text()).includes("newer crypto-edge: update this Core");
      }, "/readyz says why");
    }
    expect(await edge.lease(KEY).catch((error: unknown) => error)).toMatchObject({ code: "unavailable" });
    expect((await onDatabase("migrate")).told).toContain("made by a newer crypto-edge");
  } finally {
    edge.close();
    await sql.unsafe("UPDATE schema_versions SET version = version - 1 WHERE part = 'keys'");
  }
});
