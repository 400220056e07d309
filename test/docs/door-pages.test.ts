/** The configurations that the pages of KMIP, KES and their clients print: an edge takes each as it stands there. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseConfiguration } from "../../src/edge/config/load.ts";
import type { DoorContext } from "../../src/edge/doors/door.ts";
import type { KesConfiguration } from "../../src/edge/doors/kes/configuration.ts";
import { createKesDoor } from "../../src/edge/doors/kes/door.ts";
import type { KmipConfiguration } from "../../src/edge/doors/kmip/configuration.ts";
import { createKmipDoor } from "../../src/edge/doors/kmip/door.ts";
import { folderOf } from "../edge/plugin-host/support.ts";
import { readBlocks } from "../support/pages.ts";

const BASE = `
edge: { id: edge-1 }
key_source: { use: core, core: { url: "https://core.example:8443", ca: ca.pem, cert: edge.pem, key: edge.key } }
`;
const LISTENER = `listeners: [{ http: "127.0.0.1:7402", principal: local }]\n`;
const context = { now: { monotonicMs: () => 0, wallMs: () => 0 } } as unknown as DoorContext;

test.each(["door-kmip", "door-kes", "minio", "mongodb", "percona-server-for-mongodb"])("docs/%s.md", (page) => {
  const blocks = readBlocks(`docs/${page}.md`).filter(({ text }) => /^(listeners|doors):/.test(text));
  expect(blocks.length).toBeGreaterThan(0);
  for (const { text } of blocks) {
    const whole = BASE + (text.startsWith("listeners:") ? "" : LISTENER) + text;
    const { doors } = parseConfiguration(whole, resolve("edge.yaml")).check() as unknown as {
      doors: { kmip?: KmipConfiguration; kes?: KesConfiguration };
    };
    if (doors.kmip !== undefined) createKmipDoor(doors.kmip, context);
    if (doors.kes !== undefined) createKesDoor(doors.kes, context);
    expect(doors.kmip ?? doors.kes).toBeDefined();
  }
});

test("docs/door-kes.md gives the identity of an API key that docs/minio.md names", () => {
  const minio = readFileSync(resolve(import.meta.dir, "../../docs/minio.md"), "utf8");
  const key = /API_KEY=(\S+)/.exec(minio)![1]!;
  const script = readBlocks("docs/door-kes.md").find(({ language }) => language === "sh")!.text;
  const { stdout } = Bun.spawnSync(["sh", "-c", script], { env: { ...process.env, KEY: key } });
  expect(minio).toContain(`spki:${stdout.toString().slice(0, 64)}"`);
});

/** What the pages of AWS KMS, Vault Transit and Kubernetes print, each whole or as a part of a listener's file. */
test.each(["door-aws-kms", "door-vault-transit", "door-kubernetes-kms"])("docs/%s.md", (page) => {
  using folder = folderOf({ "billing.secret": "secret" });
  const blocks = readBlocks(`docs/${page}.md`).filter(({ text }) => /^(listeners|doors):/.test(text));
  expect(blocks.length).toBeGreaterThan(0);
  for (const { text } of blocks) {
    const whole = BASE + (text.startsWith("listeners:") ? "" : LISTENER) + text;
    const { doors } = parseConfiguration(whole, resolve(folder.path, "edge.yaml")).check();
    expect(Object.keys(doors)).toContain(page.slice("door-".length));
  }
});
