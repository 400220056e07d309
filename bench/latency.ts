/**
 * Latency at a fixed 10,000 requests a second, 30 % of them decrypts, over a real edge and a real Core: quiet, and while
 * something happens. Counted from when a request was due (harness/generator.ts).
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { BenchContext } from "./harness/context.ts";
import { generateLoad, type LoadRequest, type LoadResult } from "./harness/generator.ts";
import { type ServerProcess, startServer } from "./harness/processes.ts";
import { compare, median } from "./harness/rounds.ts";
import { type Row, row } from "./harness/row.ts";

export const about = "latency at 10,000 requests a second, quiet and under disturbance";

const RATE = 10_000;
const CONNECTIONS = 16;
const SERVICES = 1_000;
const TENANT = "tenant-a";
const WARM_UP_SECONDS = 1;
const GOALS_MS = { p50: 0.1, p99: 0.5, p999: 2 } as const;

/** What happens in a window, and when it must be undone. */
interface Disturbance {
  readonly name: string;
  readonly edge: ServerProcess;
  /** Called when the window's load runs; what it answers is called at the window's end. */
  readonly begin: (seconds: number) => (() => void) | undefined;
}

export async function run(context: BenchContext): Promise<Row[]> {
  const core = await startServer("core.ts", { directory: context.directory }, "client");
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
  const startEdge = async (configuration: Record<string, unknown>): Promise<ServerProcess> => {
    const edge = await startServer("edge.ts", {
      configuration: { key_source: source, revocation: { transports: [{ use: "core" }] }, ...configuration },
    });
    context.cleanUp(() => edge.stop());
    return edge;
  };
  const edge = await startEdge({ cache: { ttl: "10m", refresh_after: "9m" } });
  // Renews all of its leases every few seconds. It sleeps outside its windows.
  const renewing = await startEdge({ cache: { ttl: "10m", refresh_after: "4s" } });
  const requests = await requestsFor(edge);
  const renewingRequests = await requestsFor(renewing);
  context.say(`holding ${SERVICES} leases…`);
  for (const each of [edge, renewing]) await holdLeases(each);
  pause(renewing);

  let rotations = 0;
  const bare = await startServer("bare.ts", { answerBytes: 204 });
  context.cleanUp(() => bare.stop());
  const disturbances: Disturbance[] = [
    { name: "bare", edge: bare, begin: () => undefined },
    { name: "quiet", edge, begin: () => undefined },
    { name: "renewal of 1,000 leases", edge: renewing, begin: () => undefined },
    {
      name: "a rotation a second",
      edge,
      begin: (seconds) => repeat(1000, seconds, () => core.tell(`rotate ${TENANT} service-${rotations++ % SERVICES}`)),
    },
    {
      name: "a revocation a second",
      edge,
      begin: (seconds) =>
        repeat(1000, seconds, () => core.tell(`revoke ${TENANT} service-${SERVICES - 1 - (rotations++ % 500)} 1`)),
    },
    {
      name: "a Core that hangs",
      edge,
      begin: () => {
        pause(core);
        return () => resume(core);
      },
    },
    {
      name: "a metrics scrape a second",
      edge,
      begin: (seconds) => repeat(1000, seconds, () => void scrape(edge)),
    },
  ];
  const flushing = await startEdge({ usage: { send_after: "1s" } });
  const flushingRequests = await requestsFor(flushing);
  disturbances.push({ name: "a usage flush a second", edge: flushing, begin: () => undefined });

  const requestsOf = new Map([
    [bare, requests.slice(0, 1)],
    [edge, requests],
    [renewing, renewingRequests],
    [flushing, flushingRequests],
  ]);
  const seconds = context.isGuard ? 2 : 6;
  const rounds = context.isGuard ? 2 : 5;
  const found = new Map<string, LoadResult[]>();
  for (let round = -1; round < rounds; round++) {
    for (const { name, edge: of, begin } of disturbances) {
      resume(of);
      const end = begin(seconds + WARM_UP_SECONDS);
      const load = await generateLoad({
        target: { port: of.ready.port as number },
        connections: CONNECTIONS,
        rate: RATE,
        seconds,
        warmUpSeconds: WARM_UP_SECONDS,
        requests: requestsOf.get(of)!,
      });
      end?.();
      if (of === renewing) pause(of);
      if (load.errors > 0) throw new Error(`${name}: ${load.errors} requests failed: ${load.firstError}`);
      // The first round warms up.
      if (round >= 0) found.set(name, [...(found.get(name) ?? []), load]);
    }
  }
  return [...rowsOfQuiet(found.get("quiet")!, found.get("bare")!, seconds * rounds), ...rowsOfDisturbed(found)];
}

function rowsOfQuiet(quiet: readonly LoadResult[], bare: readonly LoadResult[], seconds: number): Row[] {
  const reached = median(quiet.map((load) => load.requestsPerSecond));
  return (Object.keys(GOALS_MS) as (keyof typeof GOALS_MS)[]).map((figure) => {
    const found = compare(
      quiet.map((load) => load.latencyMs[figure]),
      bare.map((load) => load.latencyMs[figure]),
    );
    const windows = `${seconds} s in ${quiet.length} windows, ${Math.round(reached)} answers a second, from when each was due`;
    return row({
      name: `latency: ${figure} at 10,000 a second`,
      ...found,
      baselineName: "bare Bun.serve at the same rate",
      unit: "ms",
      goal: { of: "value", atMost: GOALS_MS[figure] },
      note: [windows, ...priorityNote()].join("; "),
    });
  });
}

function rowsOfDisturbed(found: ReadonlyMap<string, readonly LoadResult[]>): Row[] {
  const p99 = (name: string): number[] => found.get(name)!.map((load) => load.latencyMs.p99);
  return [...found.keys()]
    .filter((name) => name !== "quiet" && name !== "bare")
    .map((name) =>
      row({
        name: `latency: p99 during ${name}`,
        ...compare(p99(name), p99("quiet")),
        baselineName: "quiet",
        unit: "ms",
        goal: { of: "ratio", atMost: 1.5 },
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
