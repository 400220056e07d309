/**
 * Latency at a fixed 10,000 requests a second, 30 % of them decrypts, over a real edge and a real Core, the edge's threads on one core as in
 * a container of one processor: quiet, while something happens, and over mutual TLS. Counted from when a request was due
 * (native/load.c). A server that does nothing and a bare Bun.serve beside it, in the same rounds, show what the machine itself takes.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CollectionLog, quantile } from "./harness/collections.ts";
import type { BenchContext } from "./harness/context.ts";
import { generateLoad, type LoadRequest, type LoadResult, type Target } from "./harness/generator.ts";
import { startKes } from "./harness/kes.ts";
import { nativeProgram } from "./harness/native.ts";
import {
  type ProcessSettings,
  residentBytesOf,
  type ServerProcess,
  startCommand,
  startServer,
} from "./harness/processes.ts";
import { compare, median } from "./harness/rounds.ts";
import { type Row, row } from "./harness/row.ts";
import { startTlsEdge } from "./harness/tls-edge.ts";

export const about = "latency at 10,000 requests a second on one core, quiet, under disturbance, and over mutual TLS";

const RATE = 10_000;
const CONNECTIONS = 16;
const SERVICES = 1_000;
const TENANT = "tenant-a";
const WARM_UP_SECONDS = 1;
/** After its sleep an edge has as many renewals to make at once as it has leases: they are done before the load begins. */
const AWAKE_MS = 3_000;

/** One server under load for some seconds, in turn with the others. */
interface Window {
  readonly name: string;
  readonly target: Target;
  readonly requests: readonly LoadRequest[];
  /** Called when the window's load runs; what it answers is called at the window's end. */
  readonly begin?: (seconds: number) => (() => void) | undefined;
  /** Sleeps outside its windows. */
  readonly sleeps?: ServerProcess;
  /** The quiet that it is set against, right before it: a machine's own noise comes and goes within minutes. */
  readonly besideQuiet?: true;
}

const quietBeside = (name: string): string => `quiet beside ${name}`;

export async function run(context: BenchContext): Promise<Row[]> {
  const core = await startServer("core.ts", { directory: context.directory }, "behind");
  context.cleanUp(() => core.stop());
  const certificate = (name: string): string => join(context.directory, name);
  const source = {
    use: "core",
    core: {
      url: core.ready.url,
      ca: certificate("ca.pem"),
      cert: certificate("edge.pem"),
      key: certificate("edge.key"),
    },
  };
  const startEdge = async (
    configuration: Record<string, unknown>,
    cores: "server" | "all" = "server",
    settings: ProcessSettings = {},
  ): Promise<ServerProcess> => {
    const whole = { key_source: source, revocation: { transports: [{ use: "core" }] }, ...configuration };
    const edge = await startServer("edge.ts", { configuration: whole }, cores, settings);
    context.cleanUp(() => edge.stop());
    return edge;
  };
  const cache = { ttl: "10m", refresh_after: "9m" };
  const collections = new CollectionLog(join(context.directory, "collections.log"));
  context.cleanUp(() => collections.close());
  const edge = await startEdge({ cache });
  const logged = await startEdge({ cache }, "server", collections.settings);
  const everyCore = await startEdge({ cache }, "all");
  // Renews all of its leases every few seconds. It sleeps outside its windows.
  const renewing = await startEdge({ cache: { ttl: "10m", refresh_after: "4s" } });
  const flushing = await startEdge({ cache, usage: { send_after: "1s" } });
  context.say(`holding ${SERVICES} leases…`);
  for (const each of [edge, renewing]) await holdLeases(each);
  pause(renewing);

  const bare = await startServer("bare.ts", { answerBytes: 204, anyPath: true });
  context.cleanUp(() => bare.stop());
  const of = async (name: string, server: ServerProcess, more: Partial<Window> = {}): Promise<Window> => ({
    name,
    target: { port: server.ready.port as number },
    requests: await requestsFor(server),
    ...more,
  });
  let rotations = 0;
  resume(renewing);
  const windows: Window[] = [
    await of("quiet", edge),
    await of("collections", logged),
    await of("every core", everyCore),
    await of("renewal of 1,000 leases", renewing, { sleeps: renewing, besideQuiet: true }),
    await of("a rotation a second", edge, {
      besideQuiet: true,
      begin: (seconds) => repeat(1000, seconds, () => core.tell(`rotate ${TENANT} service-${rotations++ % SERVICES}`)),
    }),
    await of("a revocation a second", edge, {
      besideQuiet: true,
      begin: (seconds) =>
        repeat(1000, seconds, () => core.tell(`revoke ${TENANT} service-${SERVICES - 1 - (rotations++ % 500)} 1`)),
    }),
    await of("a Core that hangs", edge, {
      besideQuiet: true,
      begin: () => {
        pause(core);
        return () => resume(core);
      },
    }),
    await of("a metrics scrape a second", edge, {
      besideQuiet: true,
      begin: (seconds) => repeat(1000, seconds, () => void scrape(edge)),
    }),
    await of("a usage flush a second", flushing, { besideQuiet: true }),
  ];
  const quiet = windows[0]!;
  windows.unshift({ ...quiet, name: "bare", target: { port: bare.ready.port as number } });
  pause(renewing);
  const nothing = nativeProgram("nothing");
  if (nothing === undefined) context.say("no server that does nothing: there is no C compiler here");
  else {
    const server = await startCommand([nothing]);
    context.cleanUp(() => server.stop());
    windows.unshift({ ...quiet, name: "nothing", target: { port: server.ready.port as number } });
  }
  const tls = await startTlsEdge(context);
  const mixed = ({ create, decrypt }: typeof tls.peer.requests): LoadRequest[] => [
    { ...create, weight: 7 },
    { ...decrypt, weight: 3 },
  ];
  windows.push({ name: "mutual TLS", target: tls.peer.target, requests: mixed(tls.peer.requests) });
  const kes = await startKes(context, tls.identities);
  if (kes !== undefined) windows.push({ name: "KES", target: kes.target, requests: mixed(kes.requests) });

  const seconds = context.isGuard ? 2 : 6;
  const rounds = context.isGuard ? 2 : 5;
  const found = new Map<string, LoadResult[]>();
  const measure = async (window: Window, round: number): Promise<void> => {
    const load = await runWindow(window, seconds);
    if (round >= 0) found.set(window.name, [...(found.get(window.name) ?? []), load]);
  };
  for (let round = -1; round < rounds; round++) {
    // The first round warms up.
    if (round === 0) collections.restart();
    for (const window of windows) {
      if (window.besideQuiet) await measure({ ...quiet, name: quietBeside(window.name) }, round);
      await measure(window, round);
    }
  }
  const note = noteOf(found.get("quiet")!, seconds);
  return [
    ...rowsOfQuiet(found, note),
    ...rowsOfCollections(collections.read().pausesMs),
    ...rowsOfTls(found, kes?.name),
    ...rowsOfDisturbed(found),
    row({
      name: "latency: memory of the edge after the load",
      value: residentBytesOf(everyCore.pid) / 2 ** 20,
      unit: "MiB",
      goal: { of: "value", atMost: 90 },
      note: "resident set; one lease held",
    }),
  ];
}

