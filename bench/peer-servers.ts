/**
 * Servers that do the same job, each over its own API and TLS with connections kept alive: a data key made, with its
 * plaintext, and opened. The edge beside them asks for client certificates and applies its policy.
 */
import "reflect-metadata";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createThrowAwayPki } from "../src/base/pki/throw-away.ts";
import type { BenchContext } from "./harness/context.ts";
import { generateLoad, type LoadRequest, type LoadResult, type Target } from "./harness/generator.ts";
import { cpuSecondsOf, onCore, startServer } from "./harness/processes.ts";
import { compare, interleave, median } from "./harness/rounds.ts";
import { type Row, row } from "./harness/row.ts";

export const about = "OpenBao's Transit (or Vault's, whose API it has) over TLS, against the edge over mutual TLS";

const CONNECTIONS = 32;
const OPERATIONS = ["create", "decrypt"] as const;
type OperationName = (typeof OPERATIONS)[number];

interface Peer {
  readonly name: string;
  readonly pid: number;
  readonly target: Target;
  readonly requests: Record<OperationName, LoadRequest>;
}

export async function run(context: BenchContext): Promise<Row[]> {
  context.say("skipped: MinIO KES. No driver yet, none could be tried: https://github.com/minio/kes");
  const program = ["bao", "vault"].find((name) => Bun.which(name) !== null);
  if (program === undefined) {
    context.say(
      "skipped: OpenBao Transit. Neither bao nor vault is here: https://openbao.org (its releases or packages)",
    );
    return [];
  }
  const own = await startEdge(context);
  const peer = await startTransit(context, program);
  const loads = new Map<string, LoadResult[]>();
  const sample = (server: Peer, operation: OperationName) => async () => {
    const before = cpuSecondsOf(server.pid);
    const load = await generateLoad({
      target: server.target,
      connections: CONNECTIONS,
      seconds: Math.max(3, context.sampleMs / 1000),
      warmUpSeconds: 0,
      requests: [server.requests[operation]],
    });
    if (load.errors > 0) throw new Error(`${server.name}: ${load.errors} requests failed: ${load.firstError}`);
    const place = `${server.name} ${operation}`;
    loads.set(place, [...(loads.get(place) ?? []), load]);
    return load.requests / (cpuSecondsOf(server.pid) - before);
  };
  const rows: Row[] = [];
  for (const operation of OPERATIONS) {
    const samples = await interleave(
      { own: sample(own, operation), peer: sample(peer, operation) },
      Math.min(context.rounds, 5),
    );
    const times = ({ name }: Peer): string =>
      (["p50", "p99"] as const)
        .map((figure) => {
          const found = loads.get(`${name} ${operation}`)!.map(({ latencyMs }) => latencyMs[figure]);
          return `${figure} ${median(found).toFixed(2)} ms`;
        })
        .join(", ");
    rows.push(
      row({
        name: `peers: ${operation} over TLS, crypto-edge against ${peer.name}`,
        ...compare(samples.own, samples.peer),
        baselineName: peer.name,
        unit: "requests per second of server's processor time",
        note: `${CONNECTIONS} connections, each asking again at once; ${times(own)}; ${peer.name}: ${times(peer)}`,
      }),
    );
  }
  return rows;
}

async function startEdge(context: BenchContext): Promise<Peer> {
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
  const operations = ["create", "decrypt"];
  const policies = [{ principals: ["spiffe://bench.example/*"], tenants: ["tenant-*"], services: ["*"], operations }];
  const server = await startServer("edge.ts", { configuration: { listeners: [https], policies } });
  context.cleanUp(() => server.stop());
  const port = server.ready.port as number;
  const tls = { ca: pki.core.clientCa, cert: caller.certificate, key: caller.key };
  const create = JSON.stringify({ tenant: "tenant-a", service: "billing", plaintext: true });
  const { wrapped } = (await post(`https://localhost:${port}/v1/keys/create`, create, tls)) as { wrapped: string };
  return {
    name: "crypto-edge",
    pid: server.pid,
    target: { port, tls: { ...tls, serverName: "localhost" } },
    requests: {
      create: { method: "POST", path: "/v1/keys/create", body: create },
      decrypt: { method: "POST", path: "/v1/keys/decrypt", body: JSON.stringify({ wrapped }) },
    },
  };
}

/** In memory, without an audit device and on one core, as it is quickest. */
async function startTransit(context: BenchContext, program: string): Promise<Peer> {
  const probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = probe;
  probe.stop(true);
  const token = "bench";
  const options = [
    "-dev",
    "-dev-tls",
    `-dev-tls-cert-dir=${context.directory}`,
    `-dev-root-token-id=${token}`,
    "-dev-no-store-token",
    `-dev-listen-address=127.0.0.1:${port}`,
  ];
  const child = Bun.spawn(onCore("server", [program, "server", ...options]), {
    env: { ...process.env, HOME: context.directory, GOMAXPROCS: "1" },
    stdout: "ignore",
    stderr: "ignore",
  });
  context.cleanUp(async () => {
    child.kill();
    await child.exited;
  });
  const address = `https://localhost:${port}/v1`;
  const headers = { "X-Vault-Token": token };
  const caFile = join(context.directory, `${program}-ca.pem`);
  const deadlineMs = performance.now() + 20_000;
  for (;;) {
    try {
      await fetch(`${address}/sys/health`, { tls: { ca: readFileSync(caFile, "latin1") } });
      break;
    } catch (error) {
      if (performance.now() > deadlineMs) throw new Error(`${program} did not start`, { cause: error });
      await Bun.sleep(100);
    }
  }
  const ca = readFileSync(caFile, "latin1");
  await post(`${address}/sys/mounts/transit`, '{"type":"transit"}', { ca }, headers);
  await post(`${address}/transit/keys/billing`, '{"type":"aes256-gcm96"}', { ca }, headers);
  const made = await post(`${address}/transit/datakey/plaintext/billing`, "{}", { ca }, headers);
  const { ciphertext } = (made as { data: { ciphertext: string } }).data;
  const lines = [`X-Vault-Token: ${token}`];
  return {
    name: program === "bao" ? "OpenBao Transit" : "Vault Transit (OpenBao's API)",
    pid: child.pid,
    target: { port: port as number, tls: { ca, serverName: "localhost" } },
    requests: {
      create: { method: "POST", path: "/v1/transit/datakey/plaintext/billing", body: "{}", headers: lines },
      decrypt: {
        method: "POST",
        path: "/v1/transit/decrypt/billing",
        body: JSON.stringify({ ciphertext }),
        headers: lines,
      },
    },
  };
}

async function post(url: string, body: string, tls: object, headers: Record<string, string> = {}): Promise<unknown> {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body,
    tls,
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${url} was answered ${answer.status}: ${text}`);
  return text === "" ? undefined : JSON.parse(text);
}
