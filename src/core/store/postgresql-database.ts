/**
 * A pool of connections to PostgreSQL as a `SqlDatabase`. Every wait ends: a call that is not answered in time gives the
 * whole pool up (its connections may hang for ever on a cut network), and while the server is away calls fail at once.
 */
import { messageOf } from "../../base/errors.ts";
import { Admission } from "../../base/time/admission.ts";
import { CircuitBreaker } from "../../base/time/circuit-breaker.ts";
import type { Clock } from "../../base/time/clock.ts";
import { withDeadline } from "../../base/time/deadline.ts";
import type { Fitness } from "./fitness.ts";
import type { Sql, SqlDatabase, SqlValue } from "./sql.ts";
import { StoreFull, StoreUnavailable } from "./store.ts";

/** In PEM. */
export interface DatabaseCredentials {
  /** The authority of the server's certificate, where it is none of the system's. */
  readonly ca?: string | undefined;
  /** What this client shows, with its key. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

export interface PostgresqlConnectionOptions {
  readonly hostname: string;
  readonly port: number;
  readonly username: string;
  /** A function is asked for each connection. */
  readonly password?: string | (() => string) | undefined;
  readonly database: string;
  /** A folder with the server's socket, in the place of host and port. */
  readonly socket?: string | undefined;
  /** `disable`, or how the server's certificate is checked. */
  readonly tls: "disable" | "require" | "verify-ca" | "verify-full";
  /** A function is asked for each pool. */
  readonly credentials?: DatabaseCredentials | (() => DatabaseCredentials) | undefined;
  /** Default: every database user's own. */
  readonly schema?: string | undefined;
}

export interface PostgresqlDatabaseOptions {
  readonly connection: PostgresqlConnectionOptions;
  readonly maxConnections: number;
  /** For one statement or one transaction, connecting included. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** Checked before each call. */
  readonly fitness: Fitness;
  /** The server is away, or answers again. */
  readonly onChange?: (away: string | undefined) => void;
}

/** For each connection: statements follow one another without waiting for the answer. */
const CALLS_PER_CONNECTION = 4;
const WAITING_MAX = 8_192;
/** Whoever waits longer has given up, or soon will. */
const WAIT_MAX_MS = 2_000;

/** SQLSTATE classes and codes that tell of the server's state, not of the statement. */
const AWAY = /^(08|28|3D000|57P|57014|53[0234]|25006|58)/;
const DISK_FULL = "53100";
/** Another session holds a lock, or was first: the server is there, and other statements get their answer. */
const HELD = /^(40001|40P01|55P03)$/;

export class PostgresqlDatabase implements SqlDatabase {
  readonly #options: PostgresqlDatabaseOptions;
  readonly #circuit: CircuitBreaker;
  /** A fleet that comes back at once is worked off: time in line is none that the server took. */
  readonly #admission: Admission;
  #pool: Bun.SQL;
  /** What the pool's connections are made with. */
  #credentials: DatabaseCredentials;
  #away: string | undefined;
  #full: string | undefined;
  #closed = false;

