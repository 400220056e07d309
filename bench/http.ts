/** CreateKey over HTTP against a bare `Bun.serve` route with requests and answers of the same size. */
import { join } from "node:path";
import type { BenchContext } from "./harness/context.ts";
import { generateLoad, type Target } from "./harness/generator.ts";
import { cpuSecondsOf, type ServerProcess, startServer } from "./harness/processes.ts";
import { compare, interleave, median } from "./harness/rounds.ts";
import { type Row, row } from "./harness/row.ts";
import { runWrk } from "./harness/wrk.ts";

export const about = "CreateKey over HTTP, on loopback and a Unix socket, against a bare Bun.serve route";
export const guards = true;

const CONNECTIONS = 32;
const PATH = "/v1/keys/create";
const BODY = JSON.stringify({ tenant: "tenant-a", service: "billing" });

/** What one sample found; the row's figure is `perCoreSecond`. */
interface Throughput {
  readonly perCoreSecond: number;
  readonly perSecond: number;
  readonly clientCores: number;
}

export async function run(context: BenchContext): Promise<Row[]> {
  const answerBytes = await sizeOfAnswer(context);
  const rows: Row[] = [];
  for (const transport of ["loopback", "Unix socket"] as const) {
    const at = (name: string) => (transport === "loopback" ? {} : { unix: join(context.directory, `${name}.sock`) });
    const start = async (script: string, options: Record<string, unknown>) => {
      const server = await startServer(script, options);
      context.cleanUp(() => server.stop());
      return server;
    };
    const edge = await start("edge.ts", at("edge"));
    const bare = await start("bare.ts", { ...at("bare"), answerBytes });
    const unread = await start("bare.ts", { ...at("unread"), answerBytes, readsBody: false });
    const found: Throughput[] = [];
    const sample = (server: ServerProcess, name: string) => async () => {
      const target = transport === "loopback" ? { port: server.ready.port as number } : at(name);
      const throughput = await measure(server, target, Math.max(1, context.sampleMs / 1000));
      found.push(throughput);
      return throughput.perCoreSecond;
    };
    const samples = await interleave(
      { edge: sample(edge, "edge"), bare: sample(bare, "bare"), unread: sample(unread, "unread") },
      context.rounds,
    );
    await Promise.all([edge.stop(), bare.stop(), unread.stop()]);
    const unit = "requests per second of server's processor time";
    const clientCores = median(found.map((throughput) => throughput.clientCores));
    rows.push(
      row({
        name: `http: CreateKey, ${transport}`,
        ...compare(samples.edge, samples.bare),
        baselineName: "bare Bun.serve",
        unit,
        goal: { of: "ratio", atLeast: 0.85 },
        note: `${CONNECTIONS} connections, requests of ${BODY.length} and answers of ${answerBytes} bytes; the load generator used ${clientCores.toFixed(2)} cores`,
      }),
      row({
        name: `http: CreateKey, ${transport}, against a route that does not read the request`,
        ...compare(samples.edge, samples.unread),
        baselineName: "bare Bun.serve, body unread",
        unit,
      }),
    );
  }
  return rows;
}

async function sizeOfAnswer(context: BenchContext): Promise<number> {
  const edge = await startServer("edge.ts", {});
  context.cleanUp(() => edge.stop());
  const answer = await fetch(`http://127.0.0.1:${edge.ready.port}${PATH}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: BODY,
  });
  if (answer.status !== 201) throw new Error(`The edge answered ${answer.status}: ${await answer.text()}`);
  const { length } = await answer.text();
  await edge.stop();
  return length;
}

async function measure(server: ServerProcess, target: Target, seconds: number): Promise<Throughput> {
  const before = cpuSecondsOf(server.pid);
  const load =
    target.port === undefined
      ? await generateLoad({
          target,
          connections: CONNECTIONS,
          seconds,
          warmUpSeconds: 0,
          requests: [{ method: "POST", path: PATH, body: BODY }],
        })
      : await runWrk({ port: target.port, path: PATH, body: BODY, connections: CONNECTIONS, seconds });
  if (load.errors > 0) throw new Error(`${load.errors} requests failed.`);
  return {
    perCoreSecond: load.requests / (cpuSecondsOf(server.pid) - before),
    perSecond: load.requestsPerSecond,
    clientCores: load.clientCores,
  };
}
