/** What one caller's flood does to another's latency: each has a listener and a tenant of its own, on one edge. */
import { fileURLToPath } from "node:url";
import type { BenchContext } from "./harness/context.ts";
import { generateLoad, type LoadRequest } from "./harness/generator.ts";
import { onCore, startServer } from "./harness/processes.ts";
import { median } from "./harness/rounds.ts";
import { type Row, row } from "./harness/row.ts";

export const about = "one caller's p99 while another floods the same edge";

/** The caller that is measured: requests due at even distances, latency counted from when each was due. */
const QUIET = { connections: 8, rate: 1_000 };
/** The flood: as many as the generator and the edge manage over this many connections, or at this rate. */
const FLOOD = { connections: 16, rate: 5_000 };
const SLOW_BODIES = 200;

export async function run(context: BenchContext): Promise<Row[]> {
  const server = await startServer("edge.ts", {
    configuration: {
      listeners: [
        { http: "127.0.0.1:0", principal: "alice" },
        { http: "127.0.0.1:0", principal: "mallory" },
      ],
      policies: [
        { principals: ["alice"], tenants: ["tenant-a"], services: ["*"], operations: ["create", "decrypt", "rewrap"] },
        {
          principals: ["mallory"],
          tenants: ["tenant-m"],
          services: ["*"],
          operations: ["create", "decrypt", "rewrap"],
        },
      ],
    },
  });
  context.cleanUp(() => server.stop());
  const [alicePort = 0, malloryPort = 0] = (server.ready.addresses as string[]).map((url) => Number(new URL(url).port));
  const seconds = Math.max(2, context.sampleMs / 1000);

  const p99 = async (): Promise<number> => {
    const load = await generateLoad({
      target: { port: alicePort },
      ...QUIET,
      seconds,
      warmUpSeconds: 0.5,
      requests: [create("tenant-a")],
    });
    if (load.errors > 0) throw new Error(`${load.errors} of alice's requests failed: ${load.firstError}`);
    return load.latencyMs.p99;
  };
  const flooded = (requests: readonly LoadRequest[]) => async (): Promise<number> => {
    const flood = generateLoad({
      target: { port: malloryPort },
      ...FLOOD,
      beside: true,
      seconds: seconds + 1.5,
      requests,
    });
    await Bun.sleep(500);
    const found = await p99();
    requireRate((await flood).requestsPerSecond, FLOOD.rate);
    return found;
  };

  const floods: Record<string, () => Promise<number>> = {
    "1,000 made-up tenants": flooded(Array.from({ length: 1_000 }, (_, index) => create(`made-up-${index}`))),
    "bad blobs": flooded(Array.from({ length: 1_000 }, badBlob)),
    "slow bodies": async () => {
      const script = fileURLToPath(new URL("./harness/slow-bodies.ts", import.meta.url));
      const senders = Bun.spawn(
        onCore("beside", [process.execPath, script, String(malloryPort), String(SLOW_BODIES)]),
        { stdout: "pipe" },
      );
      context.cleanUp(() => senders.kill("SIGKILL"));
      await Bun.sleep(500);
      const found = await p99();
      senders.kill();
      requireRate(Number(await new Response(senders.stdout).text()), SLOW_BODIES * 50);
      return found;
    },
  };
  const rows: Row[] = [];
  await p99();
  for (const [name, measure] of Object.entries(floods)) {
    const quiet: number[] = [];
    const loud: number[] = [];
    for (let round = 0; round < context.rounds; round++) {
      quiet.push(await p99());
      loud.push(await measure());
    }
    rows.push(
      row({
        name: `isolation: p99 of a caller while another sends ${name}`,
        value: median(loud),
        baseline: median(quiet),
        baselineName: "the same without the flood",
        ratio: median(loud.map((value, index) => value / (quiet[index] ?? Number.NaN))),
        unit: "ms",
        goal: { of: "ratio", atMost: 2 },
        note: `${QUIET.rate} requests/s measured; flood of ${name === "slow bodies" ? `${SLOW_BODIES} connections, a byte each 20 ms` : `${FLOOD.rate} requests/s over ${FLOOD.connections} connections`}`,
      }),
    );
  }
  return rows;
}

/** A flood that could not be sent would prove nothing. */
function requireRate(sent: number, wanted: number): void {
  if (!(sent >= wanted * 0.9)) throw new Error(`The flood came to ${Math.round(sent)} a second instead of ${wanted}.`);
}

function create(tenant: string): LoadRequest {
  return { method: "POST", path: "/v1/keys/create", body: JSON.stringify({ tenant, service: "billing" }) };
}

function badBlob(): LoadRequest {
  const wrapped = Buffer.from(crypto.getRandomValues(new Uint8Array(133))).toString("base64url");
  return { method: "POST", path: "/v1/keys/decrypt", body: JSON.stringify({ wrapped }) };
}
