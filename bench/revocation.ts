/**
 * From the Core's revocation to the first refused request, on many edges under load, by each transport and by all together.
 *
 * The clock starts when the Core is told to revoke, so its commit is counted in, and stops when a request has been refused: the
 * load's own, or one made the moment the edge has been handed the event.
 *
 * REVOCATION_EDGES=1,100 measures these numbers of edges alone, REVOCATION_TRANSPORTS=core,nats these transports.
 */
import "reflect-metadata";
import { randomBytes } from "node:crypto";
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { createAmqpPublisher } from "../plugins/amqp/publisher.ts";
import { createNatsPublisher } from "../plugins/nats/publisher.ts";
import { createThrowAwayPki, type ThrowAwayPki } from "../src/base/pki/throw-away.ts";
import { systemClock } from "../src/base/time/system-clock.ts";
import { ALLOW_EVERY_EDGE } from "../src/core/allowance.ts";
import { startCore } from "../src/core/core.ts";
import type { RunningCore } from "../src/core/running-core.ts";
import type { PluginContext } from "../src/edge/plugin-host/plugin.ts";
import type { EventPublisher } from "../src/edge/revocation/event-publisher.ts";
import { startNatsServer } from "../test/integration/support/nats-server.ts";
import { RABBIT_USER, startRabbitServer } from "../test/integration/support/rabbitmq-server.ts";
import { quantile } from "./harness/collections.ts";
import type { BenchContext } from "./harness/context.ts";
import { machineMs } from "./harness/machine-clock.ts";
import { type Goal, type Row, row } from "./harness/row.ts";
import type { EdgesOptions, EdgesResult } from "./servers/revocation-edges.ts";

export const guards = true;
export const about = "From the Core's commit of a revocation to the first refused request, on up to 1,000 edges";

const TENANT = "tenant-a";
const LEASES = Number(process.env.REVOCATION_LEASES ?? 1_000);
/** Goals of the whole way, in milliseconds. */
const P99_OF_ONE_MS = 10;
const P99_OF_A_THOUSAND_MS = 50;
/** The load: on each edge, and on all together, since they share this machine with the Core. */
const REQUESTS_PER_SECOND_OF_AN_EDGE = 1_000;
const REQUESTS_PER_SECOND = 5_000;
/** Unmeasured but for the very first: a program that was just started compiles what it runs, on cores that all need. */
const WARM_UP_ROUNDS = 80;
/** In the shortened run, which only judges what holds at any speed. */
const GUARD_WARM_UP_ROUNDS = 5;
/** For one number of edges by one transport. */
const LIMIT_MS = 300_000;
/** Edges in processes of their own; more share as many as there are cores. */
const PROCESSES_MAX = 4;

/** A way of events from the Core to edges. */
export interface Transport {
  readonly name: string;
  readonly sections: EdgesOptions["transports"];
  readonly plugins: readonly string[];
  /** What the Core publishes to. */
  readonly publishers: readonly EventPublisher[];
}

const BROKERS = ["nats", "amqp"] as const;

export async function run(context: BenchContext): Promise<Row[]> {
  const pki = await createThrowAwayPki("bench.example");
  const chosen = process.env.REVOCATION_TRANSPORTS?.split(",");
  const numbers =
    process.env.REVOCATION_EDGES?.split(",").map(Number) ?? (context.isGuard ? [1, 10] : [1, 10, 100, 1_000]);
  const rows: Row[] = [];
  for (const name of context.isGuard ? ["core"] : ["core", ...BROKERS, "all together"]) {
    if (chosen?.includes(name) === false) continue;
    // Each with its own brokers and Core: others that nobody listens to would take of the same cores.
    await using transport = await openTransport(context, name);
    if (transport !== undefined) rows.push(...(await measureTransport(context, pki, transport, numbers)));
  }
  return rows;
}

