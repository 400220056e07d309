/** How many leases the reference Core grants: each a database read, two unwraps, an HPKE seal, over mutual TLS. */
import "reflect-metadata";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { join } from "node:path";
import type { ServerCertificates } from "../src/base/network/tls/server.ts";
import { createThrowAwayPki } from "../src/base/pki/throw-away.ts";
import { systemClock } from "../src/base/time/system-clock.ts";
import { KeyHierarchy } from "../src/core/keys/hierarchy.ts";
import { KeyRegistry } from "../src/core/keys/registry.ts";
import { createLeaseService, DEFAULT_LEASE_TERMS } from "../src/core/leases.ts";
import { openKeyStore } from "../src/core/open-key-store.ts";
import { isPostgresqlInstalled, startPostgresql } from "../test/integration/support/postgresql.ts";
import type { BenchContext } from "./harness/context.ts";
import { generateLoad } from "./harness/generator.ts";
import { cpuSecondsOf, type ServerProcess, startServer } from "./harness/processes.ts";
import { interleave, median, spread } from "./harness/rounds.ts";
import { type Row, row } from "./harness/row.ts";

export const about = "leases that the reference Core grants, over mutual TLS and in process";

const CONNECTIONS = 32;
const TENANTS = 50;

export async function run(context: BenchContext): Promise<Row[]> {
  const pki = await createThrowAwayPki("bench.example");
  const edge = await pki.edge("edge-bench");
  const recipient = generateKeyPairSync("x25519")
    .publicKey.export({ format: "der", type: "spki" })
    .subarray(-32)
    .toString("base64url");
  const bodies = Array.from({ length: TENANTS }, (_, index) => ({
    tenant: `tenant-${index}`,
    service: "billing",
    recipient,
  }));

  const hierarchy = new KeyHierarchy(randomBytes(32));
  const store = await openKeyStore({ database: ":memory:", retainedEvents: 1_000, clock: systemClock, hierarchy });
  context.cleanUp(() => store.close());
  const registry = new KeyRegistry({ store, hierarchy, now: Date.now, onCommitted: async () => undefined });
  for (const { tenant, service } of bodies) await registry.createService(tenant, service);
  const leases = createLeaseService(registry, {
    allows: () => true,
    terms: DEFAULT_LEASE_TERMS,
    createOnFirstUse: false,
    granted: { note() {} },
  });
  let turn = 0;

  const core = await startServer("leasing-core.ts", { tls: pki.core, database: join(context.directory, "core.db") });
  context.cleanUp(() => core.stop());
  const load: LoadOfCore = {
    seconds: Math.max(1, context.sampleMs / 1000),
    tls: { ca: edge.ca, cert: edge.cert, key: edge.key, serverName: "localhost" },
    // As many different ones as the generator takes.
    requests: bodies
      .slice(0, 16)
      .map((body) => ({ method: "POST", path: "/core/v1/leases", body: JSON.stringify(body) })),
  };
  const wall: number[] = [];
  const samples = await interleave(
    {
      desk: () => leasesPerCpuSecond(() => leases.answer("edge-bench", bodies[turn++ % TENANTS]), context.sampleMs),
      core: () => leasesOf([core], load, wall),
    },
    context.rounds,
  );
  return [
    row({
      name: "core: leases over mutual TLS",
      value: median(samples.core),
      unit: "leases per second of the Core's processor time",
      spread: spread(samples.core),
      goal: { of: "value", atLeast: 3_000 },
      note: `SQLite; ${CONNECTIONS} connections, their handshakes included; ${Math.round(median(wall))} a second by the clock`,
    }),
    row({
      name: "core: leases without the network",
      value: median(samples.desk),
      unit: "leases per second of one core's processor time",
      spread: spread(samples.desk),
    }),
    ...(await postgresqlRows(context, pki.core, load)),
  ];
}

/** One Core and two over one PostgreSQL. Its own processor time is not the Cores'. */
async function postgresqlRows(context: BenchContext, tls: ServerCertificates, load: LoadOfCore): Promise<Row[]> {
  if (!isPostgresqlInstalled()) {
    context.say("PostgreSQL is not installed: its rows are left out");
    return [];
  }
  const server = await startPostgresql();
  context.cleanUp(() => server[Symbol.asyncDispose]());
  const database = { ...(await server.database("core")), timeoutMs: 20_000 };
  const masterKey = randomBytes(32).toString("hex");
  const start = async (): Promise<ServerProcess> => {
    const core = await startServer("leasing-core.ts", { tls, database, masterKey });
    context.cleanUp(() => core.stop());
    return core;
  };
  const [one, other] = [await start(), await start()];
  const wall: number[] = [];
  const samples = await interleave(
    { one: () => leasesOf([one], load, wall), two: () => leasesOf([one, other], load, []) },
    context.rounds,
  );
  return [
    row({
      name: "core: leases over mutual TLS, PostgreSQL",
      value: median(samples.one),
      unit: "leases per second of the Core's processor time",
      spread: spread(samples.one),
      goal: { of: "value", atLeast: 1_500 },
      note: `${Math.round(median(wall))} a second by the clock, PostgreSQL on the same machine`,
    }),
    row({
      name: "core: two Cores over one PostgreSQL, against one",
      value: median(samples.two) / median(samples.one),
      unit: "times the leases, each per second of its own processor time",
      goal: { of: "value", atLeast: 1.8 },
    }),
  ];
}

interface LoadOfCore {
  readonly seconds: number;
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string; readonly serverName: string };
  readonly requests: readonly { readonly method: "POST"; readonly path: string; readonly body: string }[];
}

/** Of each Core the leases per second of its processor time, added up; under load at the same time. */
async function leasesOf(
  cores: readonly ServerProcess[],
  { seconds, tls, requests }: LoadOfCore,
  wall: number[],
): Promise<number> {
  const rates = await Promise.all(
    cores.map(async (core) => {
      const before = cpuSecondsOf(core.pid);
      const load = await generateLoad({
        target: { port: core.ready.port as number, tls },
        connections: CONNECTIONS,
        seconds,
        warmUpSeconds: 0,
        requests: [...requests],
      });
      if (load.errors > 0) throw new Error(`${load.errors} leases failed: ${load.firstError}`);
      wall.push(load.requestsPerSecond);
      return load.requests / (cpuSecondsOf(core.pid) - before);
    }),
  );
  return rates.reduce((sum, rate) => sum + rate, 0);
}

async function leasesPerCpuSecond(lease: () => Promise<string>, forMs: number): Promise<number> {
  const startedCpu = process.cpuUsage();
  const started = performance.now();
  let calls = 0;
  do {
    for (let index = 0; index < 256; index++) await lease();
    calls += 256;
  } while (performance.now() - started < forMs);
  const { user, system } = process.cpuUsage(startedCpu);
  return calls / ((user + system) / 1e6);
}