  constructor(options: PostgresqlDatabaseOptions) {
    this.#options = options;
    this.#credentials = credentialsOf(options.connection);
    this.#pool = openPool(options);
    this.#admission = new Admission({
      clock: options.clock,
      atOnce: options.maxConnections * CALLS_PER_CONNECTION,
      waitingMax: WAITING_MAX,
      waitMaxMs: WAIT_MAX_MS,
      refusal: () => new StoreUnavailable("too many calls wait for the database"),
    });
    this.#circuit = new CircuitBreaker({
      failuresToOpen: 1,
      openForMs: (openings) => Math.min(1_000, 100 * 2 ** Math.min(openings, 4)),
      onChange: (state, reason) => {
        if (state === "half_open") return;
        const away = state === "open" ? reason : undefined;
        if ((away === undefined) !== (this.#away === undefined)) options.onChange?.(away);
        this.#away = away;
      },
    });
  }

  /** Why the server gives no answers; undefined while it does. */
  get away(): string | undefined {
    return this.#away;
  }

  /** Why nothing can be written; undefined since something was. */
  get full(): string | undefined {
    return this.#full;
  }

  all<Row>(text: string, ...values: SqlValue[]): Promise<Row[]> {
    return this.#guard(async (pool) => [...(await pool.unsafe(text, values))] as Row[]);
  }

  async run(text: string, ...values: SqlValue[]): Promise<void> {
    await this.#guard((pool) => pool.unsafe(text, values));
  }

  async transaction<T>(body: (sql: Sql) => Promise<T>): Promise<T> {
    const value = await this.#guard(
      (pool) =>
        pool.begin((transaction) =>
          body({
            all: async <Row>(text: string, ...values: SqlValue[]) =>
              [...(await transaction.unsafe(text, values))] as Row[],
            run: async (text, ...values) => void (await transaction.unsafe(text, values)),
          }),
        ) as Promise<T>,
    );
    this.#full = undefined;
    return value;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#pool.close({ timeout: 1 }).catch(() => undefined);
  }

  #guard<T>(work: (pool: Bun.SQL) => Promise<T>): Promise<T> {
    return this.#admission.run(() => this.#attempt(work));
  }

  async #attempt<T>(work: (pool: Bun.SQL) => Promise<T>): Promise<T> {
    const { clock, timeoutMs, fitness } = this.#options;
    const circuit = this.#circuit;
    if (this.#closed) throw new StoreUnavailable("the store is closed");
    fitness.check();
    const nowMs = clock.monotonicMs();
    if (circuit.isOpen(nowMs) || (circuit.state !== "closed" && !circuit.tryAgain(nowMs))) {
      throw new StoreUnavailable(`the database is away: ${this.#away}`);
    }
    const { period } = circuit;
    // What is under way on connections by the former ones ends there.
    if (!isSame(this.#credentials, credentialsOf(this.#options.connection)))
      this.#replace(this.#pool, timeoutMs / 1_000);
    const pool = this.#pool;
    try {
      const value = await withDeadline({
        clock,
        timeoutMs,
        work: () => work(pool),
        errorFor: () => new StoreUnavailable(`no answer within ${timeoutMs} ms`),
      });
      circuit.succeeded(period);
      return value;
    } catch (error) {
      const told = classify(error);
      if (told instanceof StoreFull) this.#full = told.message;
      if (!(told instanceof StoreUnavailable) || told instanceof StoreHeld) {
        circuit.succeeded(period);
        throw told;
      }
      circuit.failed(period, clock.monotonicMs(), told.message);
      if (error instanceof StoreUnavailable) this.#replace(pool);
      throw told;
    }
  }

  /** Connections that don't answer, or have other credentials than now, are let go of; what waits on them has `timeout` seconds. */
  #replace(pool: Bun.SQL, timeout = 0): void {
    if (this.#pool !== pool || this.#closed) return;
    this.#credentials = credentialsOf(this.#options.connection);
    this.#pool = openPool(this.#options);
    void pool.close({ timeout }).catch(() => undefined);
  }
}

function credentialsOf({ credentials = {} }: PostgresqlConnectionOptions): DatabaseCredentials {
  return typeof credentials === "function" ? credentials() : credentials;
}

function isSame(one: DatabaseCredentials, other: DatabaseCredentials): boolean {
  return one.ca === other.ca && one.cert === other.cert && one.key === other.key;
}

function tlsOf(connection: PostgresqlConnectionOptions) {
  const { tls } = connection;
  const { ca, cert, key } = credentialsOf(connection);
  if (tls === "disable" || (ca === undefined && cert === undefined)) return tls;
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert, key }),
    rejectUnauthorized: ca !== undefined || tls !== "require",
  };
}

export interface PoolOptions extends Pick<PostgresqlDatabaseOptions, "connection" | "maxConnections" | "timeoutMs"> {
  /** What the database lists the sessions as. */
  readonly name?: string;
}

