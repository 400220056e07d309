/** The libraries of examples/applications, at the versions that were tried. */
import { npmFolder } from "./npm-folder.ts";

export function applicationPackages(): string {
  return npmFolder(
    [
      "drizzle-orm@0.45.4",
      "kysely@0.29.9",
      "prisma@7.10.1",
      "@prisma/client@7.10.0",
      "@prisma/adapter-better-sqlite3@7.10.0",
      "pg@8.23.1",
      "better-sqlite3@12.11.1",
      "hono@4.13.19",
      "@hono/node-server@2.1.8",
      "express@5.3.0",
      "@aws-sdk/client-s3@3.1169.0",
      "@types/pg@8.23.1",
      "@types/express@5.0.6",
      "@types/better-sqlite3@9.6.0",
      "typescript@5.9.3",
      "@types/node@22.20.1",
    ],
    ["better-sqlite3"],
  );
}
