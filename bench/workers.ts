/** Two workers on two cores against one on one: creates per second, with the load generator's share accounted for. */
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import type { BenchContext } from "./harness/context.ts";
import { cpuSecondsOf } from "./harness/processes.ts";
import { compare, interleave } from "./harness/rounds.ts";
import { type Row, row } from "./harness/row.ts";
import { runWrk } from "./harness/wrk.ts";

export const about = "two workers on two cores against one";

/** Enough that neither of two workers waits for a request: one that sleeps between two pays for waking up. */
const CONNECTIONS = 64;
const BODY = JSON.stringify({ tenant: "tenant-a", service: "billing" });

interface ServingEdge {
  readonly port: number;
  /** Of the processes that answer requests. */
  readonly processIds: readonly number[];
}

export async function run(context: BenchContext): Promise<Row[]> {
  const one = await serve(context, 1);
  const two = await serve(context, 2);
  // The generator needs a core too, so it is the lightest there is, and capacity is what the workers answer for each second of their own processor time,
  // times the cores that they can have; a worker that waits for its sibling, or does work twice, shows in it.
  const capacity = (edge: ServingEdge, workers: number) => async () => {
    const before = sum(edge.processIds.map(cpuSecondsOf));
    const load = await runWrk({
      port: edge.port,
      path: "/v1/keys/create",
      body: BODY,
      connections: CONNECTIONS,
      seconds: Math.max(1, context.sampleMs / 1000),
    });
    if (load.errors > 0) throw new Error(`${load.errors} requests failed: ${load.firstError}`);
    const spent = edge.processIds.map(cpuSecondsOf);
    return (load.requests / (sum(spent) - before)) * workers;
  };
  const samples = await interleave({ two: capacity(two, 2), one: capacity(one, 1) }, context.rounds);
  return [
    row({
      name: "workers: two against one",
      ...compare(samples.two, samples.one),
      baselineName: "one worker",
      unit: "requests per second of all workers' processor time",
      goal: { of: "ratio", atLeast: 1.85 },
      note: `requests for each second of processor time, times the workers; the machine has ${availableParallelism()} cores, and the generator shares one of them`,
    }),
  ];
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

async function serve(context: BenchContext, workers: number): Promise<ServingEdge> {
  const port = await freePort();
  const file = join(context.directory, `edge-${workers}.yaml`);
  const key = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex");
  const configuration = {
    edge: { id: "edge-bench" },
    workers,
    key_source: {
      use: "static",
      static: { keys: [{ tenant: "tenant-a", service: "billing", version: 1, state: "active", key }] },
    },
    listeners: [{ http: `127.0.0.1:${port}`, principal: "bench" }],
    policies: [{ principals: ["bench"], tenants: ["*"], services: ["*"], operations: ["create"] }],
    plugins: [resolve(context.root, "plugins/static")],
    log: { level: "error" },
  };
  writeFileSync(file, JSON.stringify(configuration), { mode: 0o600 });
  const child = Bun.spawn([process.execPath, join(context.root, "src/main.ts"), "serve", "--config", file], {
    stdout: "ignore",
    stderr: "inherit",
  });
  context.cleanUp(async () => {
    child.kill("SIGTERM");
    await child.exited;
  });
  for (let tries = 0; tries < 400; tries++) {
    const status = await fetch(`http://127.0.0.1:${port}/v1/status`, { headers: { connection: "close" } })
      .then((answer) => answer.json() as Promise<{ workers?: { pid: number }[] }>)
      .catch(() => undefined);
    if (workers === 1 && status !== undefined) return { port, processIds: [child.pid] };
    if (status?.workers?.length === workers) return { port, processIds: status.workers.map(({ pid }) => pid) };
    await Bun.sleep(25);
  }
  throw new Error(`An edge with ${workers} workers did not serve within ten seconds.`);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as { port: number };
  await new Promise((done) => server.close(done));
  return port;
}