export function openPool(
  { connection, maxConnections, timeoutMs, name = "crypto-edge core" }: PoolOptions,
  onClose?: () => void,
): Bun.SQL {
  const { hostname, port, username, password, database, socket, schema } = connection;
  const timeout = String(timeoutMs);
  // The server gives up first, by saying why: after `timeoutMs` the connections are given up, with all that waits on them.
  const lockTimeout = String(Math.ceil(timeoutMs / 2));
  return new Bun.SQL({
    adapter: "postgres",
    hostname,
    port,
    username,
    // Each given, so that no variable of the environment stands in for it.
    password: password ?? "",
    database,
    ...(socket === undefined ? {} : { path: socket }),
    tls: tlsOf(connection),
    max: maxConnections,
    connectionTimeout: Math.max(1, Math.ceil(timeoutMs / 1_000)),
    ...(onClose === undefined ? {} : { onclose: onClose }),
    connection: {
      application_name: name,
      statement_timeout: timeout,
      lock_timeout: lockTimeout,
      // A Core that is cut off in the middle of a change must not keep the log's row from the others.
      idle_in_transaction_session_timeout: timeout,
      tcp_keepalives_idle: "5",
      tcp_keepalives_interval: "2",
      tcp_keepalives_count: "3",
      ...(schema === undefined ? {} : { search_path: schema }),
    },
  });
}

/** What a pooler answers that gives each transaction another session: to the parameters of a connection, or to its prepared statements. */
const POOLER = /unsupported startup parameter|^prepared statement ".*" (already exists|does not exist)/;
const POOLER_ADVICE =
  "a pooler that shares connections between transactions stands between: connect to PostgreSQL itself";

/** What OpenSSL and the TLS library call the failures of a handshake. */
const TLS =
  /^(ERR_TLS_|ERR_SSL_|ERR_BORINGSSL|EPROTO$|CERT_|CRL_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|INVALID_CA$|INVALID_PURPOSE$|PATH_LENGTH_|HOSTNAME_MISMATCH$|ERROR_IN_CERT_)/;

/** No connection comes about: one side does not trust the other. */
export class StoreNotTrusted extends StoreUnavailable {}

function notTrusted(code: string, message: string): string {
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID" || code === "HOSTNAME_MISMATCH") {
    return "the database's certificate is of another name than the one that it is called by: name it as its certificate does";
  }
  if (code === "EPROTO") {
    return `the database refused the TLS connection (${message}): look at the cert and key that it is shown, and at its own log`;
  }
  return `the database's certificate can't be trusted (${message}, ${code}): give the authority's certificate as ca, and look at the times of both`;
}

/** One statement has to wait for another session; the database answers. */
class StoreHeld extends StoreUnavailable {}

/** What the database's or the driver's error says of the store. */
export function classify(error: unknown): unknown {
  if (error instanceof StoreUnavailable || error instanceof StoreFull) return error;
  const { code, errno } = (error ?? {}) as { code?: unknown; errno?: unknown };
  if (code === "ERR_POSTGRES_SERVER_ERROR") {
    const state = String(errno);
    if (state === DISK_FULL) {
      return new StoreFull("the disk that PostgreSQL writes to is full: make room there", { cause: error });
    }
    const message = messageOf(error);
    if (POOLER.test(message)) return new StoreUnavailable(`${message}: ${POOLER_ADVICE}`, { cause: error });
    if (HELD.test(state)) {
      return new StoreHeld(
        `another session of the database holds what this change needs (${messageOf(error)}): pg_stat_activity tells which`,
        { cause: error },
      );
    }
    return AWAY.test(state) ? new StoreUnavailable(messageOf(error), { cause: error }) : error;
  }
  if (typeof code === "string" && TLS.test(code)) {
    return new StoreNotTrusted(notTrusted(code, messageOf(error)), { cause: error });
  }
  return typeof code === "string" && code.startsWith("ERR_POSTGRES_")
    ? new StoreUnavailable(`${messageOf(error)} (${code})`, { cause: error })
    : error;
}
