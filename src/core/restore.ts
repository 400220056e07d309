/**
 * A Core made from a copy of a database, or from a PostgreSQL that was restored by its own tools (docs/core.md, "Backup and restore"):
 * with a new history, and numbers of versions beyond those that were given since.
 */
import { randomBytes } from "node:crypto";
import { copyFileSync, existsSync, linkSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { messageOf } from "../base/errors.ts";
import { requireRegularFile } from "../base/read-file.ts";
import { systemClock } from "../base/time/system-clock.ts";
import { wipe } from "../base/wipe.ts";
import { inspect, sync } from "./backup.ts";
import { databaseOf } from "./database-settings.ts";
import { KeyHierarchy } from "./keys/hierarchy.ts";
import { type LoadedCore, readMasterKeys } from "./load-core.ts";
import type { MasterKeys } from "./master-key.ts";
import { openKeyStore } from "./open-key-store.ts";
import { DEFAULT_RETAINED_EVENTS, type PostgresqlOptions } from "./store/open-store.ts";
import { lockSqliteDatabase } from "./store/sqlite.ts";
import { makePrivate } from "./store/sqlite-database.ts";
import type { Store } from "./store/store.ts";

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
const JOURNALS = ["-wal", "-shm"];
const FILES = ["", ...JOURNALS, "-lock", "-reserve", "-usage", "-usage-wal", "-usage-shm"];

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

/**
 * The new history begins in a copy beside the database, which takes its place while no Core can open either. Ended at any point, the
 * old database is in its place, whole, or the new one is.
 */
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
  try {
    removeDatabase(copy);
    makePrivate(copy);
    copyFileSync(file, copy);
    const report = await beginHistory(copy, keys, versionMargin, async (restored) => {
      if (before === undefined) return [];
      nameAlso(database, before);
      // Closed after that, it has in one file all that it had in its journal.
      return compare(before, keys, restored);
    });
    sync(copy);
    // A journal of the old database would be taken for one of the new.
    for (const ending of JOURNALS) rmSync(`${database}${ending}`, { force: true });
    renameSync(copy, database);
    sync(dirname(database));
    return { ...report, before };
  } catch (error) {
    if (before !== undefined) removeDatabase(before);
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

/** A second name for a database's file and journal; a copy, where the file system has no second names. */
function nameAlso(path: string, other: string): void {
  for (const ending of ["", "-wal"]) {
    if (!existsSync(`${path}${ending}`)) continue;
    try {
      linkSync(`${path}${ending}`, `${other}${ending}`);
    } catch {
      copyFileSync(`${path}${ending}`, `${other}${ending}`);
    }
  }
}

function removeDatabase(path: string): void {
  for (const ending of FILES) rmSync(`${path}${ending}`, { force: true });
}
