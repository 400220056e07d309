/** Rows of a table with encrypted columns: sealed and opened whole, alone or in bulk, whichever library writes the SQL. */
import { CryptoEdgeError, contextFrom, type EncryptionContext } from "../client/index.ts";
import type { Json, Records, SealManyOptions } from "./records.ts";

declare const SEALED: unique symbol;

/** `Uint8Array<ArrayBuffer>` for compilers that know it (TypeScript 5.7), as libraries of databases want it. */
type Bytes = ReturnType<Uint8Array["slice"]>;

/** A record that holds a `T`. The brand is for the compiler: no plain text passes for it in a column's type. */
export type Sealed<T> = Bytes & { readonly [SEALED]: T };

/** An encrypted column: what its values are, and the column of its search tokens, if it has one. */
export interface EncryptedField<T, Index extends string = never> {
  readonly kind: "text" | "json" | "bytes";
  readonly index: Index | undefined;
  /** For the compiler alone. */
  readonly [SEALED]?: T;
}

/** Makes the fields of a model: one method for each kind of value. */
export interface EncryptedKinds {
  text(): EncryptedField<string>;
  /** With a column that is filled with blind index tokens beside the field. What that leaks: `Records.blindIndex`. */
  text<const Index extends string>(options: { readonly index: Index }): EncryptedField<string, Index>;
  bytes(): EncryptedField<Uint8Array>;
  json<T>(): EncryptedField<T>;
}

/**
 * The kinds of encrypted columns.
 *
 * @example
 * ```ts
 * const fields = { iban: encrypted.text(), address: encrypted.json<Address>(), email: encrypted.text({ index: "email_token" }) };
 * ```
 */
export const encrypted: EncryptedKinds = {
  text: (options?: { index: string }) => ({ kind: "text", index: options?.index }) as EncryptedField<string, never>,
  bytes: () => ({ kind: "bytes", index: undefined }),
  json: () => ({ kind: "json", index: undefined }),
};

/** A model's encrypted columns by name. */
// biome-ignore lint/suspicious/noExplicitAny: fields of any value
export type EncryptedFields = Readonly<Record<string, EncryptedField<any, any>>>;
type ValueOf<Field> = Field extends EncryptedField<infer T, string> ? T : never;
type IndexOf<Field> = Field extends EncryptedField<unknown, infer Index> ? Index : never;
type IndexColumns<Fields extends EncryptedFields> = { [Name in keyof Fields]: IndexOf<Fields[Name]> }[keyof Fields];
type IndexedNames<Fields extends EncryptedFields> = {
  [Name in keyof Fields]: [IndexOf<Fields[Name]>] extends [never] ? never : Name;
}[keyof Fields];

/** What may stand in a row's encrypted columns before it is sealed; whatever else is in the row stays. */
export type PlainRow<Fields extends EncryptedFields> = {
  readonly [Name in keyof Fields]?: ValueOf<Fields[Name]> | null | undefined;
};

/** The row as it is stored. */
export type SealedRow<Fields extends EncryptedFields, Row> = {
  [Name in keyof Row]: Name extends keyof Fields
    ? Sealed<ValueOf<Fields[Name]>> | Extract<Row[Name], null | undefined>
    : Row[Name];
} & {
  [Name in keyof Fields & keyof Row as IndexOf<Fields[Name]>]: Bytes | Extract<Row[Name], null | undefined>;
};

/** The row as it was before it was sealed, without its tokens. */
export type OpenedRow<Fields extends EncryptedFields, Row> = {
  [Name in keyof Row as Name extends IndexColumns<Fields> ? never : Name]: Name extends keyof Fields
    ? ValueOf<Fields[Name]> | Extract<Row[Name], null | undefined>
    : Row[Name];
};

/** A table: its name, the column that tells its rows apart, and its encrypted columns. */
export interface ModelOptions<Fields extends EncryptedFields, Id extends string> {
  readonly table: string;
  /** The column that identifies a row: a value can't be moved to another row. It must not change. */
  readonly id: Id;
  readonly fields: Fields;
  /** The wrapped key of the blind indexes (`Records.createIndexKey`), where a field has one. */
  readonly indexKey?: Uint8Array;
}

type Identified<Id extends string> = { readonly [Name in Id]: string | number | bigint };

