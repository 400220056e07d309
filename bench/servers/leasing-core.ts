/**
 * The reference Core on a free port, with 50 tenants' keys in a database on disk. Options: { tls, database, masterKey? }.
 * It takes as many leases as one edge asks for: the bench is one edge.
 */
import "reflect-metadata";
import { randomBytes } from "node:crypto";
import type { ServerCertificates } from "../../src/base/network/tls/server.ts";
import { ALLOW_EVERY_EDGE } from "../../src/core/allowance.ts";
import { startCore } from "../../src/core/core.ts";
import type { PostgresqlOptions } from "../../src/core/store/open-store.ts";

const options = JSON.parse(process.argv[2] ?? "{}") as {
  tls: ServerCertificates;
  database: string | PostgresqlOptions;
  masterKey?: string;
};
const core = await startCore({
  listen: { hostname: "127.0.0.1", port: 0 },
  tls: options.tls,
  database: options.database,
  masterKey: options.masterKey === undefined ? randomBytes(32) : Buffer.from(options.masterKey, "hex"),
  allow: ALLOW_EVERY_EDGE,
  leasesPerSecondPerEdge: 1_000_000,
});
for (let index = 0; index < 50; index++) {
  // The other Core of the database may have made it.
  await core.admin.createService(`tenant-${index}`, "billing").catch((error: { code?: string }) => {
    if (error.code !== "conflict") throw error;
  });
}
console.log(JSON.stringify({ port: core.port }));
process.on("SIGTERM", () => void core.close().then(() => process.exit(0)));
