/**
 * From a revocation at one Core to the first refused request at edges that follow another, over one PostgreSQL: the store's
 * own telling is on the way. Cores, PostgreSQL and edges are processes of their own, on one machine.
 *
 * Two clocks. From the commit: what the Cores, PostgreSQL's notification and the edges take; the goals are of that. From the
 * word to revoke: the commit's own write to the disk too, which another disk does in another time.
 */
import { randomBytes } from "node:crypto";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { createThrowAwayPki } from "../src/base/pki/throw-away.ts";
import { isPostgresqlInstalled, startPostgresql } from "../test/integration/support/postgresql.ts";
import { quantile } from "./harness/collections.ts";
import type { BenchContext } from "./harness/context.ts";
import { type Goal, type Row, row } from "./harness/row.ts";
import { type Host, measure, type RevokingCore, type Transport } from "./revocation.ts";
import type { RevokingCoreOptions, Told } from "./servers/revoking-core.ts";

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
  const shared = {
    tls: pki.core,
    database: { ...(await server.database("core")), timeoutMs: 20_000 },
    masterKey: randomBytes(32).toString("hex"),
  };
  const revoking = await start(context, { name: "revoking", ...shared });
  const followed = await start(context, { name: "followed", ...shared });
  const transport: Transport = { name: "core", sections: [{ use: "core" }] as never, plugins: [], publishers: [] };
  const numbers = process.env.REVOCATION_EDGES?.split(",").map(Number) ?? [...GOALS.keys()];
  const rows: Row[] = [];
  for (const edges of numbers) {
    context.say(`two Cores, ${edges} edges`);
    const hosts: Host[] = [];
    try {
      const cores = { ...revoking, url: followed.url };
      const begin = `revocation at two Cores, ${edges} ${edges === 1 ? "edge" : "edges"}: `;
      const measured = await measure(context, cores, pki, transport, edges, hosts, { begin, goal: null });
      const { sinceCommitMs, commitMs } = measured;
      rows.push(
        row({ name: `${begin}since the commit, p50`, value: quantile(sinceCommitMs, 0.5), unit: "ms" }),
        row({
          name: `${begin}since the commit, p99`,
          value: quantile(sinceCommitMs, 0.99),
          unit: "ms",
          goal: GOALS.get(edges) ?? null,
          note: `until the commit: p50 ${quantile(commitMs, 0.5).toFixed(1)} ms, p99 ${quantile(commitMs, 0.99).toFixed(1)} ms, most of which is PostgreSQL's write to this machine's disk`,
        }),
        ...measured.rows,
      );
    } finally {
      for (const host of hosts) host.kill();
    }
  }
  return rows;
}

async function start(context: BenchContext, options: RevokingCoreOptions): Promise<RevokingCore> {
  const script = fileURLToPath(new URL("servers/revoking-core.ts", import.meta.url));
  const child = Bun.spawn([process.execPath, script, JSON.stringify(options)], { stdio: ["pipe", "pipe", "inherit"] });
  context.cleanUp(async () => {
    child.kill("SIGKILL");
    await child.exited;
  });
  const lines = createInterface({ input: Readable.fromWeb(child.stdout as never) })[Symbol.asyncIterator]();
  const next = async <Line>(): Promise<Line> => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`the Core ${options.name} ended before its time`);
    return JSON.parse(value) as Line;
  };
  const tell = async (told: Told): Promise<number> => {
    child.stdin.write(`${JSON.stringify(told)}\n`);
    await child.stdin.flush();
    return (await next<{ doneMs: number }>()).doneMs;
  };
  const { url } = await next<{ url: string }>();
  return {
    url,
    make: async (tenant, service) => void (await tell({ make: { tenant, service } })),
    revoke: (tenant, service) => tell({ revoke: { tenant, service } }),
  };
}
