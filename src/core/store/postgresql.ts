/**
 * The store in PostgreSQL (14 or newer), shared by any number of Cores. A change begins by locking the log's one row: changes
 * are in one order over all Cores, and a number is visible only when all before it are.
 */
import { randomBytes } from "node:crypto";
import { Admission } from "../../base/time/admission.ts";
import type { Clock } from "../../base/time/clock.ts";
import type { LoggedEvent } from "../protocol/events.ts";
import { Fitness } from "./fitness.ts";
import { type PostgresqlConnectionOptions, PostgresqlDatabase, StoreNotTrusted } from "./postgresql-database.ts";
import { notify, PostgresqlNotifications } from "./postgresql-notifications.ts";
import { PostgresqlUse } from "./postgresql-use.ts";
import { KEY_MIGRATIONS, type Migration, migrate, newestVersion, USAGE_MIGRATIONS } from "./schema.ts";
import type { Sql } from "./sql.ts";
import { SqlChange } from "./sql-change.ts";
import { SqlReader } from "./sql-reader.ts";
import { DatabaseInUse, type Store, type StoreChange, type StoreHealth, StoreUnavailable } from "./store.ts";
import { UsageTables } from "./usage-tables.ts";

export interface PostgresqlStoreOptions {
  readonly connection: PostgresqlConnectionOptions;
  readonly retainedEvents: number;
  readonly clock: Clock;
  /** For leases and changes; usage has a fourth of it beside them. */
  readonly maxConnections?: number;
  readonly timeoutMs?: number;
  /** The server is away (why), or answers again. */
  readonly onChange?: (away: string | undefined) => void;
  /** Events of other Cores come late (why), or at once again. */
  readonly onLate?: (late: string | undefined) => void;
  /** Once at most: this process must not go on with the store (why). */
  readonly onUnfit?: (reason: string) => void;
  /** What the database lists this process as. */
  readonly user: string;
  /** Nobody else may use the database meanwhile. */
  readonly alone?: boolean;
}

const DEFAULT_MAX_CONNECTIONS = 8;
const DEFAULT_TIMEOUT_MS = 1_000;
/** A batch of usage is written in many statements. */
const USAGE_TIMEOUT_MS = 20_000;
const CHANGES_WAITING_MAX = 1_024;
const CHANGES_WAIT_MAX_MS = 10_000;
/** Any number that other programs are unlikely to lock. */
const MIGRATION_LOCK = 7_402_602;
const OLDEST_SERVER = 140_000;
/** Changes are in one order, and none is made on tables that are newer than this program. */
const LOCK_LOG = `SELECT (SELECT version FROM schema_versions WHERE part = 'keys') AS version FROM event_log FOR UPDATE`;
const PARTS = { keys: KEY_MIGRATIONS, usage: USAGE_MIGRATIONS } as const;

/** @throws Error with a sentence that says what to do, where the database can't be reached or is not fit. */
export async function openPostgresqlStore(options: PostgresqlStoreOptions): Promise<Store> {
  const { connection, clock } = options;
  const maxConnections = options.maxConnections ?? DEFAULT_MAX_CONNECTIONS;
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const name = nameOf(connection);
  const fitness = new Fitness(options.onUnfit);
  const keys = new PostgresqlDatabase({
    connection,
    maxConnections,
    timeoutMs,
    clock,
    fitness,
    ...(options.onChange === undefined ? {} : { onChange: options.onChange }),
  });
  const usage = new PostgresqlDatabase({
    connection,
    maxConnections: Math.max(1, Math.ceil(maxConnections / 4)),
    timeoutMs: USAGE_TIMEOUT_MS,
    clock,
    fitness,
  });
  let use: PostgresqlUse | undefined;
  try {
    use = await PostgresqlUse.open({
      connection,
      timeoutMs: USAGE_TIMEOUT_MS,
      clock,
      user: options.user,
      alone: options.alone ?? false,
      database: name,
      onVersions: (versions) => checkVersions(versions, fitness),
    });
    const taken = await migratePostgresql(usage, name);
    use.watch();
    return new PostgresqlStore({ options, keys, usage, use, fitness, taken, name, timeoutMs });
  } catch (error) {
    await Promise.all([keys.close(), usage.close(), use?.close()]);
    throw openError(name, error);
  }
}

interface PostgresqlStoreParts {
  readonly options: PostgresqlStoreOptions;
  readonly keys: PostgresqlDatabase;
  readonly usage: PostgresqlDatabase;
  readonly use: PostgresqlUse;
  readonly fitness: Fitness;
  readonly taken: readonly Migration[];
  readonly name: string;
  readonly timeoutMs: number;
}

class PostgresqlStore extends SqlReader implements Store {
  readonly kind = "postgresql";
  readonly name: string;
  readonly usage: UsageTables;
  readonly #keys: PostgresqlDatabase;
  readonly #usage: PostgresqlDatabase;
  readonly #use: PostgresqlUse;
  readonly #fitness: Fitness;
  readonly migrated: boolean;
  readonly #notifications: PostgresqlNotifications;
  /** One at a time: the others would only wait for the log's row, on connections that leases need. */
  readonly #changes: Admission;
  readonly #closing = new AbortController();
  #closed: Promise<void> | undefined;

