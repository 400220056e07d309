/**
 * From a revocation at one Core to the first refused request at edges that follow another, over one PostgreSQL: the store's
 * own telling is on the way.
 */
import "reflect-metadata";
import { randomBytes } from "node:crypto";
import { createThrowAwayPki } from "../src/base/pki/throw-away.ts";
import { ALLOW_EVERY_EDGE } from "../src/core/allowance.ts";
import { startCore } from "../src/core/core.ts";
import { isPostgresqlInstalled, startPostgresql } from "../test/integration/support/postgresql.ts";
import type { BenchContext } from "./harness/context.ts";
import type { Goal, Row } from "./harness/row.ts";
import { type Host, measure, type Transport } from "./revocation.ts";

export const about =
  "From a revocation at one Core to the first refused request at another Core's edges, over PostgreSQL";

const GOALS: ReadonlyMap<number, Goal> = new Map([
  [1, { of: "value", atMost: 10 }],
  [100, { of: "value", atMost: 30 }],
]);

export async function run(context: BenchContext): Promise<Row[]> {
  if (!isPostgresqlInstalled()) {
    context.say("PostgreSQL is not installed: two Cores are left out");
    return [];
  }
  const pki = await createThrowAwayPki("bench.example");
  const server = await startPostgresql();
  context.cleanUp(() => server[Symbol.asyncDispose]());
  const database = { ...(await server.database("core")), timeoutMs: 20_000 };
  const masterKey = randomBytes(32);
  const start = async (name: string) => {
    const listen = { hostname: "127.0.0.1", port: 0 };
    const core = await startCore({ listen, name, tls: pki.core, database, masterKey, allow: ALLOW_EVERY_EDGE });
    context.cleanUp(() => core.close());
    return core;
  };
  const [revoking, followed] = [await start("revoking"), await start("followed")];
  const transport: Transport = { name: "two Cores", sections: [{ use: "core" }] as never, plugins: [], publishers: [] };
  const numbers = process.env.REVOCATION_EDGES?.split(",").map(Number) ?? [...GOALS.keys()];
  const rows: Row[] = [];
  for (const edges of numbers) {
    context.say(`two Cores, ${edges} edges`);
    const hosts: Host[] = [];
    try {
      const measured = await measure(
        context,
        { url: followed.url, admin: revoking.admin },
        pki,
        transport,
        edges,
        hosts,
        GOALS.get(edges) ?? null,
      );
      rows.push(...measured.rows);
    } finally {
      for (const host of hosts) host.kill();
    }
  }
  return rows;
}
