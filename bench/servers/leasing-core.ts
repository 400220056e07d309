/**
 * The reference Core on a free port, with 50 tenants' keys in a database on disk. Options: { tls, database }.
 * It takes as many leases as one edge asks for: the bench is one edge.
 */
import "reflect-metadata";
import { randomBytes } from "node:crypto";
import type { ServerCertificates } from "../../src/base/network/tls/server.ts";
import { ALLOW_EVERY_EDGE } from "../../src/core/allowance.ts";
import { startCore } from "../../src/core/core.ts";

const options = JSON.parse(process.argv[2] ?? "{}") as { tls: ServerCertificates; database: string };
const core = await startCore({
  listen: { hostname: "127.0.0.1", port: 0 },
  tls: options.tls,
  database: options.database,
  masterKey: randomBytes(32),
  allow: ALLOW_EVERY_EDGE,
  leasesPerSecondPerEdge: 1_000_000,
});
for (let index = 0; index < 50; index++) await core.admin.createService(`tenant-${index}`, "billing");
console.log(JSON.stringify({ port: core.port }));
process.on("SIGTERM", () => void core.close().then(() => process.exit(0)));
