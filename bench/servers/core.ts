/**
 * A real Core with a throw-away PKI, its keys made at first use. Writes an edge's certificates into `directory`, and does
 * what it is told on standard input, a line each: `rotate TENANT SERVICE`, `revoke TENANT SERVICE VERSION`.
 * Options: { directory }.
 */
import "reflect-metadata";
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { createThrowAwayPki } from "../../src/base/pki/throw-away.ts";
import { ALLOW_EVERY_EDGE } from "../../src/core/allowance.ts";
import { startCore } from "../../src/core/core.ts";

const { directory } = JSON.parse(process.argv[2]!) as { directory: string };
const pki = await createThrowAwayPki();
const { ca, cert, key } = await pki.edge("edge-bench");
for (const [name, text] of [
  ["ca.pem", ca],
  ["edge.pem", cert],
  ["edge.key", key],
] as const) {
  writeFileSync(join(directory, name), text, { mode: 0o600 });
}
const core = await startCore({
  listen: { hostname: "127.0.0.1", port: 0 },
  tls: pki.core,
  database: ":memory:",
  masterKey: randomBytes(32),
  allow: ALLOW_EVERY_EDGE,
  createOnFirstUse: true,
  lease: { ttlSeconds: 3600, refreshAfterSeconds: 3000 },
  leasesPerSecondPerEdge: 100_000,
});
console.log(JSON.stringify({ url: core.url }));
for await (const line of createInterface({ input: process.stdin })) {
  const [verb, tenant, service, version] = line.split(" ") as [string, string, string, string?];
  if (verb === "rotate") await core.admin.rotate(tenant, service);
  if (verb === "revoke") await core.admin.revoke({ tenant, service, version: Number(version) });
}
await core.close();
process.exit(0);
