/**
 * A real Core over a PostgreSQL that it shares, in a process of its own. Makes and revokes services as it is told on standard input, a
 * line of JSON each, and says when by the machine's clock. Options: `RevokingCoreOptions`.
 */
import "reflect-metadata";
import { createInterface } from "node:readline";
import type { ServerCertificates } from "../../src/base/network/tls/server.ts";
import { ALLOW_EVERY_EDGE } from "../../src/core/allowance.ts";
import { startCore } from "../../src/core/core.ts";
import type { PostgresqlOptions } from "../../src/core/store/open-store.ts";
import { machineMs } from "../harness/machine-clock.ts";

export interface RevokingCoreOptions {
  readonly name: string;
  readonly tls: ServerCertificates;
  readonly database: PostgresqlOptions;
  /** 32 bytes, hexadecimal. */
  readonly masterKey: string;
}

export interface Told {
  readonly make?: { readonly tenant: string; readonly service: string };
  readonly revoke?: { readonly tenant: string; readonly service: string };
}

const { name, tls, database, masterKey } = JSON.parse(process.argv[2]!) as RevokingCoreOptions;
const core = await startCore({
  listen: { hostname: "127.0.0.1", port: 0 },
  name,
  tls,
  database,
  masterKey: Buffer.from(masterKey, "hex"),
  allow: ALLOW_EVERY_EDGE,
});
const say = (line: unknown): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
say({ url: core.url });
for await (const line of createInterface({ input: process.stdin })) {
  const { make, revoke } = JSON.parse(line) as Told;
  if (make !== undefined) await core.admin.createService(make.tenant, make.service);
  if (revoke !== undefined) await core.admin.revoke(revoke, { reason: "bench" });
  say({ doneMs: machineMs() });
}
await core.close();
process.exit(0);
