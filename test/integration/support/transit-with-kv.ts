/**
 * A Vault for the openbao plugin made of this project's own parts: Transit is the vault-transit door of an edge, unaltered; before it
 * stands a KV store (version 2, with check-and-set), which no door has.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { loadConfiguration } from "../../../src/edge/config/load-with-plugins.ts";
import { startEdge } from "../../../src/edge/edge.ts";

export interface TransitWithKv extends AsyncDisposable {
  readonly address: string;
  /** The tenant of the edge's door. */
  readonly namespace: string;
  readonly transitKey: string;
  /** Calls of Transit that were passed on, by their paths. */
  readonly calls: string[];
}

const STATIC = resolve(import.meta.dir, "../../../plugins/static");

export async function startTransitWithKv(): Promise<TransitWithKv> {
  const folder = mkdtempSync(join(tmpdir(), "transit-"));
  const config = join(folder, "edge.yaml");
  writeFileSync(
    config,
    `edge: { id: sealer }
key_source: { use: static, static: { keys: [{ tenant: seal, service: core, version: 1, state: active, key: "${"5a".repeat(32)}" }] } }
listeners: [{ http: "127.0.0.1:0", principal: local, doors: [vault-transit] }]
policies: [{ principals: [local], tenants: [seal], services: [core], operations: [encrypt, decrypt] }]
plugins: ["${STATIC}"]
log: { level: error }
key_memory: { dumpable: true }
`,
  );
  const edge = await startEdge(await loadConfiguration(config, undefined, {}));
  const secrets = new Map<string, { readonly data: unknown; readonly version: number }>();
  const calls: string[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const { pathname } = new URL(request.url);
      if (!pathname.startsWith("/v1/secret/data/")) {
        calls.push(pathname);
        const body = request.method === "GET" ? null : await request.arrayBuffer();
        return fetch(`${edge.addresses[0]}${pathname}`, { method: request.method, headers: request.headers, body });
      }
      const kept = secrets.get(pathname);
      if (request.method === "GET") {
        if (kept === undefined) return Response.json({ errors: [] }, { status: 404 });
        return Response.json({ data: { data: kept.data, metadata: { version: kept.version } } });
      }
      const { options, data } = (await request.json()) as { options: { cas: number }; data: unknown };
      const version = kept?.version ?? 0;
      if (options.cas !== version) return Response.json({ errors: ["check-and-set did not match"] }, { status: 400 });
      secrets.set(pathname, { data, version: version + 1 });
      return Response.json({ data: { version: version + 1 } });
    },
  });
  return {
    address: `http://127.0.0.1:${server.port}`,
    namespace: "seal",
    transitKey: "core",
    calls,
    async [Symbol.asyncDispose]() {
      await server.stop(true);
      await edge.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
