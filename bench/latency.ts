/**
 * Latency at a fixed 10,000 requests a second, 30 % of them decrypts, over a real edge and a real Core: quiet, and while
 * something happens. Counted from when a request was due (harness/generator.ts).
 */
import { join } from "node:path";
import type { BenchContext } from "./harness/context.ts";
import { generateLoad, type LoadRequest, type LoadResult } from "./harness/generator.ts";
import { type ServerProcess, startServer } from "./harness/processes.ts";
import { compare, median, spread } from "./harness/rounds.ts";
import { type Row, row } from "./harness/row.ts";

export const about = "latency at 10,000 requests a second, quiet and under disturbance";

const RATE = 10_000;
const CONNECTIONS = 16;
const SERVICES = 1_000;
const TENANT = "tenant-a";
const WARM_UP_SECONDS = 1;
/** When a route that does nothing takes this long, the figures are the machine's, and say nothing of the edge. */
const BUSY_P99_MS = 5;

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
  const rows = [...rowsOfQuiet(found.get("quiet")!, found.get("bare")!, seconds * rounds), ...rowsOfDisturbed(found)];
  const bareP99 = median(found.get("bare")!.map((load) => load.latencyMs.p99));
  if (bareP99 <= BUSY_P99_MS) return rows;
  const note = `not judged: the machine was too busy, a bare route had a p99 of ${bareP99.toFixed(0)} ms at this rate`;
  return rows.map((of) => ({ ...of, goal: null, verdict: null, note }));
}

function rowsOfQuiet(quiet: readonly LoadResult[], bare: readonly LoadResult[], seconds: number): Row[] {
  const figures = { p50: 0.1, p99: 0.5, p999: 2 } as const;
  const reached = median(quiet.map((load) => load.requestsPerSecond));
  return (Object.keys(figures) as (keyof typeof figures)[]).map((figure) => {
    const values = quiet.map((load) => load.latencyMs[figure]);
    return row({
      name: `latency: ${figure} at 10,000 a second`,
      ...compare(
        values,
        bare.map((load) => load.latencyMs[figure]),
      ),
      baselineName: "bare Bun.serve at the same rate",
      unit: "ms",
      goal: { of: "value", atMost: figures[figure] },
      note: `${seconds} s in ${quiet.length} windows, ${Math.round(reached)} answers a second, from when each was due; lowest window ${Math.min(...values).toFixed(3)} ms`,
    });
  });
}

function rowsOfDisturbed(found: ReadonlyMap<string, readonly LoadResult[]>): Row[] {
  const quiet = found.get("quiet")!.map((load) => load.latencyMs.p99);
  return [...found]
    .filter(([name]) => name !== "quiet" && name !== "bare")
    .map(([name, loads]) => {
      const values = loads.map((load) => load.latencyMs.p99);
      const ratios = values.map((value, round) => value / quiet[round]!);
      return row({
        name: `latency: p99 during ${name}`,
        value: median(values),
        baseline: median(quiet),
        baselineName: "quiet",
        ratio: median(ratios),
        spread: spread(ratios),
        unit: "ms",
        goal: { of: "ratio", atMost: 1.5 },
      });
    });
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
