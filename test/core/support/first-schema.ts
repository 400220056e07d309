import { Database } from "bun:sqlite";
import { rmSync } from "node:fs";

/**
 * Makes a Core's SQLite database one of crypto-edge 0.1: one file, the log's place in `meta`, usage and audit beside the keys. It gets one
 * count (7 of edge-1) and one audit event.
 */
export function backToFirstSchema(path: string): { readonly log: string; readonly lastSeq: number } {
  const db = new Database(path, { strict: true });
  const { log, last_seq: lastSeq } = db.query("SELECT log, last_seq FROM event_log").get() as {
    log: string;
    last_seq: number;
  };
  const { value: check } = db.query("SELECT value FROM settings WHERE name = 'check'").get() as { value: Uint8Array };
  for (const sql of [
    "DROP TABLE event_log",
    "DROP TABLE settings",
    "DROP TABLE orders_done",
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
  insert.run({ name: "last_seq", value: lastSeq });
  insert.run({ name: "check", value: check });
  db.close();
  rmSync(`${path}-usage`);
  return { log, lastSeq };
}

/** Makes the newest tables those of step 2, with an order that was carried out (docs/orbital.md) as it lay then. */
export function orderOfSchema2(dialect: "sqlite" | "postgresql"): readonly string[] {
  const text = '{"seqs":[3,4],"at":"2026-01-01T00:00:00.000Z"}';
  const value = dialect === "sqlite" ? `CAST('${text}' AS BLOB)` : `convert_to('${text}', 'UTF8')`;
  return ["DROP TABLE orders_done", `INSERT INTO settings (name, value) VALUES ('once governance 1', ${value})`];
}
