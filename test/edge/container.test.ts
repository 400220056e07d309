import { expect, test } from "bun:test";
import { bind } from "../../src/base/module.ts";
import { loadConfiguration } from "../../src/edge/config/load-with-plugins.ts";
import { createContainer, type EdgeContainer, TOKENS } from "../../src/edge/container.ts";
import type { KeySource } from "../../src/edge/key-source/key-source.ts";
import { CHOSEN_KEY_SOURCES } from "../../src/edge/key-source/module.ts";
import { folderOf } from "./plugin-host/support.ts";

const NEVER = new AbortController().signal;

async function close(container: EdgeContainer): Promise<void> {
  container.resolve(TOKENS.leaseCache).close();
  container.resolve(TOKENS.revocationGuard).close();
  container.resolve(TOKENS.telemetry).close();
  container.resolve(TOKENS.keyMemory).close();
}

function edgeFolder() {
  return folderOf({
    "edge.yaml": `
edge: { id: edge-1 }
key_source:
  use: static
  static: { keys: [{ tenant: tenant-a, service: billing, version: 1, key: "${"ab".repeat(32)}" }] }
listeners: [{ http: "127.0.0.1:0", principal: local }]
policies: [{ principals: [local], tenants: ["*"], services: ["*"], operations: [create] }]
plugins: ["${process.cwd()}/plugins/static"]
log: { level: error }
`,
  });
}

const CALL = {
  principal: { kind: "listener", name: "local" },
  door: "native",
  requestId: undefined,
} as const;

test("a part that is bound takes the place of the module's, and what is made of it uses it", async () => {
  using folder = edgeFolder();
  const asked: string[] = [];
  const source: KeySource = {
    name: "of the test",
    async lease({ tenant, service }) {
      asked.push(`${tenant}/${service}`);
      const versions = [{ version: 7, state: "active" as const, key: new Uint8Array(32).fill(7) }];
      return { tenant, service, ttlMs: 60_000, refreshAfterMs: 50_000, log: undefined, revocationSeq: 0, versions };
    },
    async close() {},
  };
  const loaded = await loadConfiguration(`${folder.path}/edge.yaml`);
  const container = await createContainer(loaded, NEVER, [bind(CHOSEN_KEY_SOURCES, [source])]);
  const leased = await container.resolve(TOKENS.leaseCache).active("tenant-a", "billing");
  expect(leased.version).toBe(7);
  expect(asked).toEqual(["tenant-a/billing"]);
  await close(container);
});

test("each part is made once", async () => {
  using folder = edgeFolder();
  const container = await createContainer(await loadConfiguration(`${folder.path}/edge.yaml`), NEVER);
  for (const token of Object.values(TOKENS)) {
    expect(container.resolve<unknown>(token)).toBe(container.resolve<unknown>(token));
  }
  await close(container);
});

test("operations are made with all that they need", async () => {
  using folder = edgeFolder();
  const container = await createContainer(await loadConfiguration(`${folder.path}/edge.yaml`), NEVER);
  const operations = container.resolve(TOKENS.operations);
  const parts = { leases: container.resolve(TOKENS.leaseCache), keyMemory: container.resolve(TOKENS.keyMemory) };
  const made = await operations.createKey(CALL, {
    tenant: "tenant-a",
    service: "billing",
    length: 32,
    plaintext: true,
  });
  expect(made.version).toBe(1);
  parts.leases.close();
  parts.keyMemory.close();
});
