import { resolve } from "node:path";
import type { Binding } from "../../src/base/module.ts";
import { parseConfiguration } from "../../src/edge/config/load.ts";
import { NO_CONTRIBUTIONS } from "../../src/edge/config/schema.ts";
import { startEdge } from "../../src/edge/edge.ts";
import { loadPlugins } from "../../src/edge/plugin-host/loader.ts";
import { createClient } from "../../src/sdk/client/client.ts";
import type { Client } from "../../src/sdk/client/operations.ts";

/** The L3 of the vectors is version 1 of tenant-a/billing; version 2 is the active one. */
const VECTOR_L3 = "9aa45e5ecded611b8564db83a039576399ade51fdc9d13c73f93e93872a0d52e";
const ACTIVE_L3 = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const plugin = resolve(import.meta.dir, "../../plugins/static");

/** A key of the static source, as its section of the configuration takes it. */
export interface StaticKey {
  readonly tenant: string;
  readonly service: string;
  readonly version: number;
  readonly state: "active" | "deprecated";
  readonly key: string;
}

const KEYS: readonly StaticKey[] = [
  { tenant: "tenant-a", service: "billing", version: 1, state: "deprecated", key: VECTOR_L3 },
  { tenant: "tenant-a", service: "billing", version: 2, state: "active", key: ACTIVE_L3 },
];

/** A configuration with the static source, its listener on a free port. */
export function staticConfiguration(extra = "", keys: readonly StaticKey[] = KEYS, tenants = "tenant-*"): string {
  return `
edge: { id: edge-test }
key_source:
  use: static
  static:
    keys: ${JSON.stringify(keys)}
listeners:
  - { http: "127.0.0.1:0", principal: local }
policies:
  - { principals: [local], tenants: ["${tenants}"], services: ["*"], operations: [create, decrypt, rewrap] }
plugins: ["${plugin}"]
log: { level: error }
key_memory: { dumpable: true }
${extra}`;
}

export interface StaticEdge {
  readonly url: string;
  /** Of every listener, in the configuration's order. */
  readonly urls: readonly string[];
  readonly client: Client;
  close(): Promise<void>;
}

/** An edge in this process, with keys from the configuration. */
export async function startStaticEdge(
  text = staticConfiguration(),
  bindings: readonly Binding[] = [],
): Promise<StaticEdge> {
  const source = parseConfiguration(text, "/tmp/edge.yaml");
  const plugins = await loadPlugins(source.plugins, source.directory, { info() {}, warn() {}, error() {} });
  const sections = Object.fromEntries(
    [...plugins.keySources].map(([name, { contribution }]) => [name, contribution.configuration]),
  );
  const configuration = source.check({ ...NO_CONTRIBUTIONS, keySources: sections });
  const edge = await startEdge(
    { configuration, directory: source.directory, plugins, secrets: source.secrets, errorAt: source.errorAt },
    bindings,
  );
  const url = edge.addresses[0]!;
  return { url, urls: edge.addresses, client: createClient({ url }), close: () => edge.close() };
}
