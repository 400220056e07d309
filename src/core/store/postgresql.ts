/**
 * The store in PostgreSQL (14 or newer), shared by any number of Cores. A change begins by locking the log's one row: changes
 * are in one order over all Cores, and a number is visible only when all before it are.
 */
import { randomBytes } from "node:crypto";
import { Admission } from "../../base/time/admission.ts";
import type { Clock } from "../../base/time/clock.ts";
import type { LoggedEvent } from "../protocol/events.ts";
import { type PostgresqlConnectionOptions, PostgresqlDatabase } from "./postgresql-database.ts";
import { notify, PostgresqlNotifications } from "./postgresql-notifications.ts";
import { KEY_MIGRATIONS, type Migration, migrate, newestVersion, USAGE_MIGRATIONS } from "./schema.ts";
import type { Sql } from "./sql.ts";
import { SqlChange } from "./sql-change.ts";
import { SqlReader } from "./sql-reader.ts";
import { type Store, type StoreChange, type StoreHealth, StoreUnavailable } from "./store.ts";
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
const PARTS = { keys: KEY_MIGRATIONS, usage: USAGE_MIGRATIONS } as const;

/** @throws Error with a sentence that says what to do, where the database can't be reached or is not fit. */
export async function openPostgresqlStore(options: PostgresqlStoreOptions): Promise<Store> {
  const { connection, clock } = options;
  const maxConnections = options.maxConnections ?? DEFAULT_MAX_CONNECTIONS;
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const name = nameOf(connection);
  const keys = new PostgresqlDatabase({
    connection,
    maxConnections,
    timeoutMs,
    clock,
    ...(options.onChange === undefined ? {} : { onChange: options.onChange }),
  });
  const usage = new PostgresqlDatabase({
    connection,
    maxConnections: Math.max(1, Math.ceil(maxConnections / 4)),
    timeoutMs: USAGE_TIMEOUT_MS,
    clock,
  });
  try {
    await migratePostgresql(usage, name);
    return new PostgresqlStore(options, keys, usage, name, timeoutMs);
  } catch (error) {
    await Promise.all([keys.close(), usage.close()]);
    throw openError(name, error);
  }
}

class PostgresqlStore extends SqlReader implements Store {
  readonly kind = "postgresql";
  readonly name: string;
  readonly usage: UsageTables;
  readonly #keys: PostgresqlDatabase;
  readonly #usage: PostgresqlDatabase;
  readonly #notifications: PostgresqlNotifications;
  /** One at a time: the others would only wait for the log's row, on connections that leases need. */
  readonly #changes: Admission;
  readonly #closing = new AbortController();
  #closed: Promise<void> | undefined;

  constructor(
    options: PostgresqlStoreOptions,
    keys: PostgresqlDatabase,
    usage: PostgresqlDatabase,
    name: string,
    timeoutMs: number,
  ) {
    super(keys, options.retainedEvents);
    this.name = name;
    this.#keys = keys;
    this.#usage = usage;
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
    return { away: this.#keys.away, full: this.#keys.full ?? this.#usage.full, late: this.#notifications.late };
  }

  change<T>(body: (change: StoreChange) => Promise<T>): Promise<T> {
    return this.#changes.run(() =>
      this.#keys.transaction(async (sql) => {
        await sql.run("SELECT 1 FROM event_log FOR UPDATE");
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
      await Promise.all([this.#keys.close(), this.#usage.close()]);
    })();
    return this.#closed;
  }
}

class PostgresqlChange extends SqlChange {
  protected override async tell(event: LoggedEvent): Promise<void> {
    await notify(this.sql, event.seq);
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
  const message = error instanceof Error ? error.message : String(error);
  if ((error as { errno?: unknown }).errno === "42501") {
    return new Error(
      `the database ${name} lets this user make no tables (${message}): run \`crypto-edge core migrate\` as one that may`,
    );
  }
  return message.includes(name)
    ? new Error(message)
    : new Error(`the database ${name} can't be used (${message}): check the address, the password and that it runs`);
}
