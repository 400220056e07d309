/** Contributions in a whole edge: each by its place in the configuration. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { resolve } from "node:path";
import { ConfigurationError } from "../../../src/base/config/configuration-error.ts";
import { loadConfiguration } from "../../../src/edge/config/load-with-plugins.ts";
import { type Edge, startEdge } from "../../../src/edge/edge.ts";
import { PluginError } from "../../../src/edge/plugin-host/plugin-error.ts";
import { createClient } from "../../../src/sdk/client/client.ts";
import type { Client } from "../../../src/sdk/client/operations.ts";
import { folderOf } from "./support.ts";

const STATIC = resolve(import.meta.dir, "../../../plugins/static");

/** A source that is always away, an audit sink and a hook that both write to a global, and one of each that can't be made. */
const PLUGIN = `
import { contribution, definePlugin, KeySourceError, refuse, Section, SectionError, Type } from "crypto-edge/plugin";
const seen = (globalThis.pluginTest ??= { audit: [], hooks: [], closed: [], health: { ok: true } });
export default definePlugin({
  name: "everything",
  apiVersion: 1,
  keySources: {
    away: contribution({
      configuration: Section({}),
      create: (_section, { metrics }) => {
        const calls = metrics.counter("calls", "Calls.");
        return {
          name: "away",
          async start() { seen.closed.push("away started"); },
          async lease() { calls.add(); throw new KeySourceError("unavailable", "nobody home"); },
          async close() { seen.closed.push("away"); },
        };
      },
    }),
    unmade: contribution({
      configuration: Section({ list: Type.Array(Type.String()) }),
      create: ({ list }) => {
        if (list.length > 1) throw new SectionError(["list", 1], "one is enough");
        throw new Error("no hardware");
      },
    }),
  },
  auditSinks: {
    memory: contribution({
      configuration: Section({}),
      create: () => ({
        name: "memory",
        async write(events) { seen.audit.push(...events.map((event) => ({ ...event }))); },
        async close() { seen.closed.push("memory"); },
      }),
    }),
  },
  hooks: {
    gate: contribution({
      configuration: Section({ closed: Type.Array(Type.String(), { default: [] }) }),
      create: ({ closed }) => ({
        beforeCreate: (event) => (closed.includes(event.tenant) ? refuse("tenant_closed", "Ask for it to be opened.") : undefined),
        onLease: (event) => void seen.hooks.push(event.source),
        health: () => seen.health,
        async close() { seen.closed.push("gate"); },
      }),
    }),
  },
});
`;

const configuration = (plugin: string, sources = "[away, static]", extra = ""): string => `
edge: { id: edge-1 }
key_source:
  use: ${sources}
  away: {}
  static:
    keys:
      - { tenant: tenant-a, service: billing, version: 1, key: "${"ab".repeat(32)}" }
      - { tenant: tenant-b, service: billing, version: 1, key: "${"cd".repeat(32)}" }
${extra}
listeners: [{ http: "127.0.0.1:0", principal: local, status: true }]
policies: [{ principals: [local], tenants: ["*"], services: ["*"], operations: [create, decrypt, rewrap] }]
audit: { operations: all, sinks: [{ use: memory, memory: {} }] }
hooks: [{ use: gate, on_failure: refuse, timeout: 50ms, gate: { closed: [tenant-b] } }]
plugins: ["${plugin}", "${STATIC}"]
log: { level: error }
key_memory: { dumpable: true }
`;

interface Seen {
  audit: { operation: string; reason?: string; outcome: string }[];
  hooks: string[];
  closed: string[];
}

const seen = (): Seen => (globalThis as unknown as { pluginTest: Seen }).pluginTest;

let edge: Edge;
let client: Client;
const folder = folderOf({ "plugin.ts": PLUGIN });

beforeAll(async () => {
  const config = folderOf({ "edge.yaml": configuration(folder.path) });
  edge = await startEdge(await loadConfiguration(`${config.path}/edge.yaml`));
  config[Symbol.dispose]();
  client = createClient({ url: edge.addresses[0]! });
});