async function measureTransport(
  context: BenchContext,
  pki: ThrowAwayPki,
  transport: Transport,
  numbers: readonly number[],
): Promise<Row[]> {
  const core = await startCore({
    listen: { hostname: "127.0.0.1", port: 0 },
    tls: pki.core,
    database: ":memory:",
    masterKey: randomBytes(32),
    allow: ALLOW_EVERY_EDGE,
    publishers: transport.publishers,
  });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => core.close());
  const rows: Row[] = [];
  let most = 0;
  for (const edges of numbers) {
    context.say(`${transport.name}, ${edges} edges`);
    const hosts: Host[] = [];
    let limit: ReturnType<typeof setTimeout> | undefined;
    const tooLong = new Error("it took too long");
    const late = new Promise<never>((_, reject) => {
      limit = setTimeout(() => reject(tooLong), LIMIT_MS);
    });
    try {
      const { p99Ms, rows: measured } = await Promise.race([
        measure(context, inThisProcess(core), pki, transport, edges, hosts),
        late,
      ]);
      rows.push(...measured);
      if (p99Ms <= P99_OF_A_THOUSAND_MS) most = Math.max(most, edges);
    } catch (error) {
      if (error !== tooLong) throw error;
      context.say(`${transport.name}, ${edges} edges: no figure: ${tooLong.message}`);
      const goal = goalOf(edges);
      rows.push(row({ name: `${nameOf(transport, edges)}, p99`, value: Number.NaN, unit: "ms", goal }));
    } finally {
      clearTimeout(limit);
      for (const host of hosts) host.kill();
    }
  }
  const bound = `${P99_OF_A_THOUSAND_MS} ms`;
  rows.push(
    row({ name: `revocation: ${transport.name}, most edges with p99 within ${bound}`, value: most, unit: "edges" }),
  );
  return rows;
}

