/**
 * The tables of a store and how they came about: forward only, each step once, in its own transaction. A step never changes
 * once it was released; a change of the schema is a new step at the end.
 */
import type { Dialect, Sql } from "./sql.ts";

/** SQLite's first version is the one before there were steps: its databases are taken over by step 2. */
export interface Migration {
  readonly version: number;
  readonly about: string;
  readonly statements: (dialect: Dialect) => readonly string[];
}

const strict = (dialect: Dialect): string => (dialect === "sqlite" ? "STRICT" : "");
const bytes = (dialect: Dialect): string => (dialect === "sqlite" ? "BLOB" : "bytea");
const number = (dialect: Dialect): string => (dialect === "sqlite" ? "INTEGER" : "bigint");
/** Names are ordered by their bytes, everywhere alike. */
const name = (dialect: Dialect): string => (dialect === "sqlite" ? "TEXT" : 'TEXT COLLATE "C"');

/** Keys, states and events. */
export const KEY_MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    about: "tenants, services, service keys, events, signing keys",
    statements: (d) => [
      `CREATE TABLE tenants (
        tenant ${name(d)} PRIMARY KEY, state TEXT NOT NULL, l2 ${bytes(d)}, created_at TEXT NOT NULL
      ) ${strict(d)}`,
      `CREATE TABLE services (
        tenant ${name(d)} NOT NULL REFERENCES tenants, service ${name(d)} NOT NULL, state TEXT NOT NULL,
        created_at TEXT NOT NULL, PRIMARY KEY (tenant, service)
      ) ${strict(d)}`,
      `CREATE TABLE service_keys (
        tenant ${name(d)} NOT NULL, service ${name(d)} NOT NULL, version ${number(d)} NOT NULL, state TEXT NOT NULL,
        -- what a compromised version goes back to when it is restored
        state_before TEXT, l3 ${bytes(d)}, created_at TEXT NOT NULL, changed_at TEXT NOT NULL,
        PRIMARY KEY (tenant, service, version), FOREIGN KEY (tenant, service) REFERENCES services
      ) ${strict(d)}`,
      "CREATE UNIQUE INDEX one_active_version ON service_keys (tenant, service) WHERE state = 'active'",
      `CREATE TABLE events (seq ${number(d)} PRIMARY KEY, event TEXT NOT NULL) ${strict(d)}`,
      `CREATE TABLE signing_keys (
        kid TEXT PRIMARY KEY, public_key ${bytes(d)} NOT NULL, private_key ${bytes(d)} NOT NULL,
        created_at TEXT NOT NULL, retired_at TEXT
      ) ${strict(d)}`,
    ],
  },
  {
    version: 2,
    about: "the log's place in a row of its own, settings, versions lost by a restore",
    statements: (d) => [
      `CREATE TABLE event_log (
        id ${number(d)} PRIMARY KEY CHECK (id = 1), log TEXT NOT NULL, last_seq ${number(d)} NOT NULL
      ) ${strict(d)}`,
      `CREATE TABLE settings (name TEXT PRIMARY KEY, value ${bytes(d)} NOT NULL) ${strict(d)}`,
      `ALTER TABLE services ADD COLUMN lost_from ${number(d)}`,
      `ALTER TABLE services ADD COLUMN lost_to ${number(d)}`,
    ],
  },
  {
    version: 3,
    about: "orders of other systems that were carried out, in a table of their own, so that old ones can go",
    statements: (d) => {
      const told = d === "sqlite" ? "CAST(value AS TEXT)" : "convert_from(value, 'UTF8')::json";
      const part = (name: string): string =>
        d === "sqlite" ? `json_extract(${told}, '$.${name}')` : `${told} ->> '${name}'`;
      return [
        `CREATE TABLE orders_done (
          id TEXT PRIMARY KEY, at TEXT NOT NULL, seqs TEXT NOT NULL, kept ${number(d)} NOT NULL
        ) ${strict(d)}`,
        "CREATE INDEX orders_done_by_time ON orders_done (kept, at)",
        // Which of them are restorations is not known: all are kept.
        `INSERT INTO orders_done (id, at, seqs, kept)
         SELECT substr(name, 6), ${part("at")}, ${part("seqs")}, 1 FROM settings WHERE name LIKE 'once %'`,
        "DELETE FROM settings WHERE name LIKE 'once %'",
      ];
    },
  },
];

