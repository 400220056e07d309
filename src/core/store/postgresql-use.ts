/**
 * Who uses a database in PostgreSQL, by an advisory lock in a session of its own: each Core shares it for as long as it runs, a
 * restore has it alone. The lock ends with its process, however that ends; a session that was cut takes it again.
 */
import type { Clock, Timer } from "../../base/time/clock.ts";
import { withDeadline } from "../../base/time/deadline.ts";
import { classify, openPool, type PostgresqlConnectionOptions } from "./postgresql-database.ts";
import { DatabaseInUse, StoreUnavailable } from "./store.ts";

export interface PostgresqlUseOptions {
  readonly connection: PostgresqlConnectionOptions;
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** What the database lists this process as, such as `core core-1`. */
  readonly user: string;
  readonly alone: boolean;
  /** For sentences. */
  readonly database: string;
  /** Called with the versions of the tables' parts, every second. */
  readonly onVersions: (versions: ReadonlyMap<string, number>) => void;
}

/** Any number that other programs are unlikely to lock; a database may hold several schemas, each a Core's. */
const LOCK = 7_402_603;
const SCHEMA = "hashtext(coalesce(current_schema(), ''))";
/** Of this lock. */
const LOCKS = `FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.classid = ${LOCK}
  AND l.objid::bigint = (${SCHEMA}::bigint & 4294967295) AND l.objsubid = 2
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())`;
const USERS = `SELECT DISTINCT a.application_name AS name, coalesce(host(a.client_addr), 'this machine') AS host ${LOCKS.replace(
  "pg_locks l",
  "pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid",
)} AND l.pid <> pg_backend_pid() ORDER BY 1, 2`;
/** Whether this session has it: takes it where it has not, as one that was cut and connected again. */
const holdBy = (take: string): string =>
  `SELECT CASE WHEN EXISTS (SELECT 1 ${LOCKS} AND l.pid = pg_backend_pid()) THEN true ELSE ${take}(${LOCK}, ${SCHEMA}) END AS held`;
const VERSIONS = "SELECT part, version FROM schema_versions";
/** The session of a process that has just ended lives for a moment longer: it is waited for up to a second. */
const WAIT = "SELECT pg_sleep(0.05)";
const TRIES = 20;
const PERIOD_MS = 1_000;
/** PostgreSQL cuts longer ones. */
const NAME_MAX = 63;

export class PostgresqlUse {
  readonly #options: PostgresqlUseOptions;
  #session: Bun.SQL;
  #timer: Timer | undefined;
  #looking: Promise<void> | undefined;
  #closed = false;

  /** @throws DatabaseInUse where others use it alone, or at all if `alone` */
  static async open(options: PostgresqlUseOptions): Promise<PostgresqlUse> {
    const use = new PostgresqlUse(options);
    try {
      for (let tries = 0; !(await use.#hold()); tries++) {
        if (tries === TRIES) throw await use.#inUse();
        await use.#ask(WAIT);
      }
      return use;
    } catch (error) {
      await use.close();
      throw error;
    }
  }

  private constructor(options: PostgresqlUseOptions) {
    this.#options = options;
    this.#session = openSession(options);
  }

  /** From here on `onVersions` is called. */
  watch(): void {
    this.#timer = this.#options.clock.schedule(PERIOD_MS, () => {
      // A database that is away is told of elsewhere.
      this.#looking = this.#look()
        .catch(() => undefined)
        .finally(() => {
          if (!this.#closed) this.watch();
        });
    });
  }

  /** The other programs that use the database, as the database lists them. */
  async others(): Promise<string[]> {
    const rows = await this.#ask<{ name: string; host: string }>(USERS);
    return rows.map(({ name, host }) => `${name} (from ${host})`);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#session.close({ timeout: 0 }).catch(() => undefined);
    await this.#looking;
  }

  async #look(): Promise<void> {
    await this.#hold();
    const rows = await this.#ask<{ part: string; version: string }>(VERSIONS);
    this.#options.onVersions(new Map(rows.map(({ part, version }) => [part, Number(version)])));
  }

  async #hold(): Promise<boolean> {
    const take = this.#options.alone ? "pg_try_advisory_lock" : "pg_try_advisory_lock_shared";
    const [row] = await this.#ask<{ held: boolean }>(holdBy(take));
    return row?.held === true;
  }

  /**
   * A session that gives no answer (a cut network) or is ended is let go of, and with it the lock, which the next one takes again, by the credentials
   * of the time.
   */
  async #ask<Row>(text: string): Promise<Row[]> {
    const { clock, timeoutMs } = this.#options;
    const session = this.#session;
    try {
      return await withDeadline({
        clock,
        timeoutMs,
        work: async () => [...(await session.unsafe(text))] as Row[],
        errorFor: () => new StoreUnavailable(`no answer within ${timeoutMs} ms`),
      });
    } catch (error) {
      const told = classify(error);
      if (told instanceof StoreUnavailable && !this.#closed) {
        this.#session = openSession(this.#options);
        void session.close({ timeout: 0 }).catch(() => undefined);
      }
      throw told;
    }
  }

  async #inUse(): Promise<DatabaseInUse> {
    const others = (await this.others()).join(", ");
    return new DatabaseInUse(
      this.#options.alone
        ? `the database ${this.#options.database} is in use by ${others}: stop each first`
        : `the database ${this.#options.database} is being restored by ${others}: wait until that has ended`,
    );
  }
}

function openSession({ connection, timeoutMs, user }: PostgresqlUseOptions): Bun.SQL {
  return openPool({ connection, maxConnections: 1, timeoutMs, name: `crypto-edge ${user}`.slice(0, NAME_MAX) });
}
