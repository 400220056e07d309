/**
 * A copy of a Core's database while it runs (docs/core.md, "Backup and restore"). Keys lie in it as in the database: under the master
 * key, which is kept apart.
 */
import { Database } from "bun:sqlite";
import { closeSync, fsyncSync, openSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { messageOf } from "../base/errors.ts";
import { databaseOf } from "./database-settings.ts";
import type { LoadedCore } from "./load-core.ts";
import type { PostgresqlOptions } from "./store/open-store.ts";

export interface BackupReport {
  readonly file: string;
  readonly log: string;
  readonly lastSeq: number;
  readonly tenants: number;
  readonly services: number;
  readonly versions: number;
}

/** @throws Error with a sentence: for a database in PostgreSQL, how it is backed up there */
export async function backUp(loaded: LoadedCore, target: string, force: boolean): Promise<BackupReport> {
  const database = databaseOf(loaded.configuration);
  if (typeof database !== "string") throw new Error(await postgresqlAdvice(database));
  const there = statSync(target, { throwIfNoEntry: false });
  if (there !== undefined && !there.isFile()) throw new Error(`${target} is no file, and is not replaced by one`);
  if (there !== undefined && !force) throw new Error(`${target} exists: give another path, or --force`);
  const part = `${target}.part`;
  rmSync(part, { force: true });
  // Made first, empty: for its owner's eyes alone.
  closeSync(openSync(part, "wx", 0o600));
  try {
    const running = new Database(database, { readonly: true });
    try {
      running.run("PRAGMA busy_timeout = 10000");
      // One snapshot, beside the Core's own writing.
      running.query("VACUUM INTO $1").run(part);
    } finally {
      running.close();
    }
    const report = { ...inspect(part), file: target };
    sync(part);
    renameSync(part, target);
    sync(dirname(target));
    return report;
  } catch (error) {
    rmSync(part, { force: true });
    throw new Error(`the database ${database} could not be copied to ${target}: ${messageOf(error)}`, { cause: error });
  }
}

/** @throws Error where the file is no whole copy of a Core's database */
export function inspect(file: string): Omit<BackupReport, "file"> {
  let db: Database;
  try {
    db = new Database(file, { readonly: true });
  } catch (error) {
    throw new Error(`${file} can't be opened (${messageOf(error)}): check the path and its permissions`);
  }
  try {
    const [check] = db.query<{ integrity_check: string }, []>("PRAGMA integrity_check").all();
    if (check?.integrity_check !== "ok") throw new Error(String(check?.integrity_check));
    const log = db.query<{ log: string; last_seq: number }, []>("SELECT log, last_seq FROM event_log").get();
    const count = (table: string): number =>
      db.query<{ count: number }, []>(`SELECT count(*) AS count FROM ${table}`).get()?.count ?? 0;
    if (log === null) throw new Error("it names no event log");
    return {
      log: log.log,
      lastSeq: log.last_seq,
      tenants: count("tenants"),
      services: count("services"),
      versions: count("service_keys"),
    };
  } catch (error) {
    throw new Error(`${file} is no whole copy of a Core's database (${messageOf(error)}): take another`);
  } finally {
    db.close();
  }
}

/** PostgreSQL has its own tools, made for it: says which, and whether they are here and new enough. */
async function postgresqlAdvice(database: PostgresqlOptions): Promise<string> {
  const { hostname, port, username, database: name } = database;
  const command = `pg_dump --format=custom --file=core.dump --host=${hostname} --port=${port} --username=${username} ${name}`;
  const program = Bun.which("pg_dump");
  const version = program === null ? undefined : Bun.spawnSync([program, "--version"]).stdout.toString().trim();
  const found =
    version === undefined
      ? "pg_dump is not on this machine's PATH: install the client of the server's version"
      : `${version} is here; it must not be older than the server`;
  return (
    "nothing was backed up: this Core's keys are in PostgreSQL, whose own tools do it while it runs " +
    `(a base backup with archived write-ahead logs, or: ${command}). ${found}. ` +
    "After a restore run `crypto-edge core restore` once, before a Core starts (docs/core.md)"
  );
}

/** Written through to the disk, whether a file or a folder. */
export function sync(path: string): void {
  const descriptor = openSync(path, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
