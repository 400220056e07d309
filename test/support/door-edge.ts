import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { bind } from "../../src/base/module.ts";
import { parseConfiguration } from "../../src/edge/config/load.ts";
import { NO_CONTRIBUTIONS } from "../../src/edge/config/schema.ts";
import { CORE } from "../../src/edge/contributions.ts";
import { startEdge } from "../../src/edge/edge.ts";
import {
  type KeySource,
  KeySourceError,
  type LeaseGrant,
  type LeaseRequest,
} from "../../src/edge/key-source/key-source.ts";
import { CHOSEN_KEY_SOURCES } from "../../src/edge/key-source/module.ts";
import { loadPlugins } from "../../src/edge/plugin-host/loader.ts";

/** An edge in this process whose keys come from the test: any pair has them, but for what `faults` says. */
export interface DoorEdge {
  readonly urls: readonly string[];
  readonly url: string;
  readonly folder: string;
  /** By `tenant/service`: what the source answers instead. */
  readonly faults: Map<string, "key_not_found" | "key_revoked" | "unavailable">;
  /** The active version of every pair; the one before it is deprecated. */
  activeVersion: number;
  close(): Promise<void>;
}

export interface DoorEdgeOptions {
  /** Entries of `listeners:`; `FOLDER` is a folder of the test's own. */
  readonly listeners: string;
  /** The section `doors:`, in flow style. */
  readonly doors?: string;
  /** Who may do everything but with tenant `denied`; default `local`. */
  readonly principals?: string;
  readonly extra?: string;
  /** Written into the folder before the start. */
  readonly files?: Readonly<Record<string, string>>;
  /** How long leases are held. */
  readonly ttlMs?: number;
}

export async function startDoorEdge(options: DoorEdgeOptions): Promise<DoorEdge> {
  const folder = mkdtempSync(join(tmpdir(), "crypto-edge-door-"));
  for (const [name, content] of Object.entries(options.files ?? {}))
    writeFileSync(join(folder, name), content, { mode: 0o600 });
  const faults: DoorEdge["faults"] = new Map();
  const state = { activeVersion: 2 };
  const { ttlMs = 60_000 } = options;
  const keySource: KeySource = {
    name: "test",
    async lease({ tenant, service, version }: LeaseRequest): Promise<LeaseGrant> {
      const fault = faults.get(`${tenant}/${service}`);
      if (fault !== undefined) throw new KeySourceError(fault, `test: ${fault}`, { retryAfterMs: 7_000 });
      const { activeVersion } = state;
      const wanted = version === undefined ? [activeVersion - 1, activeVersion].filter((each) => each > 0) : [version];
      return {
        tenant,
        service,
        ttlMs,
        refreshAfterMs: ttlMs,
        log: undefined,
        revocationSeq: 0,
        versions: wanted.map((each) => ({
          version: each,
          state: each === activeVersion ? "active" : "deprecated",
          key: new Uint8Array(createHash("sha256").update(`${tenant}/${service}/${each}`).digest()),
        })),
      };
    },
    async close() {},
  };
  const text = `
edge: { id: edge-test }
# The test's own source stands in its place.
key_source: { use: static, static: { keys: [{ tenant: a, service: b, version: 1, state: active, key: "${"ab".repeat(32)}" }] } }
plugins: ["${resolve(import.meta.dir, "../../plugins/static")}"]
listeners:
${options.listeners.replaceAll("FOLDER", folder)}
doors: ${options.doors ?? "{}"}
policies:
  - { principals: [${options.principals ?? "local"}], tenants: ["tenant-*", "nosuch", "revoked", "away"], services: ["*"], operations: [create, decrypt, rewrap, encrypt] }
  - { principals: [${options.principals ?? "local"}], tenants: ["tenant-*"], services: [billing, forbidden], operations: [decrypt] }
  - { effect: deny, principals: ["*"], tenants: ["*"], services: [forbidden], operations: [create, decrypt, rewrap, encrypt] }
log: { level: error }
key_memory: { dumpable: true }
${options.extra ?? ""}`;
  const source = parseConfiguration(text, join(folder, "edge.yaml"));
  const plugins = await loadPlugins(source.plugins, source.directory, { info() {}, warn() {}, error() {} });
  const sections = Object.fromEntries(
    [...plugins.keySources].map(([name, { contribution }]) => [name, contribution.configuration]),
  );
  const configuration = source.check({ ...NO_CONTRIBUTIONS, keySources: sections });
  for (const [pair, fault] of [
    ["nosuch/billing", "key_not_found"],
    ["nosuch/x", "key_not_found"],
    ["revoked/billing", "key_revoked"],
    ["away/billing", "unavailable"],
  ] as const) {
    faults.set(pair, fault);
  }
  const edge = await startEdge({ configuration, directory: source.directory, plugins, errorAt: source.errorAt }, [
    bind(CHOSEN_KEY_SOURCES, [keySource]),
    bind(CORE, undefined),
  ]);
  return Object.assign(state, {
    urls: edge.addresses,
    url: edge.addresses[0]!,
    folder,
    faults,
    async close() {
      await edge.close();
      rmSync(folder, { recursive: true, force: true });
    },
  });
}
