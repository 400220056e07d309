/** The alerts, by Prometheus's own tools: their drills, and a real outage seen by a real Prometheus. */
import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { stringify } from "yaml";
import { loadConfiguration } from "../../src/edge/config/load-with-plugins.ts";
import { startEdge } from "../../src/edge/edge.ts";
import { createClient } from "../../src/sdk/client/client.ts";
import { startCoreWorld } from "../support/core-world.ts";
import { alertTests } from "./support/alert-tests.ts";
import { startPrometheus } from "./support/prometheus.ts";

const RULES = resolve(import.meta.dir, "../../deploy/prometheus/rules.yaml");

function promtool(...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync("promtool", args, { encoding: "utf8" });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`promtool ${args.join(" ")}: ${stdout}${stderr}`);
  return stdout;
}

test("the rules are valid, each alert fires in its drill, and none clears because it got worse", () => {
  const folder = mkdtempSync(join(tmpdir(), "crypto-edge-alerts-"));
  try {
    expect(promtool("check", "rules", RULES)).toContain("SUCCESS");
    const file = join(folder, "tests.yaml");
    writeFileSync(file, stringify(alertTests(RULES)));
    promtool("test", "rules", file);
    // And a test that should fail does.
    writeFileSync(
      file,
      stringify(alertTests(RULES)).replace("exp_samples: []", "exp_samples: [{ labels: '{}', value: 1 }]"),
    );
    expect(() => promtool("test", "rules", file)).toThrow("FAILED");
  } finally {
    rmSync(folder, { recursive: true });
  }
}, 120_000);

test("a real Prometheus sees an outage begin, last, and end", async () => {
  const folder = mkdtempSync(join(tmpdir(), "crypto-edge-prometheus-"));
  const file = (name: string): string => join(folder, name);
  const world = await startCoreWorld({ createOnFirstUse: true, lease: { ttlSeconds: 8, refreshAfterSeconds: 2 } });
  const files = await world.pki.edge("edge-1");
  for (const [name, text] of Object.entries({ "ca.pem": files.ca, "edge.pem": files.cert, "edge.key": files.key }))
    writeFileSync(file(name), text);
  writeFileSync(
    file("edge.yaml"),
    `edge: { id: edge-1 }
key_source:
  use: core
  core: { url: "https://127.0.0.1:${world.core.port}", server_name: localhost, ca: ca.pem, cert: edge.pem, key: edge.key }
cache: { ttl: 8s, refresh_after: 2s, prewarm: [{ tenant: tenant-a, service: billing }] }
listeners: [{ http: "127.0.0.1:0", principal: local }]
policies: [{ principals: [local], tenants: ["*"], services: ["*"], operations: [create] }]
log: { level: error }
key_memory: { dumpable: true }
`,
  );
  const edge = await startEdge(await loadConfiguration(file("edge.yaml"), undefined, {}));
  const prometheus = await startPrometheus({ folder, target: new URL(edge.addresses[0]!).host, rules: RULES });
  const firing = async (): Promise<string[]> => {
    const told = await prometheus.ask<{ alerts: { state: string; labels: { alertname: string } }[] }>("alerts");
    return (told?.alerts ?? []).filter(({ state }) => state === "firing").map(({ labels }) => labels.alertname);
  };
  const until = async (condition: (alerts: string[]) => boolean): Promise<void> => {
    for (let waited = 0; !condition(await firing()); waited++) {
      if (waited > 500) throw new Error(`firing: ${(await firing()).join(", ")}`);
      await Bun.sleep(200);
    }
  };
  let coreIsUp = true;
  try {
    const client = createClient({ url: edge.addresses[0]!, retry: { attempts: 1 } });
    await client.createKey({ tenant: "tenant-a", service: "billing" });
    for (let waited = 0; ; waited++) {
      const ready = await prometheus.ask<{ result: { value: [number, string] }[] }>("query?query=crypto_edge_ready");
      if (ready?.result[0]?.value[1] === "1") break;
      if (waited > 300) throw new Error("Prometheus does not see the edge");
      await Bun.sleep(200);
    }
    expect(await firing()).not.toContain("CryptoEdgeServesNothing");
    await world.core.close();
    coreIsUp = false;
    await until((alerts) => alerts.includes("CryptoEdgeAboutToServeNothing"));
    await until((alerts) => alerts.includes("CryptoEdgeServesNothing"));
    // It lasts: nothing has cleared because the last lease has gone.
    expect(await firing()).toContain("CryptoEdgeAboutToServeNothing");
    expect((await fetch(`${edge.addresses[0]}/readyz`)).status).toBe(503);
  } finally {
    await prometheus[Symbol.asyncDispose]();
    await edge.close();
    if (coreIsUp) await world[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  }
}, 300_000);
