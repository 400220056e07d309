/**
 * The store in SQLite: nothing to install, one Core. Three files beside one another: keys and events (`core.db`), usage and
 * audit (`core.db-usage`, so that neither its locks nor its size touch a revocation), and room kept for a full disk.
 */
import { Database } from "bun:sqlite";
import type { Clock } from "../../base/time/clock.ts";
import type { LoggedEvent } from "../protocol/events.ts";
import { DatabaseFiles } from "./database-files.ts";
import { Fitness } from "./fitness.ts";
import { Reserve } from "./reserve.ts";
import { KEY_MIGRATIONS, type Migration, migrate, newestVersion, USAGE_MIGRATIONS } from "./schema.ts";
import type { Sql } from "./sql.ts";
import { SqlChange } from "./sql-change.ts";
import { SqlReader } from "./sql-reader.ts";
import { isFull, makePrivate, newLogId, SqliteDatabase } from "./sqlite-database.ts";
import { DatabaseInUse, type LogPosition, type Store, type StoreChange, type StoreHealth } from "./store.ts";
import { UsageTables } from "./usage-tables.ts";

export interface SqliteStoreOptions {
  /** A path, or `:memory:`. */
  readonly path: string;
  readonly retainedEvents: number;
  readonly clock: Clock;
  /** Once at most: this process must not go on with the store (why). */
  readonly onUnfit?: (reason: string) => void;
}

const RESERVE_AGAIN_MS = 5_000;

/** @throws Error with a sentence that says what to do, where the database can't be opened. */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  const { path } = options;
  const inMemory = path === ":memory:";
  const ending: (() => void)[] = [];
  try {
    if (!inMemory) ending.push(lockSqliteDatabase(path));
    const reserve = inMemory ? undefined : new Reserve(path);
    const fitness = new Fitness(options.onUnfit);
    let files: DatabaseFiles | undefined;
    // A lease that is read is not worth three looks at the disk: a heartbeat, and so each second, is.
    const check = (before: "read" | "commit"): void => (before === "read" ? fitness.check() : files?.check());
    const keys = new SqliteDatabase({ path, makeRoom: () => makeRoom(keys, reserve), check });
    ending.push(() => keys.close());
    const usage = new SqliteDatabase({ path: inMemory ? path : `${path}-usage`, check });
    ending.push(() => usage.close());
    if (!inMemory) files = new DatabaseFiles([path, `${path}-lock`, `${path}-usage`], fitness);
    const before = versionOf(keys);
    const migrated = before < newestVersion(KEY_MIGRATIONS) || versionOf(usage) < newestVersion(USAGE_MIGRATIONS);
    await migrateFile(usage, path, USAGE_MIGRATIONS);
    // A database from before there were steps has its usage in the same file.
    if (before === 1) await takeOverUsage(keys, path);
    await migrateFile(keys, path, KEY_MIGRATIONS, async (sql) => {
      if (before === 1) await takeOver(sql);
      else if (before === 0) {
        await sql.run("INSERT INTO event_log (id, log, last_seq) VALUES (1, $1, 0)", newLogId());
      }
    });
    return new SqliteStore({ options, keys, usage, reserve, files, fitness, migrated, ending });
  } catch (error) {
    for (const end of ending.reverse()) end();
    throw openError(path, error);
  }
}

interface SqliteStoreParts {
  readonly options: SqliteStoreOptions;
  readonly keys: SqliteDatabase;
  readonly usage: SqliteDatabase;
  readonly reserve: Reserve | undefined;
  /** Undefined in memory. */
  readonly files: DatabaseFiles | undefined;
  readonly fitness: Fitness;
  readonly migrated: boolean;
  readonly ending: readonly (() => void)[];
}

class SqliteStore extends SqlReader implements Store {
  readonly kind = "sqlite";
  readonly name: string;
  readonly usage: UsageTables;
  readonly #keys: SqliteDatabase;
  readonly #reserve: Reserve | undefined;
  readonly #files: DatabaseFiles | undefined;
  readonly #fitness: Fitness;
  readonly migrated: boolean;
  readonly #clock: Clock;
  readonly #ending: readonly (() => void)[];
  #reserveTriedMs = 0;
  #closed: Promise<void> | undefined;

  constructor({ options, keys, usage, reserve, files, fitness, migrated, ending }: SqliteStoreParts) {
    super(keys, options.retainedEvents);
    this.name = options.path;
    this.#keys = keys;
    this.#reserve = reserve;
    this.#files = files;
    this.#fitness = fitness;
    this.migrated = migrated;
    this.#clock = options.clock;
    this.#ending = ending;
    this.usage = new UsageTables(usage);
  }

  get health(): StoreHealth {
    this.#takeReserveAgain();
    return {
      away: undefined,
      unfit: this.#fitness.lost,
      late: undefined,
      full:
        this.#reserve?.held === false
          ? "the disk is full: the room that was kept for revocations is in use or could not be kept"
          : undefined,
    };
  }

  override async position(seq?: number): Promise<LogPosition & { event?: LoggedEvent }> {
    this.#files?.check();
    return super.position(seq);
  }

