/** The broker plugins keep every rule of the conformance kit, each against its real broker. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createAmqpPublisher } from "../../plugins/amqp/publisher.ts";
import { createNatsPublisher } from "../../plugins/nats/publisher.ts";
import { checkPlugin } from "../../src/sdk/conformance/check-plugin.ts";
import { printReport, totalsOf } from "../../src/sdk/conformance/report.ts";
import { freePort } from "../support/free-port.ts";
import { contextOf } from "./support/broker-promises.ts";
import { startNatsServer } from "./support/nats-server.ts";
import { RABBIT_USER, startRabbitServer } from "./support/rabbitmq-server.ts";

async function check(plugin: string, sectionAt: (port: number) => object, port: number): Promise<void> {
  const path = resolve(import.meta.dir, "../../plugins", plugin);
  const folder = mkdtempSync(join(tmpdir(), "crypto-edge-kit-"));
  const file = (name: string, atPort: number): string => {
    const configuration = {
      edge: { id: "check" },
      key_source: { use: "static", static: { keys: [{ tenant: "tenant-a", version: 1, key: "ab".repeat(32) }] } },
      revocation: { transports: [{ use: plugin, [plugin]: sectionAt(atPort) }] },
      listeners: [{ http: "127.0.0.1:0", principal: "local" }],
      plugins: [path, resolve(import.meta.dir, "../../plugins/static")],
    };
    // JSON is YAML too.
    writeFileSync(join(folder, name), JSON.stringify(configuration));
    return join(folder, name);
  };
  try {
    const config = file("check.yaml", port);
    const report = await checkPlugin(path, { config, away: file("away.yaml", await freePort()) });
    console.log(printReport(report));
    expect(totalsOf(report).broken).toBe(0);
    const transport = report.sections.find(({ subject }) => subject.startsWith("revocation transport"))!;
    const tried = transport.results.filter(({ outcome }) => outcome === "kept").map(({ rule }) => rule);
    expect(tried).toEqual(expect.arrayContaining(["start", "connected", "away", "close"]));
    const publisher = report.sections.find(({ subject }) => subject.startsWith("publisher"))!;
    const kept = publisher.results.filter(({ outcome }) => outcome === "kept").map(({ rule }) => rule);
    expect(kept).toEqual(["publish", "many", "away", "close"]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("nats", async () => {
  await using broker = await startNatsServer();
  const sectionAt = (port: number) => ({ servers: [`nats://127.0.0.1:${port}`] });
  // The Core's side makes the stream.
  const publisher = createNatsPublisher(
    { ...sectionAt(broker.port), stream: "REVOCATIONS", subject: "crypto-edge.revocations", keep: 3_600_000 },
    contextOf("core"),
  );
  try {
    await check("nats", sectionAt, broker.port);
  } finally {
    await publisher.close?.();
  }
}, 300_000);

test("amqp", async () => {
  await using broker = await startRabbitServer();
  const sectionAt = (port: number) => ({ servers: [`amqp://127.0.0.1:${port}`], ...RABBIT_USER });
  const publisher = createAmqpPublisher(
    { ...sectionAt(broker.port), vhost: "/", exchange: "crypto-edge.revocations", keep: 3_600_000 },
    contextOf("core"),
  );
  try {
    await check("amqp", sectionAt, broker.port);
  } finally {
    await publisher.close?.();
  }
}, 300_000);
