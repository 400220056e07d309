/** From `database` of the configuration to a store. */
import type { Clock } from "../../base/time/clock.ts";
import type { PostgresqlConnectionOptions } from "./postgresql-database.ts";
import type { Store } from "./store.ts";

export interface StoreOptions {
  /** A path, `:memory:`, or PostgreSQL's connection. */
  readonly database: string | PostgresqlOptions;
  readonly retainedEvents: number;
  readonly clock: Clock;
  /** The database is away (why), or answers again. */
  readonly onChange?: (away: string | undefined) => void;
  /** Events of other Cores come late (why), or at once again. */
  readonly onLate?: (late: string | undefined) => void;
  /** Once at most: this process must not go on with the store (why). */
  readonly onUnfit?: (reason: string) => void;
  /** What others that can't share the database are told of this process, such as `core core-1`. Default: `core`. */
  readonly user?: string;
  /** Nobody else may use the database meanwhile; in SQLite nobody ever may. */
  readonly alone?: boolean;
}

export interface PostgresqlOptions extends PostgresqlConnectionOptions {
  readonly maxConnections?: number;
  readonly timeoutMs?: number;
}

/** How many events are kept for edges that were away. */
export const DEFAULT_RETAINED_EVENTS = 100_000;

/**
 * @throws DatabaseInUse
 * @throws Error with a sentence that says what to do.
 */
export async function openStore({ database, user = "core", ...options }: StoreOptions): Promise<Store> {
  if (typeof database === "string") {
    const { openSqliteStore } = await import("./sqlite.ts");
    return openSqliteStore({ path: database, ...options });
  }
  const { openPostgresqlStore } = await import("./postgresql.ts");
  const { maxConnections, timeoutMs, ...connection } = database;
  return openPostgresqlStore({
    connection,
    user,
    ...options,
    ...(maxConnections === undefined ? {} : { maxConnections }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  });
}

/**
 * Reads `postgres://user@host:5432/database?sslmode=verify-full`. TLS with the server's certificate checked, unless the URL
 * says otherwise or the host is this machine.
 *
 * @throws Error with a sentence
 */
export function parsePostgresqlUrl(text: string): PostgresqlConnectionOptions {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new Error("write it like postgres://core@db.example/core");
  }
  if (url.protocol !== "postgres:" && url.protocol !== "postgresql:") throw new Error("it must begin with postgres://");
  const known = ["sslmode", "host", "search_path"];
  for (const name of url.searchParams.keys()) {
    if (!known.includes(name)) throw new Error(`the parameter ${name} is not known: there are ${known.join(", ")}`);
  }
  const socket = url.searchParams.get("host") ?? undefined;
  const hostname = decodeURIComponent(url.hostname).replace(/^\[|\]$/g, "") || "localhost";
  const isLocal = socket !== undefined || hostname === "localhost" || hostname === "::1" || hostname.startsWith("127.");
  const tls = url.searchParams.get("sslmode") ?? (isLocal ? "disable" : "verify-full");
  if (tls !== "disable" && tls !== "require" && tls !== "verify-ca" && tls !== "verify-full") {
    throw new Error("sslmode is disable, require, verify-ca or verify-full");
  }
  const database = decodeURIComponent(url.pathname.slice(1));
  if (database === "" || url.username === "")
    throw new Error("name the user and the database: postgres://USER@HOST/DATABASE");
  const schema = url.searchParams.get("search_path") ?? undefined;
  return {
    hostname,
    port: url.port === "" ? 5432 : Number(url.port),
    username: decodeURIComponent(url.username),
    ...(url.password === "" ? {} : { password: decodeURIComponent(url.password) }),
    database,
    ...(socket === undefined ? {} : { socket }),
    tls,
    ...(schema === undefined ? {} : { schema }),
  };
}
