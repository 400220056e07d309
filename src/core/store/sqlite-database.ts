/** One SQLite file as a `SqlDatabase`: statements and transactions one after another, each in the turn that asks for it. */
import { Database, type SQLQueryBindings } from "bun:sqlite";
import { randomBytes } from "node:crypto";
import { closeSync, existsSync, openSync } from "node:fs";
import type { Sql, SqlDatabase, SqlValue } from "./sql.ts";
import { StoreFull } from "./store.ts";

export interface SqliteDatabaseOptions {
  /** A path, or `:memory:`. */
  readonly path: string;
  /** Called when the disk is full, once a statement: makes room, and says whether trying again can help. */
  readonly makeRoom?: () => boolean;
  /** Called before each read and each commit; throws where this process must not go on. */
  readonly check?: (before: "read" | "commit") => void;
}

/** SQLite would make it as the umask says: for everybody to read. Its journals take the file's mode. */
export function makePrivate(path: string): void {
  if (path !== ":memory:" && !existsSync(path)) closeSync(openSync(path, "a", 0o600));
}

export class SqliteDatabase implements SqlDatabase {
  readonly db: Database;
  readonly #makeRoom: () => boolean;
  readonly #check: (before: "read" | "commit") => void;
  readonly #direct: Sql;
  /** The transaction under way, and those that wait behind it. A read waits too: it would see what is not committed. */
  #busy: Promise<unknown> | undefined;

  constructor(options: SqliteDatabaseOptions) {
    this.#makeRoom = options.makeRoom ?? (() => false);
    this.#check = options.check ?? (() => undefined);
    makePrivate(options.path);
    this.db = new Database(options.path, { create: true, strict: true });
    this.db.run("PRAGMA journal_mode = WAL");
    this.db.run("PRAGMA synchronous = FULL");
    // The write-ahead log is used anew at about a mebibyte, so that it takes little room.
    this.db.run("PRAGMA wal_autocheckpoint = 250");
    this.db.run("PRAGMA foreign_keys = ON");
    this.db.run("PRAGMA secure_delete = ON");
    this.db.run("PRAGMA busy_timeout = 1000");
    this.#direct = {
      all: async (text, ...values) => this.#all(text, values),
      run: async (text, ...values) => this.#run(text, values),
    };
  }

  async all<Row>(text: string, ...values: SqlValue[]): Promise<Row[]> {
    while (this.#busy !== undefined) await this.#busy;
    this.#check("read");
    return this.#all<Row>(text, values);
  }

  async run(text: string, ...values: SqlValue[]): Promise<void> {
    await this.transaction((sql) => sql.run(text, ...values));
  }

  async transaction<T>(body: (sql: Sql) => Promise<T>): Promise<T> {
    while (this.#busy !== undefined) await this.#busy;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#busy = promise;
    try {
      return await this.#attempt(body).catch((error: unknown) => {
        if (!isFull(error)) throw error;
        if (!this.#makeRoom()) throw full(error);
        return this.#attempt(body).catch((again: unknown) => {
          throw isFull(again) ? full(again) : again;
        });
      });
    } finally {
      this.#busy = undefined;
      resolve();
    }
  }

  close(): void {
    this.db.close();
  }

  async #attempt<T>(body: (sql: Sql) => Promise<T>): Promise<T> {
    this.db.run("BEGIN IMMEDIATE");
    try {
      const result = await body(this.#direct);
      this.#check("commit");
      this.db.run("COMMIT");
      return result;
    } catch (error) {
      if (this.db.inTransaction) this.db.run("ROLLBACK");
      throw error;
    }
  }

  #all<Row>(text: string, values: SqlValue[]): Row[] {
    return this.db.query<Row, SQLQueryBindings[]>(text).all(...(values as SQLQueryBindings[]));
  }

  #run(text: string, values: SqlValue[]): void {
    this.db.query<unknown, SQLQueryBindings[]>(text).run(...(values as SQLQueryBindings[]));
  }
}

export function isFull(error: unknown): boolean {
  return (error as { code?: unknown } | null)?.code === "SQLITE_FULL";
}

function full(error: unknown): StoreFull {
  return new StoreFull("the disk that the Core's database is on is full: make room there", { cause: error });
}

export function newLogId(): string {
  return randomBytes(16).toString("hex");
}
