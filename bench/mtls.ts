/** CreateKey over HTTPS with client certificates, against `Bun.serve` with TLS that does not ask who calls. */
import type { BenchContext } from "./harness/context.ts";
import { generateLoad, type Target } from "./harness/generator.ts";
import { cpuSecondsOf, startServer } from "./harness/processes.ts";
import { compare, interleave } from "./harness/rounds.ts";
import { type Row, row } from "./harness/row.ts";
import { startTlsEdge } from "./harness/tls-edge.ts";

export const about = "CreateKey over mutual TLS, identity checked and policy applied, against Bun.serve with TLS";

const CONNECTIONS = 32;
const PATH = "/v1/keys/create";
const BODY = JSON.stringify({ tenant: "tenant-a", service: "billing" });
/** Of a default blob in JSON. */
const ANSWER_BYTES = 204;

export async function run(context: BenchContext): Promise<Row[]> {
  const { peer, identities } = await startTlsEdge(context);
  const bare = await startServer("bare.ts", {
    answerBytes: ANSWER_BYTES,
    tls: { cert: identities.serverCert, key: identities.serverKey },
  });
  context.cleanUp(() => bare.stop());

  const barePort = bare.ready.port as number;
  const clientCores: number[] = [];
  const sample = (pid: number, target: Target) => async () => {
    const before = cpuSecondsOf(pid);
    const load = await generateLoad({
      target,
      connections: CONNECTIONS,
      // Long enough that the handshakes at its start weigh little: connections are kept alive.
      seconds: Math.max(4, context.sampleMs / 1000),
      warmUpSeconds: 0,
      requests: [{ method: "POST", path: PATH, body: BODY }],
    });
    if (load.errors > 0) throw new Error(`${load.errors} requests failed: ${load.firstError}`);
    clientCores.push(load.clientCores);
    return load.requests / (cpuSecondsOf(pid) - before);
  };
  const samples = await interleave(
    { edge: sample(peer.pid, peer.target), bare: sample(bare.pid, { ...peer.target, port: barePort }) },
    context.rounds,
  );
  return [
    row({
      name: "mtls: CreateKey, identity checked, policy applied",
      ...compare(samples.edge, samples.bare),
      baselineName: "Bun.serve with TLS",
      unit: "requests per second of server's processor time",
      goal: { of: "ratio", atLeast: 0.7 },
      note: `${CONNECTIONS} connections kept alive; their handshakes count too; the load generator used up to ${Math.max(...clientCores).toFixed(2)} cores`,
    }),
  ];
}
