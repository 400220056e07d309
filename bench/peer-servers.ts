/**
 * Servers that do the same job, each over its own API with connections kept alive: a data key made, with its plaintext, and opened.
 * Each runs on one core. Over TLS each asks who calls and applies a policy, as for an application: OpenBao's root token would pass its
 * policies by, which flatters it threefold.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../src/base/errors.ts";
import { startAsherah } from "./harness/asherah.ts";
import type { BenchContext } from "./harness/context.ts";
import { freePort, type Peer, startKes } from "./harness/kes.ts";
import { type LoadedServer, type OperationLoad, overHttp, type PeerOperation } from "./harness/loaded-server.ts";
import { cpuSecondsOf, onCore, startServer } from "./harness/processes.ts";
import { compare, interleave, median } from "./harness/rounds.ts";
import { type Row, row } from "./harness/row.ts";
import { startTlsEdge } from "./harness/tls-edge.ts";

export const about =
  "KES and OpenBao's Transit (or Vault's, whose API it has) over TLS, against the edge over mutual TLS; Asherah's sidecar, both over Unix sockets";

const CONNECTIONS = 32;
const OPERATIONS = ["create", "decrypt"] as const;

/** Times as many requests of one core's time as the peer. */
const GOALS: Readonly<Record<string, Readonly<Record<PeerOperation, number>>>> = {
  "MinIO KES": { create: 2.5, decrypt: 2.2 },
  "OpenBao Transit": { create: 50, decrypt: 50 },
  "Asherah's sidecar": { create: 15, decrypt: 5 },
};

export async function run(context: BenchContext): Promise<Row[]> {
  const own = await startTlsEdge(context);
  const edge = overHttp(own.peer);
  const kes = await startKes(context, own.identities);
  const transit = await startTransit(context);
  const asherah = await startAsherah(context);
  const rows: Row[] = [];
  for (const operation of OPERATIONS) {
    if (kes !== undefined) rows.push(await against(context, edge, overHttp(kes), operation, "TLS"));
    if (transit === undefined) continue;
    rows.push(await against(context, edge, overHttp(transit), operation, "TLS"));
    // The same client, the same requests, another address.
    rows.push(await against(context, overHttp(own.transit), overHttp(transit), operation, "TLS"));
  }
  if (asherah !== undefined) {
    const atSocket = overHttp(await startUnixEdge(context));
    try {
      for (const operation of OPERATIONS) {
        rows.push(await against(context, atSocket, asherah, operation, "a Unix socket"));
      }
    } catch (error) {
      // It ends now and then, by a limit of locked memory for example: the other peers' rows are kept.
      context.say(`no whole figure of Asherah's sidecar: ${messageOf(error)}`);
    }
  }
  return rows;
}

async function against(
  context: BenchContext,
  own: LoadedServer,
  peer: LoadedServer,
  operation: PeerOperation,
  transport: string,
): Promise<Row> {
  const loads = new Map<LoadedServer, OperationLoad[]>();
  const sample = (server: LoadedServer) => async () => {
    const before = cpuSecondsOf(server.pid);
    const load = await server.load(operation, CONNECTIONS, Math.max(3, context.sampleMs / 1000));
    loads.set(server, [...(loads.get(server) ?? []), load]);
    return load.requests / (cpuSecondsOf(server.pid) - before);
  };
  const samples = await interleave({ own: sample(own), peer: sample(peer) }, Math.min(context.rounds, 5));
  const times = (server: LoadedServer): string =>
    (["p50", "p99"] as const)
      .map(
        (figure) => `${figure} ${median(loads.get(server)!.map(({ latencyMs }) => latencyMs[figure])).toFixed(2)} ms`,
      )
      .join(", ");
  const atLeast = GOALS[peer.name]?.[operation];
  return row({
    name: `peers: ${operation} over ${transport}, ${own.name} against ${peer.name}`,
    ...compare(samples.own, samples.peer),
    baselineName: peer.name,
    unit: "requests per second of server's processor time",
    ...(atLeast === undefined ? {} : { goal: { of: "ratio", atLeast } as const }),
    note: `${CONNECTIONS} connections, each asking again at once; ${times(own)}; ${peer.name}: ${times(peer)}`,
  });
}

/** The edge beside an application, as a sidecar is reached. */
async function startUnixEdge(context: BenchContext): Promise<Peer> {
  const unix = join(context.directory, "edge.sock");
  const server = await startServer("edge.ts", { unix });
  context.cleanUp(() => server.stop());
  const create = JSON.stringify({ tenant: "tenant-a", service: "billing", plaintext: true });
  const headers = { "content-type": "application/json" };
  const answer = await fetch("http://localhost/v1/keys/create", { method: "POST", unix, headers, body: create });
  if (!answer.ok) throw new Error(`the edge answered ${answer.status}: ${await answer.text()}`);
  const { wrapped } = (await answer.json()) as { wrapped: string };
  return {
    name: "crypto-edge",
    pid: server.pid,
    target: { unix },
    requests: {
      create: { method: "POST", path: "/v1/keys/create", body: create },
      decrypt: { method: "POST", path: "/v1/keys/decrypt", body: JSON.stringify({ wrapped }) },
    },
  };
}

/** OpenBao or Vault, in memory and without an audit device, as it is quickest; undefined where neither is installed. */
async function startTransit(context: BenchContext): Promise<Peer | undefined> {
  const program = ["bao", "vault"].find((name) => Bun.which(name) !== null);
  if (program === undefined) {
    context.say(
      "skipped: OpenBao Transit. Neither bao nor vault is here: https://openbao.org (its releases or packages)",
    );
    return undefined;
  }
  const port = freePort();
  const root = "bench";
  const options = [
    "-dev",
    "-dev-tls",
    `-dev-tls-cert-dir=${context.directory}`,
    `-dev-root-token-id=${root}`,
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
  // OpenBao kept the name of its ancestor's file.
  const caFile = join(context.directory, "vault-ca.pem");
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
  const asRoot = { "X-Vault-Token": root };
  await post(`${address}/sys/mounts/transit`, '{"type":"transit"}', ca, asRoot);
  await post(`${address}/transit/keys/billing`, '{"type":"aes256-gcm96"}', ca, asRoot);
  // An application's own token, whose policy allows these two calls and nothing else.
  const paths = ["transit/datakey/plaintext/billing", "transit/decrypt/billing"];
  const policy = paths.map((path) => `path "${path}" { capabilities = ["update"] }`).join("\n");
  await post(`${address}/sys/policies/acl/application`, JSON.stringify({ policy }), ca, asRoot);
  const token = (await post(
    `${address}/auth/token/create`,
    JSON.stringify({ policies: ["application"], no_default_policy: true, ttl: "1h" }),
    ca,
    asRoot,
  )) as { auth: { client_token: string } };
  const headers = { "X-Vault-Token": token.auth.client_token };
  const made = await post(`${address}/transit/datakey/plaintext/billing`, "{}", ca, headers);
  const { ciphertext } = (made as { data: { ciphertext: string } }).data;
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return {
    name: program === "bao" ? "OpenBao Transit" : "Vault Transit (OpenBao's API)",
    pid: child.pid,
    target: { port, tls: { ca, serverName: "localhost" } },
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

async function post(url: string, body: string, ca: string, headers: Record<string, string>): Promise<unknown> {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body,
    tls: { ca },
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${url} was answered ${answer.status}: ${text}`);
  return text === "" ? undefined : JSON.parse(text);
}
