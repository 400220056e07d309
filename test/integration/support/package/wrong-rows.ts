// Compiled, never run: what an encrypted schema must not let through.
import { createModel, encrypted, type Records, type Sealed } from "crypto-edge/records";
import type { Kysely } from "kysely";
import type { customers } from "./drizzle-sqlite.ts";
import type { Tables } from "./kysely-sqlite.ts";
import type { PrismaClient } from "./prisma-client/client.ts";

declare const records: Records;
declare const db: Kysely<Tables>;
const model = createModel(records, {
  table: "customers",
  id: "id",
  fields: {
    iban: encrypted.text(),
    address: encrypted.json<{ city: string }>(),
    email: encrypted.text({ index: "email_token" }),
  },
  indexKey: new Uint8Array(),
});

// @ts-expect-error An IBAN is a text.
void model.seal({ id: 1, iban: 17 });
// @ts-expect-error An address has a city.
void model.seal({ id: 1, address: { street: "x" } });
// @ts-expect-error A row has its id.
void model.seal({ iban: "DE02" });
// @ts-expect-error Only fields with an index can be searched.
void model.token("iban", "DE02");
declare const stored: Tables["customers"];
declare const inserted: typeof customers.$inferInsert;
// @ts-expect-error A plain text is no sealed one.
void db.insertInto("customers").values({ ...stored, iban: "DE02" });
// @ts-expect-error Nor are any bytes.
void db.updateTable("customers").set({ iban: new Uint8Array() });
declare const prisma: PrismaClient;
// @ts-expect-error Nor is a text what Prisma stores.
void prisma.customer.create({ data: { ...stored, iban: "DE02" } });
// @ts-expect-error Nor is it in Drizzle's table.
export const wrong: typeof inserted = { ...inserted, iban: "DE02" };

export async function right(): Promise<[string, { city: string }, Sealed<string>, Uint8Array]> {
  const row = await model.seal({ id: 1, iban: "DE02", address: { city: "Bonn" }, email: "x", other: 7 });
  const opened = await model.open(row);
  const other: number = opened.other;
  void other;
  // @ts-expect-error Tokens are for searching, and are not handed on.
  void opened.email_token;
  return [opened.iban, opened.address, row.iban, row.email_token];
}