/** Methods throw as those of {Records} do. Fields that are null, or not in the row, are left so. */
export interface Model<Fields extends EncryptedFields, Id extends string> {
  seal<const Row extends Identified<Id> & PlainRow<Fields>>(row: Row): Promise<SealedRow<Fields, Row>>;
  sealMany<const Row extends Identified<Id> & PlainRow<Fields>>(
    rows: readonly Row[],
    options?: SealManyOptions,
  ): Promise<SealedRow<Fields, Row>[]>;
  open<Row extends Identified<Id>>(row: Row): Promise<OpenedRow<Fields, Row>>;
  /** Each row, or the error of the first of its fields that does not open. */
  openMany<Row extends Identified<Id>>(rows: readonly Row[]): Promise<(OpenedRow<Fields, Row> | CryptoEdgeError)[]>;
  /** The token to look for in the index column of a field. */
  token<Name extends IndexedNames<Fields>>(field: Name, value: string): Promise<Bytes>;
  /** The context that a field's record has, for reading single ones with {Records}. */
  context(field: keyof Fields & string, id: string | number | bigint): EncryptionContext;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * A table's encrypted columns.
 *
 * @example
 * ```ts
 * const customers = createModel(records, { table: "customers", id: "id", fields: { iban: encrypted.text() } });
 * await db.insert(table).values(await customers.seal({ id: 17, name: "Ada", iban: "DE02 1203 …" }));
 * const row = await customers.open(await db.select().from(table).where(eq(table.id, 17)).get());
 * ```
 */
export function createModel<const Fields extends EncryptedFields, const Id extends string>(
  records: Records,
  { table, id, fields, indexKey }: ModelOptions<Fields, Id>,
): Model<Fields, Id> {
  const names = Object.keys(fields);
  const indexes = new Map(
    names
      .filter((name) => fields[name]!.index !== undefined)
      .map((name) => {
        if (indexKey === undefined) throw new TypeError(`${table}.${name} has an index: give the model its indexKey.`);
        return [name, records.blindIndex(indexKey, { field: `${table}.${name}` })] as const;
      }),
  );
  const context = (column: string, value: string | number | bigint): EncryptionContext =>
    contextFrom({ table, column, id: value });

  type AnyRow = Readonly<Record<string, unknown>>;
  const present = (row: AnyRow): string[] => names.filter((name) => row[name] !== null && row[name] !== undefined);
  const idOf = (row: AnyRow): string | number | bigint => row[id] as string | number | bigint;

  async function sealMany(rows: readonly AnyRow[], options?: SealManyOptions): Promise<AnyRow[]> {
    const places = rows.flatMap((row, index) => present(row).map((name) => ({ index, name })));
    const sealed = await records.sealMany(
      places.map(({ index, name }) => ({
        value: plainBytes(fields[name]!.kind, rows[index]![name], name),
        context: context(name, idOf(rows[index]!)),
      })),
      options,
    );
    const made: Record<string, unknown>[] = rows.map((row) => ({ ...row }));
    for (const [place, { index, name }] of places.entries()) made[index]![name] = sealed[place];
    for (const [name, blindIndex] of indexes) {
      for (const [index, row] of rows.entries()) {
        if (!(name in row)) continue;
        const value = row[name] as string | null | undefined;
        made[index]![fields[name]!.index as string] = typeof value === "string" ? await blindIndex.token(value) : value;
      }
    }
    return made;
  }

  async function openMany(rows: readonly AnyRow[]): Promise<(AnyRow | CryptoEdgeError)[]> {
    const places = rows.flatMap((row, index) => present(row).map((name) => ({ index, name })));
    const opened = await records.openMany(
      places.map(({ index, name }) => ({
        record: rows[index]![name] as Uint8Array,
        context: context(name, idOf(rows[index]!)),
      })),
    );
    const made: (Record<string, unknown> | CryptoEdgeError)[] = rows.map((row) => ({ ...row }));
    for (const row of made)
      for (const name of indexes.keys()) delete (row as Record<string, unknown>)[fields[name]!.index as string];
    for (const [place, { index, name }] of places.entries()) {
      const row = made[index]!;
      const value = opened[place]!;
      if (row instanceof CryptoEdgeError) continue;
      if (value instanceof CryptoEdgeError) made[index] = value;
      else row[name] = plainValue(fields[name]!.kind, value);
    }
    return made;
  }

  const model = {
    seal: async (row: AnyRow) => (await sealMany([row], { keys: "reused" }))[0],
    sealMany,
    async open(row: AnyRow) {
      const [opened] = await openMany([row]);
      if (opened instanceof CryptoEdgeError) throw opened;
      return opened;
    },
    openMany,
    token: (name: string, value: string) => indexes.get(name)!.token(value),
    context,
  };
  return model as unknown as Model<Fields, Id>;
}

function plainBytes(kind: EncryptedField<unknown>["kind"], value: unknown, name: string): string | Uint8Array {
  if (kind === "json") {
    const text = JSON.stringify(value as Json) as string | undefined;
    if (text !== undefined) return text;
  } else if (kind === "text" ? typeof value === "string" : value instanceof Uint8Array)
    return value as string | Uint8Array;
  throw new CryptoEdgeError("invalid_request", `The value of "${name}" is not ${kind === "bytes" ? "bytes" : kind}.`);
}

function plainValue(kind: EncryptedField<unknown>["kind"], bytes: Uint8Array): unknown {
  if (kind === "bytes") return bytes;
  const text = utf8.decode(bytes);
  return kind === "json" ? JSON.parse(text) : text;
}
