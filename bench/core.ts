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
import { compare, interleave, median, spread } from "./harness/rounds.ts";
import { type Row, row } from "./harness/row.ts";

export const about = "leases that the reference Core grants, over mutual TLS and in process";

const CONNECTIONS = 32;
const TENANTS = 50;
/** Calls a second at each Core where it is to be idle most of the time. */
const EVEN_RATE = 300;
/** Before anything is measured: a Core that was just started compiles what it runs, on the time that is counted as its own. */
const WARM_UP_SECONDS = 12;
/** Few, so that their handshakes count for little. */
const EVEN_CONNECTIONS = 8;

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
  await warmUp([core], load);
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
      note: `SQLite; a Core that has run for ${WARM_UP_SECONDS} s; ${CONNECTIONS} connections, their handshakes included; ${Math.round(median(wall))} a second by the clock`,
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

/**
 * One Core and two over one PostgreSQL, each Core on a processor of its own. What a lease takes depends on how busy a Core is: one that
 * is never idle reads, asks and answers in batches, one that sleeps between two calls pays for each waking. So two are compared with
 * one at equal load (the same calls a second at each, far below what either could do), and beside it each as busy as it can be.
 */
async function postgresqlRows(context: BenchContext, tls: ServerCertificates, load: LoadOfCore): Promise<Row[]> {
  if (!isPostgresqlInstalled()) {
    context.say("PostgreSQL is not installed: its rows are left out");
    return [];
  }
  const server = await startPostgresql();
  context.cleanUp(() => server[Symbol.asyncDispose]());
  const database = { ...(await server.database("core")), timeoutMs: 20_000 };
  const masterKey = randomBytes(32).toString("hex");
  const start = async (side: "server" | "client"): Promise<ServerProcess> => {
    const core = await startServer("leasing-core.ts", { tls, database, masterKey }, side);
    context.cleanUp(() => core.stop());
    return core;
  };
  const [one, other] = [await start("server"), await start("client")];
  const even: LoadOfCore = { ...load, rate: EVEN_RATE, connections: EVEN_CONNECTIONS, seconds: load.seconds * 3 };
  await warmUp([one, other], load);
  const wall: number[] = [];
  const wallOfTwo: number[] = [];
  const samples = await interleave(
    {
      one: () => leasesOf([one], load, wall),
      two: () => leasesOf([one, other], load, wallOfTwo),
      evenOne: async () => ((await leasesOf([one], even, [])) + (await leasesOf([other], even, []))) / 2,
      evenTwo: () => leasesOf([one, other], even, []),
    },
    context.rounds,
  );
  const evenly = compare(samples.evenTwo, samples.evenOne);
  const busy = compare(samples.two, samples.one);
  const unit = "leases, each per second of its own processor time";
  return [
    row({
      name: "core: leases over mutual TLS, PostgreSQL",
      value: median(samples.one),
      unit: "leases per second of the Core's processor time",
      spread: spread(samples.one),
      goal: { of: "value", atLeast: 1_500 },
      note: `as busy as it can be: ${CONNECTIONS} connections that ask again at once; ${Math.round(median(wall))} a second by the clock, PostgreSQL on the same machine`,
    }),
    row({
      name: "core: two Cores over one PostgreSQL, against one",
      value: evenly.value,
      unit,
      baseline: evenly.baseline,
      baselineName: "one alone, the mean of the two",
      ratio: evenly.ratio,
      spread: evenly.spread,
      goal: { of: "ratio", atLeast: 1.8 },
      note: `at equal load: ${EVEN_RATE} leases a second at each Core, alone and both at once, each Core on a processor of its own. Whatever the second one costs the first (shared tables, notifications, locks) shows here; nothing waits for a processor`,
    }),
    row({
      name: "core: two Cores, each as busy as it can be, against one",
      value: busy.value,
      unit,
      baseline: busy.baseline,
      baselineName: "one alone",
      ratio: busy.ratio,
      spread: busy.spread,
      note: `no measure of the Cores: they share the machine's processors with PostgreSQL and the generators, so that each of the two is idle more often than one alone, and takes fewer calls at each waking. By the clock each of the two answers ${Math.round(median(wallOfTwo))} a second, one alone ${Math.round(median(wall))}; what a lease takes at ${EVEN_RATE} a second against that is in the row before`,
    }),
  ];
}

interface LoadOfCore {
  readonly seconds: number;
  /** Calls a second; without it as many as are answered. */
  readonly rate?: number;
  readonly connections?: number;
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string; readonly serverName: string };
  readonly requests: readonly { readonly method: "POST"; readonly path: string; readonly body: string }[];
}

/** Each alone: two that share the processors take longer to compile as much. */
async function warmUp(cores: readonly ServerProcess[], load: LoadOfCore): Promise<void> {
  for (const core of cores) await leasesOf([core], { ...load, seconds: WARM_UP_SECONDS }, []);
}

/** Of each Core the leases per second of its processor time, added up; under load at the same time. */
async function leasesOf(
  cores: readonly ServerProcess[],
  { seconds, rate, connections = CONNECTIONS, tls, requests }: LoadOfCore,
  wall: number[],
): Promise<number> {
  const rates = await Promise.all(
    cores.map(async (core) => {
      const before = cpuSecondsOf(core.pid);
      const load = await generateLoad({
        target: { port: core.ready.port as number, tls },
        connections,
        seconds,
        warmUpSeconds: 0,
        requests: [...requests],
        ...(rate === undefined ? {} : { rate }),
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
