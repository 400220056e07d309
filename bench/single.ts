/** CreateKey over one connection, one call after the other: how long a caller waits, beside a route that does no work. */
import type { BenchContext } from "./harness/context.ts";
import { startServer } from "./harness/processes.ts";
import { compare, interleave } from "./harness/rounds.ts";
import { type Row, row } from "./harness/row.ts";

export const about = "CreateKey over HTTP on loopback with one connection: p50 and p99";

const BODY = JSON.stringify({ tenant: "tenant-a", service: "billing" });

export async function run(context: BenchContext): Promise<Row[]> {
  const start = async (script: string, options: Record<string, unknown>): Promise<string> => {
    const server = await startServer(script, options);
    context.cleanUp(() => server.stop());
    return `http://127.0.0.1:${server.ready.port}/v1/keys/create`;
  };
  const edge = await start("edge.ts", {});
  const bare = await start("bare.ts", { answerBytes: (await call(edge)).length });
  const p50s: Record<string, number[]> = { edge: [], bare: [] };
  const sample = (name: string, url: string) => async () => {
    const times = await measure(url, context.sampleMs);
    p50s[name]!.push(times[Math.floor(times.length * 0.5)]!);
    return times[Math.floor(times.length * 0.99)]!;
  };
  const p99s = await interleave({ edge: sample("edge", edge), bare: sample("bare", bare) }, context.rounds);
  const common = { unit: "ms", baselineName: "bare Bun.serve" };
  const note = "waiting is wall time: a neighbour on the machine is in it, as in the baseline";
  return [
    row({ name: "single: p50 of one connection", ...common, ...compare(p50s.edge!, p50s.bare!) }),
    row({
      name: "single: p99 of one connection",
      ...common,
      ...compare(p99s.edge, p99s.bare),
      goal: { of: "value", atMost: 0.5 },
      note,
    }),
  ];
}

async function call(url: string): Promise<string> {
  const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: BODY });
  return response.text();
}

/** Milliseconds of each call, sorted. */
async function measure(url: string, forMs: number): Promise<number[]> {
  const times: number[] = [];
  const endMs = performance.now() + forMs;
  for (let nowMs = performance.now(); nowMs < endMs; ) {
    await call(url);
    const thenMs = nowMs;
    nowMs = performance.now();
    times.push(nowMs - thenMs);
  }
  return times.sort((a, b) => a - b);
}
