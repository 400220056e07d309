/** Prisma with SQLite: an extension of its client seals and opens whole rows. Its own methods stay, and see sealed columns alone. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PrismaBetterSqlite3 } from "@prisma/adapter-better-sqlite3";
import { createModel, encrypted } from "crypto-edge/records";
import { type Address, records } from "./edge.ts";
import { Prisma, PrismaClient } from "./prisma-client/client.ts";

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

interface Row {
  id: number;
  name: string;
  iban: string;
  address: Address | null;
  email: string;
}

const sealing = Prisma.defineExtension((client) =>
  client.$extends({
    model: {
      customer: {
        async seal(row: Row) {
          await client.customer.create({ data: await model.seal(row) });
        },
        async sealMany(rows: readonly Row[]) {
          await client.customer.createMany({ data: await model.sealMany(rows) });
        },
        async openByEmail(email: string) {
          const where = { email_token: await model.token("email", email) };
          return model.open(await client.customer.findFirstOrThrow({ where }));
        },
        async openMany(query: Pick<Prisma.CustomerFindManyArgs, "where" | "orderBy" | "skip" | "take">) {
          return model.openMany(await client.customer.findMany(query));
        },
      },
    },
  }),
);

const url = `file:${join(mkdtempSync(join(tmpdir(), "customers-")), "customers.db")}`;
const prisma = new PrismaClient({ adapter: new PrismaBetterSqlite3({ url }) }).$extends(sealing);
await prisma.$executeRaw`CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, iban BLOB, address BLOB, email BLOB, email_token BLOB)`;

await prisma.customer.seal({
  id: 1,
  name: "Ada",
  iban: "DE02 1203",
  address: { street: "Main 1", city: "Bonn" },
  email: "ada@example.org",
});
await prisma.customer.sealMany(
  Array.from({ length: 50 }, (_, index) => ({
    id: 10 + index,
    name: `n${index}`,
    iban: `DE${index}`,
    address: null,
    email: `n${index}@example.org`,
  })),
);

const found = await prisma.customer.openByEmail("n7@example.org");
const all = await prisma.customer.openMany({ orderBy: { id: "asc" } });
console.log(JSON.stringify({ found, rows: all.length, first: all[0] }));
await prisma.$disconnect();