  constructor({ options, keys, usage, use, fitness, taken, name, timeoutMs }: PostgresqlStoreParts) {
    super(keys, options.retainedEvents);
    this.name = name;
    this.#keys = keys;
    this.#usage = usage;
    this.#use = use;
    this.#fitness = fitness;
    this.migrated = taken.length > 0;
    this.#notifications = new PostgresqlNotifications({
      connection: options.connection,
      timeoutMs,
      clock: options.clock,
      run: (text, ...values) => usage.run(text, ...values),
      ...(options.onLate === undefined ? {} : { onChange: options.onLate }),
    });
    this.#changes = new Admission({
      clock: options.clock,
      atOnce: 1,
      waitingMax: CHANGES_WAITING_MAX,
      waitMaxMs: CHANGES_WAIT_MAX_MS,
      refusal: () => new StoreUnavailable("too many changes wait"),
    });
    this.usage = new UsageTables(usage);
  }

  get health(): StoreHealth {
    return {
      away: this.#keys.away,
      unfit: this.#fitness.lost,
      full: this.#keys.full ?? this.#usage.full,
      late: this.#notifications.late,
    };
  }

  change<T>(body: (change: StoreChange) => Promise<T>): Promise<T> {
    return this.#changes.run(() =>
      this.#keys.transaction(async (sql) => {
        const [row] = await sql.all<{ version: string }>(LOCK_LOG);
        checkVersions(new Map([["keys", Number(row?.version)]]), this.#fitness);
        this.#fitness.check();
        return body(new PostgresqlChange(sql, this.retainedEvents));
      }),
    );
  }

  async nowMs(): Promise<number> {
    const [row] = await this.#usage.all<{ now: string }>(
      "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now",
    );
    return Number(row!.now);
  }

  others(): Promise<string[]> {
    return this.#use.others();
  }

  /** What was deleted stays in dead rows until it is vacuumed, and in the write-ahead log until that is used anew. */
  async erase(): Promise<void> {
    await this.#usage.run("VACUUM service_keys, tenants").catch(() => undefined);
  }

  onCommit(listener: () => void): void {
    void this.#notifications.listen(listener, this.#closing.signal);
  }

  close(): Promise<void> {
    this.#closed ??= (async () => {
      this.#closing.abort();
      await Promise.all([this.#keys.close(), this.#usage.close(), this.#use.close()]);
    })();
    return this.#closed;
  }
}

class PostgresqlChange extends SqlChange {
  protected override async tell(event: LoggedEvent): Promise<void> {
    await notify(this.sql, event.seq);
  }
}

/** Another program of a newer version has changed the tables: what this one would read and write is not known. */
function checkVersions(versions: ReadonlyMap<string, number>, fitness: Fitness): void {
  for (const [part, migrations] of Object.entries(PARTS)) {
    if ((versions.get(part) ?? 0) > newestVersion(migrations)) {
      fitness.lose("the database was brought to the tables of a newer crypto-edge: update this Core");
    }
  }
}

/** Brings the tables up to date, one process at a time. Returns the steps that were taken. */
async function migratePostgresql(database: PostgresqlDatabase, name: string): Promise<readonly Migration[]> {
  const [server] = await database.all<{ server_version_num: string }>("SHOW server_version_num");
  if (Number(server?.server_version_num) < OLDEST_SERVER) {
    throw new Error(`the database ${name} is older than PostgreSQL 14: use a newer one`);
  }
  if ((await missing(database, name)) === 0) return [];
  return database.transaction(async (sql) => {
    await sql.run("SELECT pg_advisory_xact_lock($1)", MIGRATION_LOCK);
    await sql.run("CREATE TABLE IF NOT EXISTS schema_versions (part TEXT PRIMARY KEY, version bigint NOT NULL)");
    const taken: Migration[] = [];
    for (const [part, migrations] of Object.entries(PARTS)) {
      const current = await versionOf(sql, part);
      const steps = await migrate(sql, "postgresql", migrations, current, (version) =>
        sql.run(
          `INSERT INTO schema_versions (part, version) VALUES ($1, $2)
           ON CONFLICT (part) DO UPDATE SET version = excluded.version`,
          part,
          version,
        ),
      );
      taken.push(...steps);
    }
    await sql.run(
      "INSERT INTO event_log (id, log, last_seq) VALUES (1, $1, 0) ON CONFLICT (id) DO NOTHING",
      randomBytes(16).toString("hex"),
    );
    return taken;
  });
}

/** How many steps are to be taken. @throws Error where the tables are newer than this program. */
async function missing(database: PostgresqlDatabase, name: string): Promise<number> {
  const [exists] = await database.all<{ there: string | null }>("SELECT to_regclass('schema_versions')::text AS there");
  let steps = 0;
  for (const [part, migrations] of Object.entries(PARTS)) {
    const current = exists?.there == null ? 0 : await versionOf(database, part);
    if (current > newestVersion(migrations)) {
      throw new Error(`the database ${name} was made by a newer crypto-edge: use that version to open it`);
    }
    steps += newestVersion(migrations) - current;
  }
  return steps;
}

async function versionOf(sql: Sql, part: string): Promise<number> {
  const [row] = await sql.all<{ version: string }>("SELECT version FROM schema_versions WHERE part = $1", part);
  return Number(row?.version ?? 0);
}

function nameOf({ hostname, port, database, socket }: PostgresqlConnectionOptions): string {
  return socket === undefined ? `postgres://${hostname}:${port}/${database}` : `postgres:${socket}/${database}`;
}

function openError(name: string, error: unknown): Error {
  if (error instanceof DatabaseInUse) return error;
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof StoreNotTrusted) return new Error(`the database ${name} can't be used: ${message}`);
  if ((error as { errno?: unknown }).errno === "42501") {
    return new Error(
      `the database ${name} lets this user make no tables (${message}): run \`crypto-edge core migrate\` as one that may`,
    );
  }
  return message.includes(name)
    ? new Error(message)
    : new Error(`the database ${name} can't be used (${message}): check the address, the password and that it runs`);
}
