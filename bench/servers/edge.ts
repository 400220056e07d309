/**
 * The real edge, from a configuration as an operator would write it: policy, leases, usage and metrics as they are. It drops the code of
 * its start as `serve` does. Its service keys come from the static source, unless the options bring a source of their own.
 * Options: { port?, unix?, configuration?, tenants? }. The configuration is merged over the one made here; `tenants` says how many
 * more tenants the static source has, by the names of a seed.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { dropStartCode } from "../../src/base/system/start-code.ts";
import { loadForStart } from "../../src/cli/load-for-start.ts";
import { startEdge } from "../../src/edge/edge.ts";
import { seededNames } from "../harness/seeded-names.ts";

const options = JSON.parse(process.argv[2] ?? "{}") as {
  port?: number;
  unix?: string;
  configuration?: Record<string, unknown>;
  tenants?: { seed: string; count: number };
};
const madeUpKey = (): string => Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex");
const more = seededNames(options.tenants?.seed ?? "", options.tenants?.count ?? 0);
const key = madeUpKey();
const configuration = {
  edge: { id: "edge-bench" },
  key_source: {
    use: "static",
    static: {
      keys: [
        { tenant: "tenant-a", service: "billing", version: 3, state: "active", key },
        ...more.map((tenant) => ({ tenant, service: "billing", version: 1, state: "active", key: madeUpKey() })),
      ],
    },
  },
  listeners: [
    options.unix === undefined
      ? { http: `127.0.0.1:${options.port ?? 0}`, principal: "bench" }
      : { unix: options.unix, mode: "0600", principal: "bench" },
  ],
  policies: [
    { principals: ["bench"], tenants: ["tenant-*"], services: ["*"], operations: ["create", "decrypt", "rewrap"] },
  ],
  plugins: [resolve(import.meta.dirname, "../../plugins/static")],
  log: { level: "error" },
  ...options.configuration,
};
const directory = mkdtempSync(join(tmpdir(), "crypto-edge-bench-edge-"));
const file = join(directory, "edge.yaml");
writeFileSync(file, JSON.stringify(configuration), { mode: 0o600 });
const edge = await startEdge(await loadForStart(file));
dropStartCode();
rmSync(directory, { recursive: true });
console.log(JSON.stringify({ addresses: edge.addresses, port: portOf(edge.addresses[0]!) }));
process.on("SIGTERM", () => void edge.close().then(() => process.exit(0)));

function portOf(address: string): number | null {
  return URL.canParse(address) ? Number(new URL(address).port) || null : null;
}
