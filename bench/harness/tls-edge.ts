/** The edge over mutual TLS, with one client whom its policy lets make and open data keys. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import "reflect-metadata";
import { createThrowAwayPki } from "../../src/base/pki/throw-away.ts";
import type { BenchContext } from "./context.ts";
import type { Peer, PeerTls } from "./kes.ts";
import { startServer } from "./processes.ts";

export interface TlsEdge {
  readonly peer: Peer;
  /** The same edge by its door `vault-transit`: the same requests as to a server of that API. */
  readonly transit: Peer;
  /** Certificates of the same authority, for servers beside it. */
  readonly identities: PeerTls;
}

export async function startTlsEdge(context: BenchContext): Promise<TlsEdge> {
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
    client_ca: write("server-ca.pem", pki.core.clientCa),
    doors: ["native", "vault-transit"],
  };
  const operations = ["create", "decrypt"];
  const policies = [{ principals: ["spiffe://bench.example/*"], tenants: ["tenant-*"], services: ["*"], operations }];
  const server = await startServer("edge.ts", { configuration: { listeners: [https], policies } });
  context.cleanUp(() => server.stop());
  const port = server.ready.port as number;
  const tls = { ca: pki.core.clientCa, cert: caller.certificate, key: caller.key };
  const create = JSON.stringify({ tenant: "tenant-a", service: "billing", plaintext: true });
  const answer = await fetch(`https://localhost:${port}/v1/keys/create`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: create,
    tls,
  });
  if (!answer.ok) throw new Error(`the edge answered ${answer.status}: ${await answer.text()}`);
  const { wrapped } = (await answer.json()) as { wrapped: string };
  const version = Buffer.from(wrapped, "base64url").readUInt32BE(4);
  const ciphertext = `vault:v${version}:${Buffer.from(wrapped, "base64url").toString("base64")}`;
  const common = { pid: server.pid, target: { port, tls: { ...tls, serverName: "localhost" } } };
  const headers = ["X-Vault-Token: any", "X-Vault-Namespace: tenant-a"];
  return {
    transit: {
      name: "crypto-edge's door vault-transit",
      ...common,
      requests: {
        create: { method: "POST", path: "/v1/transit/datakey/plaintext/billing", body: "{}", headers },
        decrypt: { method: "POST", path: "/v1/transit/decrypt/billing", body: JSON.stringify({ ciphertext }), headers },
      },
    },
    peer: {
      name: "crypto-edge",
      ...common,
      requests: {
        create: { method: "POST", path: "/v1/keys/create", body: create },
        decrypt: { method: "POST", path: "/v1/keys/decrypt", body: JSON.stringify({ wrapped }) },
      },
    },
    identities: {
      ca: tls.ca,
      serverCert: pki.core.cert,
      serverKey: pki.core.key,
      clientCert: tls.cert,
      clientKey: tls.key,
    },
  };
}
