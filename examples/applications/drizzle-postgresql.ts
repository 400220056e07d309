/** Drizzle with PostgreSQL: the same as with SQLite, with `bytea` columns. */
import { createModel, encrypted, type Sealed } from "crypto-edge/records";
import { eq } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { customType, integer, pgTable, text } from "drizzle-orm/pg-core";
import pg from "pg";
import { type Address, records } from "./edge.ts";

const bytes = <Data extends Uint8Array>(name: string) =>
  customType<{ data: Data; driverData: Buffer }>({
    dataType: () => "bytea",
    toDriver: (value) => Buffer.from(value),
    fromDriver: (value) => value as Uint8Array as Data,
  })(name);

export const customers = pgTable("customers_drizzle", {
  id: integer("id").primaryKey(),
  name: text("name").notNull(),
  iban: bytes<Sealed<string>>("iban").notNull(),
  address: bytes<Sealed<Address>>("address"),
  email: bytes<Sealed<string>>("email").notNull(),
  emailToken: bytes("email_token").notNull(),
});

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
await pool.query(
  "CREATE TABLE customers_drizzle (id int PRIMARY KEY, name text, iban bytea, address bytea, email bytea, email_token bytea)",
);
const db = drizzle(pool);
const model = createModel(records, {
  table: "customers",
  id: "id",
  fields: {
    iban: encrypted.text(),
    address: encrypted.json<Address>(),
    email: encrypted.text({ index: "emailToken" }),
  },
  indexKey: await records.createIndexKey(),
});

const ada = {
  id: 1,
  name: "Ada",
  iban: "DE02 1203",
  address: { street: "Main 1", city: "Bonn" },
  email: "ada@example.org",
};
await db.insert(customers).values(await model.seal(ada));
const more = Array.from({ length: 50 }, (_, index) => ({
  id: 10 + index,
  name: `n${index}`,
  iban: `DE${index}`,
  address: null,
  email: `n${index}@example.org`,
}));
await db.insert(customers).values(await model.sealMany(more));

// A change of one field: the row's other columns stay as they are.
const { iban } = await model.seal({ id: 1, iban: "DE99" });
await db.update(customers).set({ iban }).where(eq(customers.id, 1));

const token = await model.token("email", "n7@example.org");
const [found] = await db.select().from(customers).where(eq(customers.emailToken, token));
const opened = await model.open(found!);
const all = await model.openMany(await db.select().from(customers).orderBy(customers.id));
console.log(JSON.stringify({ found: opened, rows: all.length, first: all[0] }));
await pool.end();
