import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openRegistry } from "./support/registry.ts";
import { testStore } from "./support/store-contract.ts";

/** For a busy machine. */
setDefaultTimeout(30_000);

const directory = mkdtempSync(join(tmpdir(), "sqlite-store-"));
const path = (name: string): string => join(directory, `${name}.db`);

testStore({
  name: "SQLite",
  start: async () => undefined,
  stop: async () => undefined,
  database: async (name) => path(`contract-${name}`),
  shared: false,
});

describe("the Core's SQLite database", () => {
  const masterKey = randomBytes(32);
  const open = (name: string) => openRegistry({ database: path(name), masterKey });
  const filesOf = (name: string): string[] => readdirSync(directory).filter((file) => file.startsWith(`${name}.db`));
  const inFiles = (name: string, bytes: Uint8Array | string): boolean =>
    filesOf(name).some((file) => readFileSync(join(directory, file)).includes(bytes));
  beforeAll(() => undefined);
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  test("has no key in the clear: neither in the database nor in its log, raw, in hex or in base64", async () => {
    const { registry, close } = await open("grep");
    const secrets: Buffer[] = [masterKey];
    for (let index = 0; index < 20; index++) {
      await registry.createService("tenant-a", `service-${index}`);
      await registry.rotate("tenant-a", `service-${index}`);
      const { versions } = await registry.openVersions("tenant-a", `service-${index}`, undefined, 5);
      secrets.push(...versions.map(({ key }) => Buffer.from(key)));
    }
    expect(secrets).toHaveLength(41);
    await registry.rotate("tenant-a", "service-1");
    expect(filesOf("grep")).toContain("grep.db-wal");
    // The search finds what is there: names are not secret.
    expect(inFiles("grep", "service-1")).toBe(true);
    for (const secret of secrets) {
      for (const form of [secret, secret.subarray(0, 16), secret.toString("hex"), secret.toString("base64")]) {
        expect(inFiles("grep", form)).toBe(false);
      }
    }
    await close();
  });

  test("erases what is destroyed: its wrapped form is gone from the database and its log", async () => {
    const { registry, store, close } = await open("destroy");
    await registry.createService("tenant-a", "billing");
    const wrapped = (await store.version("tenant-a", "billing", 1))!.wrappedKey!;
    expect(inFiles("destroy", wrapped)).toBe(true);
    await registry.revoke({ tenant: "tenant-a", service: "billing", version: 1 }, "destroyed", "test");
    expect(inFiles("destroy", wrapped)).toBe(false);
    await close();
  });

  test("has one Core: a second one is refused, while a reader such as a backup is let in", async () => {
    const first = await open("busy");
    await first.registry.createService("tenant-a", "billing");
    expect(open("busy")).rejects.toThrow("in use by another Core");
    await open("busy").catch(() => undefined);
    const reader = new Database(path("busy"), { readonly: true });
    expect(reader.query("SELECT count(*) AS count FROM tenants").get()).toEqual({ count: 1 });
    reader.close();
    await first.close();
    await (await open("busy")).close();
  });

  test("is taken over from the schema of crypto-edge 0.1: keys, log, usage and audit", async () => {
    const made = await open("old");
    await made.registry.createService("tenant-a", "billing");
    await made.registry.rotate("tenant-a", "billing");
    const lease = await made.registry.openVersions("tenant-a", "billing", undefined, 5);
    const check = (await made.store.setting("check"))!;
    await made.close();
    // Back to what 0.1 made: one file, the log's place in `meta`.
    const db = new Database(path("old"), { strict: true });
    const { log, last_seq } = db.query("SELECT log, last_seq FROM event_log").get() as {
      log: string;
      last_seq: number;
    };
    for (const sql of [
      "DROP TABLE event_log",
      "DROP TABLE settings",
      "ALTER TABLE services DROP COLUMN lost_from",
      "ALTER TABLE services DROP COLUMN lost_to",
      "CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID",
      `CREATE TABLE usage_batches (edge TEXT NOT NULL, idempotency_key TEXT NOT NULL, digest BLOB NOT NULL,
         records INTEGER NOT NULL, received_at TEXT NOT NULL, PRIMARY KEY (edge, idempotency_key)) STRICT`,
      `CREATE TABLE usage_counts (edge TEXT NOT NULL, tenant TEXT NOT NULL, service TEXT NOT NULL, version INTEGER NOT NULL,
         operation TEXT NOT NULL, outcome TEXT NOT NULL, principal TEXT NOT NULL, count INTEGER NOT NULL,
         first_at TEXT NOT NULL, last_at TEXT NOT NULL,
         PRIMARY KEY (edge, tenant, service, version, operation, outcome, principal)) STRICT`,
      "CREATE TABLE audit_events (id INTEGER PRIMARY KEY, edge TEXT NOT NULL, received_at TEXT NOT NULL, event TEXT NOT NULL) STRICT",
      `INSERT INTO usage_counts VALUES ('edge-1', 'tenant-a', 'billing', 1, 'create', 'ok', 'local', 7, '2026', '2026')`,
      `INSERT INTO audit_events (edge, received_at, event) VALUES ('edge-1', '2026', '{"outcome":"ok"}')`,
      "PRAGMA user_version = 1",
    ]) {
      db.run(sql);
    }
    const insert = db.query("INSERT INTO meta (name, value) VALUES ($name, $value)");
    insert.run({ name: "log", value: log });
    insert.run({ name: "last_seq", value: last_seq });
    insert.run({ name: "check", value: check });
    db.close();
    rmSync(`${path("old")}-usage`);

    const after = await open("old");
    expect(await after.registry.openVersions("tenant-a", "billing", undefined, 5)).toEqual(lease);
    expect(await after.store.position()).toEqual({ log, lastSeq: last_seq, oldestSeq: 1 });
    expect(await after.store.usage.totals(10)).toMatchObject([{ edge: "edge-1", count: 7 }]);
    expect(await after.store.usage.auditEvents({ limit: 10 })).toEqual([{ edge: "edge-1", outcome: "ok" }]);
    expect((await after.registry.rotate("tenant-a", "billing")).seq).toBe(last_seq + 1);
    await after.close();
  });

  test("of a newer crypto-edge is refused", async () => {
    await (await open("newer")).close();
    const db = new Database(path("newer"));
    db.run("PRAGMA user_version = 99");
    db.close();
    expect(open("newer")).rejects.toThrow("made by a newer crypto-edge");
    await open("newer").catch(() => undefined);
  });
});