afterAll(async () => {
  await edge.close();
  folder[Symbol.dispose]();
});

const get = (path: string): Promise<Response> => fetch(`${edge.addresses[0]}${path}`);

test("a chain serves from its second source while the first is away, and status, audit, metrics and hooks say which", async () => {
  expect(seen().closed).toContain("away started");
  const made = await client.createKey({ tenant: "tenant-a", service: "billing", plaintext: true });
  expect((await client.decryptKey(made)).plaintext).toEqual(made.plaintext!);
  expect(seen().hooks).toEqual(["static"]);

  const status = (await (await get("/v1/status")).json()) as Record<string, unknown>;
  expect(status.source).toBe("chain");
  expect(status.sources).toMatchObject([
    { source: "away", unavailable: 1, lastFailure: "nobody home" },
    { source: "static", granted: 1 },
  ]);
  const metrics = await (await get("/metrics")).text();
  expect(metrics).toContain('crypto_edge_source_outcomes_total{source="away",outcome="unavailable"} 1');
  expect(metrics).toContain('crypto_edge_source_outcomes_total{source="static",outcome="granted"} 1');
  expect(metrics).toContain("crypto_edge_plugin_everything_calls 1");
});

test("a hook's refusal reaches the caller with its code and sentence, and the counters", async () => {
  const refused = client.createKey({ tenant: "tenant-b", service: "billing" });
  await expect(refused).rejects.toMatchObject({ code: "refused_by_hook" });
  await expect(refused).rejects.toThrow("Ask for it to be opened. (gate: tenant_closed)");
  const status = (await (await get("/v1/status")).json()) as Record<string, unknown>;
  expect(status.hooks).toMatchObject([{ hook: "gate", refused: 1, ok: true }]);
  expect(await (await get("/metrics")).text()).toContain(
    'crypto_edge_hook_outcomes_total{hook="gate",outcome="refused"} 1',
  );
});

test("an audit sink gets what was done, and which source a lease came from", async () => {
  const endMs = performance.now() + 20_000;
  while (!seen().audit.some(({ operation }) => operation === "create") && performance.now() < endMs)
    await Bun.sleep(20);
  const lease = seen().audit.find(({ operation }) => operation === "lease_installed");
  expect(lease).toMatchObject({ outcome: "ok", reason: "granted by static" });
  expect(seen().audit.map(({ operation, outcome }) => `${operation} ${outcome}`)).toContain("create refused_by_hook");
});

async function startError(text: string): Promise<Error> {
  using config = folderOf({ "edge.yaml": text });
  return loadConfiguration(`${config.path}/edge.yaml`)
    .then((loaded) => startEdge(loaded))
    .then(
      () => new Error("it started"),
      (error: Error) => error,
    );
}

test("a mistake in a plugin's section is told like any other, by line, with the nearest name", async () => {
  const error = await startError(configuration(folder.path).replace("gate: { closed:", "gate: { close:"));
  expect(error).toBeInstanceOf(ConfigurationError);
  expect(error.message).toMatch(
    /edge\.yaml:\d+:\d+: hooks\[0\]\.gate\.close: unknown key "close"; did you mean "closed"\?/,
  );
});

test("a mistake that only the plugin sees is told by line too", async () => {
  const error = await startError(configuration(folder.path, "unmade", "  unmade: { list: [a, b] }"));
  expect(error).toBeInstanceOf(ConfigurationError);
  expect(error.message).toMatch(/edge\.yaml:\d+:\d+: key_source\.unmade\.list\[1\]: one is enough/);
});

test("a plugin that can't be made stops the start with its path, its place, and the cause", async () => {
  const error = await startError(configuration(folder.path, "unmade", "  unmade: { list: [] }"));
  expect(error).toBeInstanceOf(PluginError);
  expect(error.message).toContain(folder.path);
  expect(error.message).toContain("key_source.unmade");
  expect(error.message).toContain("no hardware");
});

test("everything that plugins brought is closed with the edge", async () => {
  await edge.close();
  expect(seen().closed.sort()).toEqual(["away", "away started", "gate", "memory"]);
});