async function runWindow({ name, target, requests, begin, sleeps }: Window, seconds: number): Promise<LoadResult> {
  if (sleeps !== undefined) {
    resume(sleeps);
    await Bun.sleep(AWAKE_MS);
  }
  const end = begin?.(seconds + WARM_UP_SECONDS);
  const load = await generateLoad({
    target,
    connections: CONNECTIONS,
    rate: RATE,
    seconds,
    warmUpSeconds: WARM_UP_SECONDS,
    requests,
  });
  end?.();
  if (sleeps !== undefined) pause(sleeps);
  if (load.errors > 0) throw new Error(`${name}: ${load.errors} requests failed: ${load.firstError}`);
  return load;
}

type Figure = "p50" | "p99" | "p999";

function figures(found: ReadonlyMap<string, readonly LoadResult[]>, name: string, figure: Figure): number[] {
  return (found.get(name) ?? []).map((load) => load.latencyMs[figure]);
}

function noteOf(quiet: readonly LoadResult[], seconds: number): string {
  const reached = Math.round(median(quiet.map((load) => load.requestsPerSecond)));
  const late = median(quiet.map((load) => load.lateMs.p99)).toFixed(2);
  const windows = `${seconds * quiet.length} s in ${quiet.length} windows, ${reached} answers a second, from when each was due`;
  return [windows, `the generator itself was late by ${late} ms at its p99`, ...priorityNote()].join("; ");
}

