import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { backToFirstSchema, orderOfSchema2 } from "./support/first-schema.ts";
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

  test("is for its user's eyes alone, with all that lies beside it, whatever the umask says", async () => {
    const before = process.umask(0o022);
    try {
      const { registry, close } = await open("modes");
      await registry.createService("tenant-a", "billing");
      expect(filesOf("modes").length).toBeGreaterThan(4);
      for (const file of filesOf("modes")) {
        expect([file, statSync(join(directory, file)).mode & 0o777]).toEqual([file, 0o600]);
      }
      await close();
    } finally {
      process.umask(before);
    }
  });

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
    await made.close();
    const { lastSeq, log } = backToFirstSchema(path("old"));

    const after = await open("old");
    expect(await after.registry.openVersions("tenant-a", "billing", undefined, 5)).toEqual(lease);
    expect(await after.store.position()).toEqual({ log, lastSeq, oldestSeq: 1 });
    expect(await after.store.usage.totals(10)).toMatchObject([{ edge: "edge-1", count: 7 }]);
    expect(await after.store.usage.auditEvents({ limit: 10 })).toEqual([{ edge: "edge-1", outcome: "ok" }]);
    expect((await after.registry.rotate("tenant-a", "billing")).seq).toBe(lastSeq + 1);
    await after.close();
  });

  test("still knows the orders that a Core of before has carried out, and keeps them", async () => {
    const before = await open("orders");
    await before.close();
    const db = new Database(path("orders"));
    for (const sql of orderOfSchema2("sqlite")) db.run(sql);
    db.run("PRAGMA user_version = 2");
    db.close();
    const after = await open("orders");
    await after.store.change(async (change) => {
      await change.forgetDoneOrders("2030-01-01T00:00:00.000Z");
      expect(await change.doneOrder("governance 1")).toEqual({ at: "2026-01-01T00:00:00.000Z", seqs: [3, 4] });
      expect(await change.setting("once governance 1")).toBeUndefined();
    });
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
