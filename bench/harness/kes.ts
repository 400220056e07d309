/**
 * MinIO KES, the closest relative, where it is installed (`kes` in PATH): one key in memory, mutual TLS, a policy for one identity, as an
 * application has it. Its API: docs of KES, "Server API".
 */

import { createHash, X509Certificate } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BenchContext } from "./context.ts";
import type { LoadRequest, Target } from "./generator.ts";
import { onCore } from "./processes.ts";

export interface Peer {
  readonly name: string;
  readonly pid: number;
  readonly target: Target;
  readonly requests: { readonly create: LoadRequest; readonly decrypt: LoadRequest };
}

export interface PeerTls {
  readonly ca: string;
  readonly serverCert: string;
  readonly serverKey: string;
  readonly clientCert: string;
  readonly clientKey: string;
}

const KEY = "billing";

/** Undefined where it is not installed. */
export async function startKes(context: BenchContext, tls: PeerTls): Promise<Peer | undefined> {
  const program = Bun.which("kes");
  if (program === null) {
    context.say("skipped: MinIO KES is not installed (https://github.com/minio/kes: its releases, or go install)");
    return undefined;
  }
  const file = (name: string, text: string): string => {
    const path = join(context.directory, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const port = freePort();
  const identity = identityOf(tls.clientCert);
  const configuration = [
    "version: v1",
    `address: 127.0.0.1:${port}`,
    "admin: { identity: disabled }",
    `tls: { key: ${file("kes.key", tls.serverKey)}, cert: ${file("kes.pem", tls.serverCert)} }`,
    "policy:",
    "  application:",
    `    allow: ["/v1/key/create/${KEY}", "/v1/key/generate/${KEY}", "/v1/key/decrypt/${KEY}"]`,
    `    identities: ["${identity}"]`,
    "keystore:",
    `  fs: { path: ${join(context.directory, "kes-keys")} }`,
    "",
  ].join("\n");
  const child = Bun.spawn(onCore("server", [program, "server", "--config", file("kes.yaml", configuration)]), {
    // As on one processor.
    env: { ...process.env, GOMAXPROCS: "1" },
    stdout: "ignore",
    stderr: "ignore",
  });
  context.cleanUp(async () => {
    child.kill();
    await child.exited;
  });
  const client = { ca: tls.ca, cert: tls.clientCert, key: tls.clientKey };
  const url = `https://localhost:${port}/v1/key`;
  await answered(`${url}/create/${KEY}`, "", client, 20_000);
  const made = (await answered(`${url}/generate/${KEY}`, "{}", client, 5_000)) as { ciphertext: string };
  return {
    name: "MinIO KES",
    pid: child.pid,
    target: { port, tls: { ...client, serverName: "localhost" } },
    requests: {
      create: { method: "POST", path: `/v1/key/generate/${KEY}`, body: "{}" },
      decrypt: {
        method: "POST",
        path: `/v1/key/decrypt/${KEY}`,
        body: JSON.stringify({ ciphertext: made.ciphertext }),
      },
    },
  };
}

/** KES names a caller by the hash of its certificate's public key. */
function identityOf(certificate: string): string {
  const key = new X509Certificate(certificate).publicKey.export({ type: "spki", format: "der" });
  return createHash("sha256").update(key).digest("hex");
}

export function freePort(): number {
  const probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = probe;
  probe.stop(true);
  return port;
}

/** Asks until it is answered, for at most `forMs`. */
async function answered(url: string, body: string, tls: object, forMs: number): Promise<unknown> {
  const deadlineMs = performance.now() + forMs;
  for (;;) {
    try {
      const answer = await fetch(url, { method: "POST", body, tls, headers: { "content-type": "application/json" } });
      const text = await answer.text();
      if (!answer.ok) throw new Error(`${url} was answered ${answer.status}: ${text}`);
      return text === "" ? undefined : JSON.parse(text);
    } catch (error) {
      if (performance.now() > deadlineMs) throw error;
      await Bun.sleep(100);
    }
  }
}
