/** Drizzle with SQLite: encrypted columns in a typed schema, and a search by blind index. */
import Database from "better-sqlite3";
import { createModel, encrypted, type Sealed } from "crypto-edge/records";
import { eq } from "drizzle-orm";
import { drizzle } from "drizzle-orm/better-sqlite3";
import { blob, customType, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { type Address, records } from "./edge.ts";

/** A column that takes sealed values alone: to write a plain text into it does not compile. */
const sealed = <T>(name: string) =>
  customType<{ data: Sealed<T>; driverData: Buffer }>({
    dataType: () => "blob",
    toDriver: (value) => Buffer.from(value),
    fromDriver: (bytes) => bytes as Uint8Array as Sealed<T>,
  })(name);

export const customers = sqliteTable("customers", {
  id: integer("id").primaryKey(),
  name: text("name").notNull(),
  iban: sealed<string>("iban").notNull(),
  address: sealed<Address>("address"),
  email: sealed<string>("email").notNull(),
  emailToken: blob("email_token", { mode: "buffer" }).notNull(),
});

const sqlite = new Database(":memory:");
sqlite.exec(
  "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, iban BLOB, address BLOB, email BLOB, email_token BLOB)",
);
sqlite.exec("CREATE INDEX customers_email ON customers (email_token)");
const db = drizzle(sqlite);

const model = createModel(records, {
  table: "customers",
  id: "id",
  fields: {
    iban: encrypted.text(),
    address: encrypted.json<Address>(),
    email: encrypted.text({ index: "emailToken" }),
  },
  // Made once and stored; here it is new for each run.
  indexKey: await records.createIndexKey(),
});

/** better-sqlite3 takes Buffers. */
const stored = <Row extends { emailToken: Uint8Array }>(row: Row) => ({
  ...row,
  emailToken: Buffer.from(row.emailToken),
});

// One row.
const ada = {
  id: 1,
  name: "Ada",
  iban: "DE02 1203",
  address: { street: "Main 1", city: "Bonn" },
  email: "ada@example.org",
};
await db.insert(customers).values(stored(await model.seal(ada)));

// Many rows, each value under a data key of its own, by one call of the edge.
const more = Array.from({ length: 50 }, (_, index) => ({
  id: 10 + index,
  name: `n${index}`,
  iban: `DE${index}`,
  address: null,
  email: `n${index}@example.org`,
}));
await db.insert(customers).values((await model.sealMany(more)).map(stored));

// Found by equality, opened whole.
const token = Buffer.from(await model.token("email", "n7@example.org"));
const [found] = await db.select().from(customers).where(eq(customers.emailToken, token));
const opened = await model.open(found!);
const all = await model.openMany(await db.select().from(customers));
console.log(JSON.stringify({ found: opened, rows: all.length, first: all[0] }));
