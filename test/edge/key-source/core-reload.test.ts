import { expect, setDefaultTimeout, spyOn, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ClientFiles } from "../../../src/base/pki/throw-away.ts";
import { loadConfiguration } from "../../../src/edge/config/load-with-plugins.ts";
import { startEdge } from "../../../src/edge/edge.ts";
import { renewalOf } from "../../../src/edge/renewal.ts";
import { createClient } from "../../../src/sdk/client/client.ts";
import { type CoreWorld, startCoreWorld } from "../../support/core-world.ts";
import { until } from "../../support/until.ts";

/** For a busy machine. */
setDefaultTimeout(30_000);

/** An edge's files and configuration in a folder of its own, for the Core of this world. */
async function prepare(world: CoreWorld) {
  const directory = mkdtempSync(join(tmpdir(), "core-reload-"));
  const write = ({ ca, cert, key }: ClientFiles): void => {
    for (const [name, text] of Object.entries({ "ca.pem": ca, "edge.pem": cert, "edge.key": key })) {
      writeFileSync(join(directory, name), text);
    }
  };
  write(await world.pki.edge("edge-before"));
  const file = join(directory, "edge.yaml");
  writeFileSync(
    file,
    `
edge: { id: edge-before }
key_source:
  use: core
  core: { url: "https://127.0.0.1:${world.core.port}", server_name: localhost, ca: ca.pem, cert: edge.pem, key: edge.key }
listeners: [{ http: "127.0.0.1:0", principal: local }]
policies: [{ principals: [local], tenants: ["*"], services: ["*"], operations: [create, decrypt] }]
log: { level: error }
key_memory: { dumpable: true }
`,
  );
  return {
    directory,
    write,
    load: () => loadConfiguration(file, undefined, {}),
    seen: async () => (await world.core.admin.edges()).map((one) => one.edge),
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
}

test("an edge told to reload shows the Core its new certificate, keeps its leases, and keeps the old one where the new is bad", async () => {
  await using world = await startCoreWorld({ createOnFirstUse: true });
  using files = await prepare(world);
  const { directory, write, load, seen } = files;
  const edge = await startEdge(await load());
  try {
    const client = createClient({ url: edge.addresses[0]! });
    const { wrapped } = await client.createKey({ tenant: "tenant-a", service: "billing" });
    await until(() => world.core.counters.streams === 1);
    expect(await seen()).toEqual(["edge-before"]);

    write(await world.pki.edge("edge-after"));
    await edge.reload(await renewalOf((await load()).configuration, edge.digestKey));
    const calls = world.core.counters.leaseCalls;
    await client.decryptKey({ wrapped });
    expect(world.core.counters.leaseCalls).toBe(calls);
    await client.createKey({ tenant: "tenant-b", service: "billing" });
    expect(await seen()).toEqual(["edge-before", "edge-after"]);

    writeFileSync(join(directory, "edge.pem"), "nonsense");
    // Told in the log, which stays out of the output of the tests.
    const told = spyOn(edge.log, "error").mockImplementation(() => undefined);
    await edge.reload(await renewalOf((await load()).configuration, edge.digestKey));
    expect(told.mock.calls).toEqual([
      [
        { address: "the Core", reason: expect.stringContaining("edge.pem holds no certificate in PEM, but no PEM") },
        expect.any(String),
      ],
    ]);
    told.mockRestore();
    await client.createKey({ tenant: "tenant-c", service: "billing" });
    expect(await seen()).toEqual(["edge-before", "edge-after"]);
  } finally {
    await edge.close();
  }
});

test("an edge takes its renewed certificate from the disk without a signal, before the old one ends", async () => {
  await using world = await startCoreWorld({ createOnFirstUse: true });
  using files = await prepare(world);
  const { write, load, seen } = files;
  const edge = await startEdge(await load());
  try {
    const client = createClient({ url: edge.addresses[0]! });
    await client.createKey({ tenant: "tenant-a", service: "billing" });
    write(await world.pki.edge("edge-after"));
    // Each call for a key that nobody has asked for goes to the Core.
    for (let attempt = 0; !(await seen()).includes("edge-after"); attempt++) {
      if (attempt > 250) throw new Error(`the Core has seen ${await seen()}`);
      await client.createKey({ tenant: `tenant-${attempt}`, service: "billing" });
      await Bun.sleep(100);
    }
    const metrics = await (await fetch(`${edge.addresses[0]}/metrics`)).text();
    expect(metrics).toMatch(/crypto_edge_certificate_days_left\{role="the Core's client",file="[^"]+edge\.pem"\} \d+/);
  } finally {
    await edge.close();
  }
});
