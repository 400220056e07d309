/** What both databases can do: the little that `SqlReader` and `SqlChange` ask of them. */
export type SqlValue = string | number | Uint8Array | null;

/**
 * Runs statements, one at a time, each alone or inside a transaction. Parameters are `$1`, `$2`…, first used in that order
 * (SQLite numbers them so). Whole numbers come as numbers or, of PostgreSQL's 64 bits, as text: `Number()` reads both.
 */
export interface Sql {
  all<Row>(text: string, ...values: SqlValue[]): Promise<Row[]>;
  run(text: string, ...values: SqlValue[]): Promise<void>;
}

export interface SqlDatabase extends Sql {
  /** The body's statements and no others; a read beside it sees what was committed before. */
  transaction<T>(body: (sql: Sql) => Promise<T>): Promise<T>;
}

export type Dialect = "sqlite" | "postgresql";