function rowsOfQuiet(found: ReadonlyMap<string, readonly LoadResult[]>, note: string): Row[] {
  const against = (figure: Figure) => ({
    ...compare(figures(found, "quiet", figure), figures(found, "bare", figure)),
    baselineName: "bare Bun.serve at the same rate",
    unit: "ms",
    note,
  });
  const rows = [
    row({ name: "latency: p50 at 10,000 a second", ...against("p50"), goal: { of: "value", atMost: 0.15 } }),
    row({ name: "latency: p99 at 10,000 a second", ...against("p99"), goal: { of: "value", atMost: 0.8 } }),
    row({
      name: "latency: p99 against bare Bun.serve",
      ...against("p99"),
      goal: { of: "ratio", atMost: 1.2 },
    }),
    row({
      name: "latency: p99.9 against bare Bun.serve",
      ...against("p999"),
      goal: { of: "ratio", atMost: 1.2 },
    }),
    row({
      name: "latency: p99 with every core of the machine",
      ...compare(figures(found, "every core", "p99"), figures(found, "quiet", "p99")),
      baselineName: "on one core",
      unit: "ms",
    }),
  ];
  if (!found.has("nothing")) return rows;
  return [
    ...(["p99", "p999"] as const).map((figure) =>
      row({
        name: `latency: ${figure === "p99" ? "p99" : "p99.9"} of a server that does nothing`,
        value: median(figures(found, "nothing", figure)),
        unit: "ms",
        note: "the floor of this machine and of the generator",
      }),
    ),
    ...rows,
  ];
}

function rowsOfCollections(pausesMs: readonly number[]): Row[] {
  return (
    [
      ["p50", 0.5, 0.4],
      ["p99", 0.99, 0.8],
    ] as const
  ).map(([name, share, atMost]) =>
    row({
      name: `latency: ${name} of the pauses of young collections`,
      value: quantile(pausesMs, share),
      unit: "ms",
      goal: { of: "value", atMost },
      note: `${pausesMs.length} collections, by the runtime's own log`,
    }),
  );
}

function rowsOfTls(found: ReadonlyMap<string, readonly LoadResult[]>, peer: string | undefined): Row[] {
  const own = figures(found, "mutual TLS", "p99");
  const rows = [
    row({
      name: "latency: p99 at 10,000 a second over mutual TLS",
      value: median(own),
      unit: "ms",
      goal: { of: "value", atMost: 1 },
    }),
  ];
  if (peer === undefined) return rows;
  return [
    ...rows,
    row({
      name: `latency: p99 over mutual TLS against ${peer}`,
      ...compare(own, figures(found, "KES", "p99")),
      baselineName: peer,
      unit: "ms",
      goal: { of: "ratio", atMost: 0.6 },
    }),
  ];
}

function rowsOfDisturbed(found: ReadonlyMap<string, readonly LoadResult[]>): Row[] {
  return [...found.keys()]
    .filter((name) => found.has(quietBeside(name)))
    .map((name) =>
      row({
        name: `latency: p99 during ${name}`,
        ...compare(figures(found, name, "p99"), figures(found, quietBeside(name), "p99")),
        baselineName: "quiet, right before each window of it",
        unit: "ms",
        goal: { of: "ratio", atMost: 1.2 },
      }),
    );
}

/** Says so when the bench was started with real-time priority, which then the servers and the generator have too. */
function priorityNote(): string[] {
  const policy = /^policy\s*:\s*(\d+)/m.exec(readFileSync("/proc/self/sched", "latin1"))?.[1];
  return policy === "0" ? [] : ["with real-time priority (chrt), which the kernel takes away for 50 ms of each second"];
}

/** Seven creates to three decrypts. */
async function requestsFor(edge: ServerProcess): Promise<LoadRequest[]> {
  const key = { tenant: TENANT, service: "billing" };
  const { wrapped } = (await post(edge, "create", key)) as { wrapped: string };
  return [
    { method: "POST", path: "/v1/keys/create", body: JSON.stringify(key), weight: 7 },
    { method: "POST", path: "/v1/keys/decrypt", body: JSON.stringify({ wrapped }), weight: 3 },
  ];
}

async function holdLeases(edge: ServerProcess): Promise<void> {
  for (let first = 0; first < SERVICES; first += 50) {
    await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        post(edge, "create", { tenant: TENANT, service: `service-${first + index}` }),
      ),
    );
  }
}

async function post(edge: ServerProcess, operation: string, body: unknown): Promise<unknown> {
  const answer = await fetch(`http://127.0.0.1:${edge.ready.port}/v1/keys/${operation}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${operation} was answered ${answer.status}: ${await answer.text()}`);
  return answer.json();
}

async function scrape(edge: ServerProcess): Promise<void> {
  const answer = await fetch(`http://127.0.0.1:${edge.ready.port}/metrics`);
  await answer.text();
}

function repeat(everyMs: number, seconds: number, act: () => void): () => void {
  const timer = setInterval(act, everyMs);
  const end = setTimeout(() => clearInterval(timer), seconds * 1000);
  return () => {
    clearInterval(timer);
    clearTimeout(end);
  };
}

function pause(server: ServerProcess): void {
  process.kill(server.pid, "SIGSTOP");
}

function resume(server: ServerProcess): void {
  process.kill(server.pid, "SIGCONT");
}
