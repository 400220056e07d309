/** What `crypto-edge dev` runs: the reference Core and an edge, as real as in production but for their keys' lifetime. */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createThrowAwayPki } from "../base/pki/throw-away.ts";
import { wipe } from "../base/wipe.ts";
import { ALLOW_EVERY_EDGE } from "../core/allowance.ts";
import { startCore } from "../core/core.ts";
import { loadConfiguration } from "../edge/config/load-with-plugins.ts";
import { startEdge } from "../edge/edge.ts";
import { ListenerError } from "../edge/listeners/listener.ts";
import { type Client, createClient } from "../sdk/client/client.ts";

export interface DevOptions {
  /** The edge's HTTP port on 127.0.0.1; 0 takes a free one. */
  readonly port: number;
  readonly corePort: number;
  readonly edgeId: string;
}

export interface Dev {
  readonly coreUrl: string;
  readonly edgeUrl: string;
  /** The certificates, and the edge's configuration; removed at the end. */
  readonly directory: string;
  readonly edge: Client;
  close(): Promise<void>;
}

export async function startDev(options: DevOptions): Promise<Dev> {
  const ending: (() => unknown)[] = [];
  const close = async (): Promise<void> => {
    for (const end of ending.splice(0).reverse()) await end();
  };
  try {
    const directory = mkdtempSync(join(tmpdir(), "crypto-edge-dev-"));
    ending.push(() => rmSync(directory, { recursive: true, force: true }));
    const write = (name: string, text: string): void => writeFileSync(join(directory, name), text, { mode: 0o600 });

    const pki = await createThrowAwayPki();
    const [edgeFiles, adminFiles] = await Promise.all([pki.edge(options.edgeId), pki.admin()]);
    write("ca.pem", edgeFiles.ca);
    write("edge.pem", edgeFiles.cert);
    write("edge.key", edgeFiles.key);
    write("admin.pem", adminFiles.cert);
    write("admin.key", adminFiles.key);

    const masterKey = randomBytes(32);
    const core = await startCore({
      listen: { hostname: "127.0.0.1", port: options.corePort },
      tls: pki.core,
      database: ":memory:",
      masterKey,
      allow: ALLOW_EVERY_EDGE,
      createOnFirstUse: true,
    });
    wipe(masterKey);
    ending.push(() => core.close());

    write("edge.yaml", edgeConfiguration(options, core.url));
    const edge = await startEdge(await loadConfiguration(join(directory, "edge.yaml"), undefined, {}));
    ending.push(() => edge.close());
    const edgeUrl = edge.addresses[0]!;
    return { coreUrl: core.url, edgeUrl, directory, edge: createClient({ url: edgeUrl }), close };
  } catch (error) {
    await close();
    if (error instanceof ListenerError) throw new Error(`${error.message} Give another one with --port.`);
    throw error;
  }
}

function edgeConfiguration({ edgeId, port }: DevOptions, coreUrl: string): string {
  return `# Written by "crypto-edge dev". A copy of it, with certificates of your own, is a start for an edge of yours.
edge: { id: ${edgeId} }
key_source:
  use: core
  core: { url: "${coreUrl}", ca: ca.pem, cert: edge.pem, key: edge.key }
listeners:
  - { http: "127.0.0.1:${port}", principal: local, doors: [native, aws-kms, vault-transit] }
policies:
  - { principals: [local], tenants: ["*"], services: ["*"], operations: [create, encrypt, decrypt, rewrap] }
log: { level: warn }
`;
}
