/** The compiled binary, copied alone to an empty folder, with plugins that lie elsewhere. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { createClient } from "../../src/client/client.ts";
import { BINARY, run, start, temporaryFolder } from "./support/binary.ts";

const PLUGINS = resolve(import.meta.dir, "../../plugins");
const folder = temporaryFolder();
const binary = folder.file("crypto-edge");

beforeAll(() => copyFileSync(BINARY, binary));
afterAll(() => folder[Symbol.dispose]());

const STATIC = `edge: { id: edge-1 }
key_source:
  use: static
  static: { keys: [{ tenant: tenant-a, service: billing, version: 1, key: "${"ab".repeat(32)}" }] }
listeners: [{ http: "127.0.0.1:0", principal: local }]
policies: [{ principals: [local], tenants: ["*"], services: ["*"], operations: [create, decrypt, rewrap] }]
`;

test("the binary alone serves with a plugin from elsewhere", async () => {
  using config = temporaryFolder();
  writeFileSync(config.file("edge.yaml"), `${STATIC}plugins: ["${join(PLUGINS, "static")}"]\n`);
  const edge = start(["serve", "--config", config.file("edge.yaml")], { command: binary, cwd: folder.path });
  try {
    const [url] = await edge.waitFor(/http:\/\/127\.0\.0\.1:\d+/);
    const client = createClient({ url });
    const made = await client.createKey({ tenant: "tenant-a", service: "billing", plaintext: true });
    expect((await client.decryptKey(made)).plaintext).toEqual(made.plaintext!);
  } finally {
    await edge.stop();
  }
}, 60_000);

test("a plugin that is not there, or not the pinned one, stops the start and says what to do", () => {
  using config = temporaryFolder();
  for (const [entry, texts] of [
    ["/nowhere", ["/nowhere: there is no such file or folder", "Correct the path"]],
    [
      `{ path: ${join(PLUGINS, "static")}, sha256: "${"0".repeat(64)}" }`,
      ["the configuration pins", "find out who did"],
    ],
  ] as const) {
    writeFileSync(config.file("edge.yaml"), `${STATIC}plugins: [${entry}]\n`);
    const { code, stderr } = run(["serve", "--config", config.file("edge.yaml")], { command: binary });
    expect(code).toBe(1);
    for (const text of texts) expect(stderr).toContain(text);
  }
});

test("plugin check prints the report of a shipped plugin, and the hash that pins it", () => {
  const { code, stdout } = run(["plugin", "check", join(PLUGINS, "static")], { command: binary });
  console.log(stdout);
  expect(code).toBe(0);
  expect(stdout).toContain(", 0 broken, ");
  const sha256 = /sha256: ([0-9a-f]{64})/.exec(stdout)?.[1];
  using config = temporaryFolder();
  writeFileSync(
    config.file("edge.yaml"),
    `${STATIC}plugins: [{ path: "${join(PLUGINS, "static")}", sha256: "${sha256}" }]\n`,
  );
  expect(run(["config", "check", config.file("edge.yaml")], { command: binary }).code).toBe(0);
});

describe("a plugin made by plugin new keeps the contracts and passes its own tests at once", () => {
  for (const kind of ["key-source", "revocation-transport", "audit-sink", "hook"] as const) {
    test(kind, () => {
      using made = temporaryFolder();
      const options = { command: binary, cwd: made.path };
      expect(run(["plugin", "new", "mine", "--kind", kind], options).code).toBe(0);
      const report = run(["plugin", "check", "mine", "--json"], options);
      expect(JSON.parse(report.stdout)).toMatchObject({ totals: { broken: 0 } });
      expect(report.code).toBe(0);
      const environment = { ...process.env, BUN_BE_BUN: "1", CRYPTO_EDGE: binary };
      const tests = run(["test"], { command: binary, cwd: made.file("mine"), env: environment });
      expect(tests.stderr).toContain(" 0 fail");
      expect(tests.stderr).not.toContain(" 0 pass");
      expect(tests.code).toBe(0);
      // A second one in its place is not written over it.
      expect(run(["plugin", "new", "mine", "--kind", kind], options).stderr).toContain("is there already");
    }, 60_000);
  }
});
