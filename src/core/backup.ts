/**
 * A copy of a Core's database while it runs, and a Core made from one (docs/core.md, "Backup and restore"). Keys lie in it as in
 * the database: under the master key, which is kept apart.
 */
import { Database } from "bun:sqlite";
import { randomBytes } from "node:crypto";
import { closeSync, copyFileSync, existsSync, fsyncSync, openSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { messageOf } from "../base/errors.ts";
import { requireRegularFile } from "../base/read-file.ts";
import { systemClock } from "../base/time/system-clock.ts";
import { wipe } from "../base/wipe.ts";
import { KeyHierarchy } from "./keys/hierarchy.ts";
import { databaseOf, type LoadedCore, readMasterKeys } from "./load-core.ts";
import type { MasterKeys } from "./master-key.ts";
import { openKeyStore } from "./open-key-store.ts";
import { DEFAULT_RETAINED_EVENTS, type PostgresqlOptions } from "./store/open-store.ts";
import { lockSqliteDatabase } from "./store/sqlite.ts";
import { makePrivate } from "./store/sqlite-database.ts";
import type { Store } from "./store/store.ts";

export interface BackupReport {
  readonly file: string;
  readonly log: string;
  readonly lastSeq: number;
  readonly tenants: number;
  readonly services: number;
  readonly versions: number;
}

export interface RestoredService {
  readonly tenant: string;
  readonly service: string;
  /** The newest version that is there. */
  readonly newest: number;
  /** Versions that may have been made since, and are lost: both included. */
  readonly lostFrom: number;
  readonly lostTo: number;
}

export interface RestoreReport {
  readonly log: string;
  readonly lastSeq: number;
  /** The newest change of a key that is there: what came after it is forgotten. */
  readonly newestChangeAt: string | undefined;
  readonly services: readonly RestoredService[];
  /** Where the database that was there before lies now. */
  readonly before: string | undefined;
  /** What that one has and the restored one lacks, where it can be read. */
  readonly forgotten: readonly string[];
}

/** Of a SQLite database that was opened. */
const FILES = ["", "-wal", "-shm", "-lock", "-reserve", "-usage", "-usage-wal", "-usage-shm"];

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

/**
 * Puts a copy in the database's place, or takes a PostgreSQL that was restored by its own tools, and begins a new history: edges
 * drop their leases, and new versions have numbers beyond any that were granted since the copy was made.
 *
 * @param versionMargin How many versions a service may have got since then, at most.
 * @throws Error with a sentence; then the database is as it was
 */
export async function restore(
  loaded: LoadedCore,
  options: { readonly file: string | undefined; readonly versionMargin: number; readonly force: boolean },
): Promise<RestoreReport> {
  const database = databaseOf(loaded.configuration);
  const keys = await readMasterKeys(loaded);
  try {
    if (typeof database !== "string") {
      if (options.file !== undefined) {
        throw new Error(
          "this Core's database is PostgreSQL: restore it with its own tools first, then run this without a file",
        );
      }
      return await beginHistory(database, keys, options.versionMargin);
    }
    if (options.file === undefined) throw new Error("name the file that `core backup` made");
    requireRegularFile(options.file);
    inspect(options.file);
    if (existsSync(database) && !options.force) {
      throw new Error(`the database ${database} exists: --force puts it aside`);
    }
    return await restoreFile(options.file, database, keys, options.versionMargin);
  } finally {
    wipe(keys.current);
    if (keys.former !== undefined) wipe(keys.former);
  }
}

/** The new history begins in a copy beside the database; both change places while no Core can open it. */
async function restoreFile(
  file: string,
  database: string,
  keys: MasterKeys,
  versionMargin: number,
): Promise<RestoreReport> {
  const release = lockSqliteDatabase(database);
  const copy = `${database}.restoring`;
  const before = existsSync(database)
    ? `${database}.before-${new Date().toISOString().replaceAll(":", "")}`
    : undefined;
  let isAside = false;
  try {
    removeDatabase(copy);
    makePrivate(copy);
    copyFileSync(file, copy);
    const report = await beginHistory(copy, keys, versionMargin, async (restored) => {
      if (before === undefined) return [];
      isAside = true;
      moveDatabase(database, before);
      return compare(before, keys, restored);
    });
    moveDatabase(copy, database);
    sync(dirname(database));
    return { ...report, before };
  } catch (error) {
    if (isAside && before !== undefined) moveDatabase(before, database);
    throw error;
  } finally {
    removeDatabase(copy);
    release();
  }
}

async function beginHistory(
  database: string | PostgresqlOptions,
  keys: MasterKeys,
  versionMargin: number,
  forgottenIn: (restored: Store) => Promise<readonly string[]> = async () => [],
): Promise<RestoreReport> {
  const store = await open(database, keys);
  try {
    await store.change((change) => change.beginHistory(randomBytes(16).toString("hex"), versionMargin));
    const { log, lastSeq } = await store.position();
    const services: RestoredService[] = [];
    let newestChangeAt: string | undefined;
    for (const { tenant } of await store.tenants()) {
      for (const { service, versions } of await store.services(tenant)) {
        for (const { createdAt } of versions) {
          if (newestChangeAt === undefined || createdAt > newestChangeAt) newestChangeAt = createdAt;
        }
        const newest = versions.at(-1)?.version ?? 0;
        const { lost } = (await store.service(tenant, service))!;
        services.push({ tenant, service, newest, lostFrom: lost?.from ?? newest + 1, lostTo: lost?.to ?? newest });
      }
    }
    const forgotten = await forgottenIn(store);
    return { log, lastSeq, newestChangeAt, services, before: undefined, forgotten };
  } finally {
    await store.close();
  }
}

/** What the database that was there before has, and the restored one lacks. */
async function compare(before: string, keys: MasterKeys, restored: Store): Promise<string[]> {
  let old: Store;
  try {
    old = await open(before, keys);
  } catch (error) {
    return [`what was there before can't be read (${messageOf(error)}): what it had since the backup is not known`];
  }
  try {
    const lines: string[] = [];
    for (const { tenant, state } of await old.tenants()) {
      const known = await restored.tenantState(tenant);
      if (known === undefined) lines.push(`the tenant ${tenant}, with all its keys`);
      else if (known !== state) lines.push(`that the tenant ${tenant} is ${state} (it is ${known} again)`);
      const services = new Map((await restored.services(tenant)).map((one) => [one.service, one]));
      for (const { service, state: serviceState, versions } of await old.services(tenant)) {
        const there = services.get(service);
        const name = `${tenant}/${service}`;
        if (there === undefined) {
          if (known !== undefined) lines.push(`the service ${name}, with all its keys`);
          continue;
        }
        if (there.state !== serviceState) lines.push(`that ${name} is ${serviceState} (it is ${there.state} again)`);
        const states = new Map(there.versions.map((one) => [one.version, one.state]));
        for (const one of versions) {
          const now = states.get(one.version);
          if (now === undefined) lines.push(`version ${one.version} of ${name}: what it wrapped is lost`);
          else if (isRevoked(one.state) && now !== one.state) {
            lines.push(`that version ${one.version} of ${name} is ${one.state} (it is ${now} again): revoke it again`);
          }
        }
      }
    }
    return lines;
  } finally {
    await old.close();
  }
}

function isRevoked(state: string): boolean {
  return state === "compromised" || state === "destroyed";
}

async function open(database: string | PostgresqlOptions, keys: MasterKeys): Promise<Store> {
  const hierarchy = new KeyHierarchy(keys.current, keys.former);
  try {
    return await openKeyStore({
      database,
      retainedEvents: DEFAULT_RETAINED_EVENTS,
      clock: systemClock,
      hierarchy,
      user: "core restore",
      alone: true,
    });
  } finally {
    hierarchy.wipe();
  }
}

/** @throws Error where the file is no whole copy of a Core's database */
function inspect(file: string): Omit<BackupReport, "file"> {
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

/** With its journal, which belongs to it. */
function moveDatabase(from: string, to: string): void {
  for (const ending of ["", "-wal", "-shm"]) {
    if (existsSync(`${from}${ending}`)) renameSync(`${from}${ending}`, `${to}${ending}`);
    else rmSync(`${to}${ending}`, { force: true });
  }
}

function removeDatabase(path: string): void {
  for (const ending of FILES) rmSync(`${path}${ending}`, { force: true });
}

function sync(path: string): void {
  const descriptor = openSync(path, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