/** Starts the brokers of a transport; undefined where one is not installed. They end with it. */
async function openTransport(context: BenchContext, name: string): Promise<(Transport & AsyncDisposable) | undefined> {
  const stack = new AsyncDisposableStack();
  context.cleanUp(() => stack.disposeAsync());
  const sections: Record<string, unknown>[] = [];
  const plugins: string[] = [];
  const publishers: EventPublisher[] = [];
  if (name === "core" || name === "all together") sections.push({ use: "core" });
  for (const broker of BROKERS) {
    if (name !== broker && name !== "all together") continue;
    if (!(await isInstalled(broker))) {
      context.say(`${broker}-server is not installed: ${name} is left out`);
      return undefined;
    }
    const section = broker === "nats" ? await startNats(stack, publishers) : await startAmqp(stack, publishers);
    sections.push({ use: broker, [broker]: section });
    plugins.push(resolve(context.root, "plugins", broker));
  }
  return { name, sections, plugins, publishers, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

async function isInstalled(broker: (typeof BROKERS)[number]): Promise<boolean> {
  return broker === "nats"
    ? Bun.which("nats-server") !== null
    : await Bun.file("/usr/lib/rabbitmq/bin/rabbitmq-server").exists();
}

async function startNats(stack: AsyncDisposableStack, publishers: EventPublisher[]): Promise<object> {
  const broker = stack.use(await startNatsServer());
  const nats = { servers: [`nats://127.0.0.1:${broker.port}`] };
  const kept = { stream: "REVOCATIONS", subject: "crypto-edge.revocations", keep: 3_600_000 };
  publishers.push(createNatsPublisher({ ...nats, ...kept }, pluginContext()));
  return nats;
}

async function startAmqp(stack: AsyncDisposableStack, publishers: EventPublisher[]): Promise<object> {
  const broker = stack.use(await startRabbitServer());
  const amqp = { servers: [`amqp://127.0.0.1:${broker.port}`], ...RABBIT_USER };
  const kept = { vhost: "/", exchange: "crypto-edge.revocations", keep: 3_600_000 };
  publishers.push(createAmqpPublisher({ ...amqp, ...kept }, pluginContext()));
  return amqp;
}

function pluginContext(): PluginContext {
  const nothing = { add() {}, set() {}, observe() {} };
  return {
    log: { info() {}, warn() {}, error() {} },
    clock: systemClock,
    metrics: { counter: () => nothing, gauge: () => nothing, histogram: () => nothing },
    edgeId: "core",
    directory: "/",
    signal: new AbortController().signal,
    attempt: async (_name, run) => run(),
    follow: async ({ take }) => take(),
  };
}

function nameOf(transport: Transport, edges: number): string {
  return `revocation: ${transport.name}, ${edges.toLocaleString("en-US")} ${edges === 1 ? "edge" : "edges"}`;
}

function goalOf(edges: number): Goal | null {
  if (edges === 1) return { of: "value", atMost: P99_OF_ONE_MS };
  return edges === 1_000 ? { of: "value", atMost: P99_OF_A_THOUSAND_MS } : null;
}

let nextName = 0;

/** What is measured: the Core that revokes, and where the edges follow. */
export interface RevokingCore {
  readonly url: string;
  make(tenant: string, service: string): Promise<void>;
  /** Resolves with the moment at which the Core knew that it was committed, by the machine's clock. */
  revoke(tenant: string, service: string): Promise<number>;
}

function inThisProcess({ url, admin }: RunningCore): RevokingCore {
  return {
    url,
    make: (tenant, service) => admin.createService(tenant, service),
    async revoke(tenant, service) {
      await admin.revoke({ tenant, service }, { reason: "bench" });
      return machineMs();
    },
  };
}

/** How the rows' names begin, and what is asked of the p99. */
interface Named {
  readonly begin: string;
  readonly goal: Goal | null;
}

export interface Measured {
  readonly p99Ms: number;
  readonly rows: Row[];
  /** Of each revocation and edge, from the commit. */
  readonly sinceCommitMs: readonly number[];
  /** Of each revocation, until its commit. */
  readonly commitMs: readonly number[];
}

/** One number of edges by one transport. The hosts that it starts are added to `hosts`; the caller kills them. */
export async function measure(
  context: BenchContext,
  core: RevokingCore,
  pki: ThrowAwayPki,
  transport: Transport,
  edges: number,
  hosts: Host[],
  { begin, goal }: Named = { begin: `${nameOf(transport, edges)}, `, goal: goalOf(edges) },
): Promise<Measured> {
  const warmUpRounds = context.isGuard ? GUARD_WARM_UP_ROUNDS : WARM_UP_ROUNDS;
  const rounds = context.isGuard ? 5 : Math.max(40, Math.ceil(200 / edges));
  const processes = edges <= PROCESSES_MAX ? edges : Math.min(PROCESSES_MAX, availableParallelism());
  const requestsPerSecond = Math.min(REQUESTS_PER_SECOND_OF_AN_EDGE, REQUESTS_PER_SECOND / edges);
  await Promise.all(
    Array.from({ length: processes }, (_, index) => {
      const share = Math.floor(edges / processes) + (index < edges % processes ? 1 : 0);
      return startHost(context, core, pki, transport, share, requestsPerSecond, hosts);
    }),
  );
  const latencies: number[] = [];
  const sinceCommitMs: number[] = [];
  const commitMs: number[] = [];
  let firstMs = 0;
  let servedAfter = 0;
  let requests = 0;
  let loadMs = 0;
  for (let round = -warmUpRounds; round < rounds; round++) {
    const service = `target-${nextName++}`;
    await core.make(TENANT, service);
    await Promise.all(hosts.map((host) => host.watch(service)));
    const loadBeganMs = machineMs();
    // At any moment between two heartbeats.
    await Bun.sleep(50 + Math.random() * 200);
    const revokedMs = machineMs();
    const committedMs = await core.revoke(TENANT, service);
    if (round >= 0) commitMs.push(committedMs - revokedMs);
    for (const result of await Promise.all(hosts.map((host) => host.result()))) {
      const took = result.refusedAtMs.map((refusedMs) => refusedMs - revokedMs);
      if (round === -warmUpRounds) firstMs = Math.max(firstMs, ...took);
      if (round >= 0) {
        latencies.push(...took);
        sinceCommitMs.push(...result.refusedAtMs.map((refusedMs) => refusedMs - committedMs));
      }
      servedAfter += result.servedAfter;
      requests += result.requests;
    }
    loadMs += machineMs() - loadBeganMs;
  }
  await Promise.all(hosts.map((host) => host.stop()));
  // No matter of speed: whoever runs this must not overlook it.
  if (servedAfter > 0) throw new Error(`${servedAfter} requests were served after the edge had applied the revocation`);
  const note = `${rounds} revocations, ${processes} ${processes === 1 ? "process" : "processes"}, ${LEASES.toLocaleString("en-US")} leases an edge, ${Math.round((requests / loadMs) * 1_000).toLocaleString("en-US")} requests/s meanwhile, ${Math.round(hosts.reduce((sum, host) => sum + host.residentBytes, 0) / 2 ** 20).toLocaleString("en-US")} MiB; the first of all reached the last edge after ${firstMs.toFixed(1)} ms`;
  const p99Ms = quantile(latencies, 0.99);
  const rows = [
    row({ name: `${begin}p50`, value: quantile(latencies, 0.5), unit: "ms", note }),
    row({ name: `${begin}p99`, value: p99Ms, unit: "ms", goal }),
    row({ name: `${begin}max`, value: quantile(latencies, 1), unit: "ms" }),
    row({
      name: `${begin}served after the edge had applied it`,
      value: servedAfter,
      unit: "requests",
      goal: { of: "value", atMost: 0 },
    }),
  ];
  return { p99Ms, rows, sinceCommitMs, commitMs };
}

export interface Host {
  residentBytes: number;
  /** Resolves once the load is on. */
  watch(service: string): Promise<void>;
  result(): Promise<EdgesResult>;
  stop(): Promise<void>;
  kill(): void;
}

async function startHost(
  context: BenchContext,
  core: RevokingCore,
  pki: ThrowAwayPki,
  transport: Transport,
  edges: number,
  requestsPerSecond: number,
  hosts: Host[],
): Promise<void> {
  const made: { id: string; cert: string; key: string }[] = [];
  for (let index = 0; index < edges; index++) {
    const id = `bench-${nextName++}`;
    const { cert, key } = await pki.edge(id);
    made.push({ id, cert, key });
  }
  const options: EdgesOptions = {
    edges: made,
    ca: pki.authority.certificate,
    coreUrl: core.url,
    leases: LEASES,
    transports: transport.sections,
    plugins: transport.plugins,
    requestsPerSecond,
  };
  const optionsFile = `${context.directory}/edges-${nextName++}.json`;
  await Bun.write(optionsFile, JSON.stringify(options));
  const child = Bun.spawn(
    [process.execPath, resolve(import.meta.dirname, "servers/revocation-edges.ts"), optionsFile],
    {
      stdio: ["pipe", "pipe", "inherit"],
    },
  );
  context.cleanUp(() => child.kill("SIGKILL"));
  const lines = createInterface({ input: (await import("node:stream")).Readable.fromWeb(child.stdout as never) })[
    Symbol.asyncIterator
  ]();
  const next = async (field: string): Promise<unknown> => {
    const { value, done } = await lines.next();
    if (done) throw new Error("a process of edges ended before its time");
    const said = JSON.parse(value) as Record<string, unknown>;
    if (!(field in said)) throw new Error(`expected ${field}, got ${value}`);
    return said[field];
  };
  const host: Host = {
    residentBytes: 0,
    kill: () => child.kill("SIGKILL"),
    async watch(service) {
      child.stdin.write(`${JSON.stringify({ service })}\n`);
      await child.stdin.flush();
      await next("watching");
    },
    result: async () => (await next("result")) as EdgesResult,
    async stop() {
      child.stdin.end();
      const cut = setTimeout(() => child.kill("SIGKILL"), 2_000);
      await child.exited;
      clearTimeout(cut);
    },
  };
  hosts.push(host);
  ({ residentBytes: host.residentBytes } = (await next("ready")) as { residentBytes: number });
}
