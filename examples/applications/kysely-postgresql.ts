/** Kysely with PostgreSQL: the same as with SQLite, with `bytea` columns. */
import { createModel, encrypted, type Sealed } from "crypto-edge/records";
import { Kysely, PostgresDialect } from "kysely";
import pg from "pg";
import { type Address, records } from "./edge.ts";

export interface Tables {
  customers: {
    id: number;
    name: string;
    iban: Sealed<string>;
    address: Sealed<Address> | null;
    email: Sealed<string>;
    email_token: Uint8Array;
  };
}

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
await pool.query(
  "CREATE TABLE customers (id int PRIMARY KEY, name text, iban bytea, address bytea, email bytea, email_token bytea)",
);
const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
const model = createModel(records, {
  table: "customers",
  id: "id",
  fields: {
    iban: encrypted.text(),
    address: encrypted.json<Address>(),
    email: encrypted.text({ index: "email_token" }),
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
await db
  .insertInto("customers")
  .values(await model.seal(ada))
  .execute();
const more = Array.from({ length: 50 }, (_, index) => ({
  id: 10 + index,
  name: `n${index}`,
  iban: `DE${index}`,
  address: null,
  email: `n${index}@example.org`,
}));
await db
  .insertInto("customers")
  .values(await model.sealMany(more))
  .execute();

const token = await model.token("email", "n7@example.org");
const found = await db.selectFrom("customers").selectAll().where("email_token", "=", token).executeTakeFirstOrThrow();
const opened = await model.open(found);
const all = await model.openMany(await db.selectFrom("customers").selectAll().orderBy("id").execute());
console.log(JSON.stringify({ found: opened, rows: all.length, first: all[0] }));
await pool.end();