  change<T>(body: (change: StoreChange) => Promise<T>): Promise<T> {
    return this.#keys.transaction((sql) => body(new SqlChange(sql, this.retainedEvents)));
  }

  async nowMs(): Promise<number> {
    return this.#clock.wallMs();
  }

  async erase(): Promise<void> {
    this.#keys.db.run("PRAGMA wal_checkpoint(TRUNCATE)");
  }

  /** Nobody else is let in. */
  async others(): Promise<readonly string[]> {
    return [];
  }

  /** Nobody else commits. */
  onCommit(): void {}

  close(): Promise<void> {
    this.#closed ??= (async () => {
      // Behind what is under way.
      await this.#keys.transaction(async () => undefined).catch(() => undefined);
      await this.usage.settled();
      for (const end of [...this.#ending].reverse()) end();
    })();
    return this.#closed;
  }

  #takeReserveAgain(): void {
    if (this.#reserve === undefined || this.#reserve.held) return;
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#reserveTriedMs < RESERVE_AGAIN_MS) return;
    this.#reserveTriedMs = nowMs;
    this.#reserve.take();
  }
}

/** The disk is full: the write-ahead log is used anew, and what was kept is given up. */
function makeRoom(keys: SqliteDatabase, reserve: Reserve | undefined): boolean {
  const released = reserve?.release() ?? false;
  try {
    const [row] = keys.db.query<{ busy: number }, []>("PRAGMA wal_checkpoint(RESTART)").all();
    return released || row?.busy === 0;
  } catch (error) {
    if (!isFull(error)) throw error;
    return released;
  }
}

function versionOf({ db }: SqliteDatabase): number {
  return db.query<{ user_version: number }, []>("PRAGMA user_version").get()?.user_version ?? 0;
}

async function migrateFile(
  database: SqliteDatabase,
  path: string,
  migrations: readonly Migration[],
  then: (sql: Sql) => Promise<void> = async () => undefined,
): Promise<void> {
  const current = versionOf(database);
  if (current > newestVersion(migrations)) {
    throw new Error(`the database ${path} was made by a newer crypto-edge: use that version to open it`);
  }
  if (current === newestVersion(migrations)) return;
  await database.transaction(async (sql) => {
    await migrate(sql, "sqlite", migrations, current, (version) => sql.run(`PRAGMA user_version = ${version}`));
    await then(sql);
  });
}

/** From the schema before there were steps: the log's place and the check were rows of `meta`. */
async function takeOver(sql: Sql): Promise<void> {
  await sql.run(
    `INSERT INTO event_log (id, log, last_seq) SELECT 1, (SELECT value FROM meta WHERE name = 'log'),
       (SELECT value FROM meta WHERE name = 'last_seq')`,
  );
  await sql.run("INSERT INTO settings (name, value) SELECT name, value FROM meta WHERE name = 'check'");
  for (const table of ["meta", "usage_batches", "usage_counts", "audit_events"]) await sql.run(`DROP TABLE ${table}`);
}

/** Before the tables are dropped, and again from the beginning if the process ends in between. */
async function takeOverUsage(keys: SqliteDatabase, path: string): Promise<void> {
  const columns = {
    usage_batches: "edge, idempotency_key, digest, records, received_at",
    usage_counts: "edge, tenant, service, version, operation, outcome, principal, count, first_at, last_at",
    audit_events: "edge, received_at, event",
  };
  keys.db.query("ATTACH $1 AS usage_file").run(`${path}-usage`);
  try {
    await keys.transaction(async (sql) => {
      for (const [table, names] of Object.entries(columns)) {
        await sql.run(`DELETE FROM usage_file.${table}`);
        await sql.run(`INSERT INTO usage_file.${table} (${names}) SELECT ${names} FROM main.${table}`);
      }
      await sql.run(
        "UPDATE usage_file.audit_size SET bytes = (SELECT COALESCE(sum(length(event)), 0) FROM main.audit_events)",
      );
    });
  } finally {
    keys.db.run("DETACH usage_file");
  }
}

/**
 * One Core a database: held for as long as the process lives, however it ends. Readers (a backup) are let in.
 *
 * @returns what lets go of it
 * @throws DatabaseInUse
 */
export function lockSqliteDatabase(path: string): () => void {
  makePrivate(`${path}-lock`);
  const db = new Database(`${path}-lock`, { create: true });
  try {
    db.run("PRAGMA locking_mode = EXCLUSIVE");
    db.run("BEGIN EXCLUSIVE");
  } catch (error) {
    db.close();
    throw openError(path, error);
  }
  return () => db.close();
}

function openError(path: string, error: unknown): Error {
  const { code = "", message = "" } = error as { code?: string; message?: string };
  if (code.startsWith("SQLITE_BUSY")) {
    return new DatabaseInUse(
      `the database ${path} is in use by another Core: stop that one, or give another \`database\``,
    );
  }
  if (code.startsWith("SQLITE_")) {
    return new Error(`the database ${path} can't be opened (${message}): check the path and its permissions`);
  }
  return error instanceof Error ? error : new Error(String(error));
}