/** Usage, audit and presence: in SQLite a file of their own. */
export const USAGE_MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    about: "usage counts, audit events, batches taken, presence of Cores and edges",
    statements: (d) => [
      `CREATE TABLE usage_batches (
        edge TEXT NOT NULL, idempotency_key TEXT NOT NULL, digest ${bytes(d)} NOT NULL, records ${number(d)} NOT NULL,
        received_at TEXT NOT NULL, PRIMARY KEY (edge, idempotency_key)
      ) ${strict(d)}`,
      "CREATE INDEX usage_batches_by_time ON usage_batches (received_at)",
      `CREATE TABLE usage_counts (
        edge TEXT NOT NULL, tenant TEXT NOT NULL, service TEXT NOT NULL, version ${number(d)} NOT NULL,
        operation TEXT NOT NULL, outcome TEXT NOT NULL, principal TEXT NOT NULL, count ${number(d)} NOT NULL,
        first_at TEXT NOT NULL, last_at TEXT NOT NULL,
        PRIMARY KEY (edge, tenant, service, version, operation, outcome, principal)
      ) ${strict(d)}`,
      "CREATE INDEX usage_counts_by_time ON usage_counts (last_at)",
      `CREATE TABLE audit_events (
        id ${d === "sqlite" ? "INTEGER PRIMARY KEY" : "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY"},
        edge TEXT NOT NULL, received_at TEXT NOT NULL, event TEXT NOT NULL
      ) ${strict(d)}`,
      "CREATE INDEX audit_events_by_time ON audit_events (received_at)",
      `CREATE TABLE audit_size (id ${number(d)} PRIMARY KEY CHECK (id = 1), bytes ${number(d)} NOT NULL) ${strict(d)}`,
      "INSERT INTO audit_size (id, bytes) VALUES (1, 0)",
      `CREATE TABLE cores (
        core TEXT PRIMARY KEY, seen_at TEXT NOT NULL, version TEXT NOT NULL, master_keys TEXT NOT NULL
      ) ${strict(d)}`,
      `CREATE TABLE edges (
        edge TEXT NOT NULL, core TEXT NOT NULL, last_seen_at TEXT NOT NULL, lease_calls ${number(d)} NOT NULL,
        recent_calls ${number(d)} NOT NULL, usage_batches ${number(d)} NOT NULL, streams ${number(d)} NOT NULL, seq ${number(d)}, version TEXT,
        certificate_ends_at TEXT, PRIMARY KEY (edge, core)
      ) ${strict(d)}`,
      "CREATE INDEX busy_edges ON edges (last_seen_at, recent_calls)",
    ],
  },
  {
    version: 2,
    about:
      "what the processes of edges have confirmed, and how much of the event log each Core had heard when it told of them",
    statements: (d) => ["ALTER TABLE edges ADD COLUMN instances TEXT", `ALTER TABLE cores ADD COLUMN seq ${number(d)}`],
  },
  {
    version: 3,
    about: "which edges hold leases, and what was reported of late: what a revocation would hit",
    statements: (d) => [
      `CREATE TABLE granted_leases (
        tenant TEXT NOT NULL, service TEXT NOT NULL, version ${number(d)} NOT NULL, edge TEXT NOT NULL, ends_at TEXT NOT NULL,
        PRIMARY KEY (tenant, service, version, edge)
      ) ${strict(d)}`,
      "CREATE INDEX granted_leases_by_time ON granted_leases (ends_at)",
      `CREATE TABLE recent_use (
        tenant TEXT NOT NULL, service TEXT NOT NULL, version ${number(d)} NOT NULL, slot TEXT NOT NULL, edge TEXT NOT NULL,
        count ${number(d)} NOT NULL, PRIMARY KEY (tenant, service, version, slot, edge)
      ) ${strict(d)}`,
      "CREATE INDEX recent_use_by_time ON recent_use (slot)",
    ],
  },
  {
    version: 4,
    about: "which edges hold leases is told with their presence, in one row an edge",
    statements: () => ["DROP TABLE granted_leases"],
  },
];

/** The newest version that this program knows. */
export function newestVersion(migrations: readonly Migration[]): number {
  return migrations.at(-1)!.version;
}

/** Runs the steps after `current`, in the transaction of `sql`. `record` keeps the version that is reached. */
export async function migrate(
  sql: Sql,
  dialect: Dialect,
  migrations: readonly Migration[],
  current: number,
  record: (version: number) => Promise<void>,
): Promise<readonly Migration[]> {
  const steps = migrations.filter(({ version }) => version > current);
  for (const { version, statements } of steps) {
    for (const statement of statements(dialect)) await sql.run(statement);
    await record(version);
  }
  return steps;
}
