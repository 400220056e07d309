/** CreateKey over HTTPS with client certificates, against `Bun.serve` with TLS that does not ask who calls. */
import "reflect-metadata";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createThrowAwayPki } from "../src/base/pki/throw-away.ts";
import type { BenchContext } from "./harness/context.ts";
import { generateLoad, type Target } from "./harness/generator.ts";
import { cpuSecondsOf, type ServerProcess, startServer } from "./harness/processes.ts";
import { compare, interleave } from "./harness/rounds.ts";
import { type Row, row } from "./harness/row.ts";

export const about = "CreateKey over mutual TLS, identity checked and policy applied, against Bun.serve with TLS";

const CONNECTIONS = 32;
const PATH = "/v1/keys/create";
const BODY = JSON.stringify({ tenant: "tenant-a", service: "billing" });
/** Of a default blob in JSON. */
const ANSWER_BYTES = 204;

export async function run(context: BenchContext): Promise<Row[]> {
  const pki = await createThrowAwayPki("bench.example");
  const caller = await pki.issue({ identity: { kind: "client", path: "billing" } });
  const write = (name: string, text: string): string => {
    const path = join(context.directory, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const https = {
    https: "127.0.0.1:0",
    cert: write("server.pem", pki.core.cert),
    key: write("server.key", pki.core.key),
    client_ca: write("ca.pem", pki.core.clientCa),
  };
  const policies = [
    { principals: ["spiffe://bench.example/*"], tenants: ["tenant-*"], services: ["*"], operations: ["create"] },
  ];
  const edge = await startServer("edge.ts", { configuration: { listeners: [https], policies } });
  context.cleanUp(() => edge.stop());
  const bare = await startServer("bare.ts", {
    answerBytes: ANSWER_BYTES,
    tls: { cert: pki.core.cert, key: pki.core.key },
  });
  context.cleanUp(() => bare.stop());

  const target = (server: ServerProcess): Target => ({
    port: server.ready.port as number,
    tls: { ca: pki.core.clientCa, cert: caller.certificate, key: caller.key, serverName: "localhost" },
  });
  const clientCores: number[] = [];
  const sample = (server: ServerProcess) => async () => {
    const before = cpuSecondsOf(server.pid);
    const load = await generateLoad({
      target: target(server),
      connections: CONNECTIONS,
      // Long enough that the handshakes at its start weigh little: connections are kept alive.
      seconds: Math.max(4, context.sampleMs / 1000),
      warmUpSeconds: 0,
      requests: [{ method: "POST", path: PATH, body: BODY }],
    });
    if (load.errors > 0) throw new Error(`${load.errors} requests failed: ${load.firstError}`);
    clientCores.push(load.clientCores);
    return load.requests / (cpuSecondsOf(server.pid) - before);
  };
  const samples = await interleave({ edge: sample(edge), bare: sample(bare) }, context.rounds);
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
