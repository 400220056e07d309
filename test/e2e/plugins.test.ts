/** The compiled binary, copied alone to an empty folder, with plugins that lie elsewhere. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join, resolve } from "node:path";
import { createClient } from "../../src/sdk/client/client.ts";
import { CREDENTIALS, KEY_ARN, REGION, startLocalKms } from "../integration/support/local-kms.ts";
import { openBaoProgram, softHsmLibrary } from "../support/installed.ts";
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
}, 300_000);

/** Makes and opens a key with an edge of the binary that runs alone, from this configuration. */
async function serves(folderOfConfig: string, text: string, env: NodeJS.ProcessEnv = process.env): Promise<void> {
  writeFileSync(join(folderOfConfig, "edge.yaml"), text);
  const edge = start(["serve", "--config", join(folderOfConfig, "edge.yaml")], {
    command: binary,
    cwd: folder.path,
    env,
  });
  try {
    const [url] = await edge.waitFor(/http:\/\/127\.0\.0\.1:\d+/);
    const client = createClient({ url });
    const made = await client.createKey({ tenant: "tenant-a", service: "billing", plaintext: true });
    expect((await client.decryptKey(made)).plaintext).toEqual(made.plaintext!);
  } finally {
    expect(await edge.stop()).toBe(0);
  }
}

const withSource = (source: string, plugin: string): string => `edge: { id: edge-1 }
key_source: ${source}
listeners: [{ http: "127.0.0.1:0", principal: local }]
policies: [{ principals: [local], tenants: ["*"], services: ["*"], operations: [create, decrypt, rewrap] }]
plugins: ["${join(PLUGINS, plugin)}"]
`;

const SOFTHSM = softHsmLibrary();

test.skipIf(SOFTHSM === undefined)(
  "the binary alone loads the native addon of the PKCS#11 plugin, and serves from a token",
  async () => {
    using hsm = temporaryFolder();
    mkdirSync(hsm.file("tokens"));
    writeFileSync(hsm.file("softhsm2.conf"), `directories.tokendir = ${hsm.file("tokens")}\n`);
    writeFileSync(hsm.file("pin"), "493817");
    const env = { ...process.env, SOFTHSM2_CONF: hsm.file("softhsm2.conf") };
    const token = ["--init-token", "--free", "--label", "edge", "--pin", "493817", "--so-pin", "11111111"];
    expect(run(token, { command: "softhsm2-util", env }).code).toBe(0);
    // The tool that prepares the token runs with the edge's own binary too, as the README says.
    const options = ["--module", SOFTHSM!, "--token", "edge", "--pin-file", hsm.file("pin")];
    const wrapped = ["--wrapped-keys", hsm.file("keys.json"), "--wrapping-key", "edge-wrapping"];
    const tool = join(PLUGINS, "pkcs11/keys.ts");
    for (const args of [
      ["wrapping-key", "edge-wrapping"],
      ["create", "tenant-a", "billing", ...wrapped],
    ]) {
      const made = run([tool, ...args, ...options], { command: binary, env: { ...env, BUN_BE_BUN: "1" } });
      expect(made).toMatchObject({ code: 0 });
    }
    const source = `{ use: pkcs11, pkcs11: { module: "${SOFTHSM}", token: edge, pin_file: pin, wrapped_keys: { file: keys.json, wrapping_key: edge-wrapping } } }`;
    await serves(hsm.path, withSource(source, "pkcs11"), env);
  },
  60_000,
);

test("the binary alone loads the AWS SDK of the KMS plugin, and serves from it", async () => {
  using config = temporaryFolder();
  const kms = await startLocalKms();
  const env = {
    ...process.env,
    AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
    AWS_SESSION_TOKEN: CREDENTIALS.sessionToken,
  };
  try {
    const options = ["--file", config.file("keys.json"), "--region", REGION, "--key-id", KEY_ARN];
    const tool = start(
      [join(PLUGINS, "aws-kms/keys.ts"), "create", "tenant-a", "billing", ...options, "--endpoint", kms.endpoint],
      {
        command: binary,
        env: { ...env, BUN_BE_BUN: "1" },
      },
    );
    expect(await tool.ended).toBe(0);
    const source = `{ use: aws-kms, aws-kms: { region: ${REGION}, key_id: "${KEY_ARN}", file: keys.json, endpoint: "${kms.endpoint}" } }`;
    await serves(config.path, withSource(source, "aws-kms"), env);
  } finally {
    await kms.stop();
  }
}, 300_000);

const BAO = openBaoProgram();

test.skipIf(BAO === undefined)(
  "the binary alone serves from a real OpenBao or Vault",
  async () => {
    using config = temporaryFolder();
    const port = await freePort();
    const address = `http://127.0.0.1:${port}`;
    const server = start(
      ["server", "-dev", "-dev-no-store-token", "-dev-root-token-id=root", `-dev-listen-address=127.0.0.1:${port}`],
      { command: BAO!, env: { ...process.env, HOME: config.path } },
    );
    try {
      await server.waitFor(/Development mode should NOT/);
      // The commands of the plugin's README.
      const env = {
        ...process.env,
        HOME: config.path,
        VAULT_ADDR: address,
        BAO_ADDR: address,
        VAULT_TOKEN: "root",
        BAO_TOKEN: "root",
      };
      for (const args of [
        ["secrets", "enable", "transit"],
        ["write", "transit/keys/crypto-edge", "type=aes256-gcm96"],
      ]) {
        expect(run(args, { command: BAO!, env })).toMatchObject({ code: 0 });
      }
      const readme = readFileSync(join(PLUGINS, "openbao/README.md"), "utf8");
      const policy = /<<'POLICY'\n(.*?)POLICY\n/s.exec(readme)![1]!;
      expect(run(["policy", "write", "edge", "-"], { command: BAO!, env, input: policy })).toMatchObject({ code: 0 });
      const tool = [
        join(PLUGINS, "openbao/keys.ts"),
        "create",
        "tenant-a",
        "billing",
        "--address",
        address,
        "--transit-key",
        "crypto-edge",
      ];
      expect(run(tool, { command: binary, env: { ...env, BUN_BE_BUN: "1" } })).toMatchObject({ code: 0 });
      const source = `{ use: openbao, openbao: { address: "${address}", token: root, transit: { key: crypto-edge } } }`;
      await serves(config.path, withSource(source, "openbao"));
    } finally {
      await server.stop("SIGKILL");
    }
  },
  60_000,
);

for (const broker of ["nats", "amqp"]) {
  test(`the binary alone loads the plugin ${broker}`, () => {
    const { code, stdout } = run(["plugin", "check", join(PLUGINS, broker)], { command: binary, cwd: folder.path });
    expect(stdout).toContain(`revocation transport "${broker}"`);
    expect(stdout).toContain(", 0 broken, ");
    expect(code).toBe(0);
  });
}

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
  for (const kind of ["key-source", "revocation-transport", "audit-sink", "cipher", "hook", "door"] as const) {
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
    }, 300_000);
  }
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}

test("`plugin run` fetches no package that a script lacks", () => {
  using folder = temporaryFolder();
  writeFileSync(folder.file("keys.ts"), 'import isEven from "is-even";\nconsole.log(isEven);\n');
  const env = { ...process.env, HOME: folder.path, BUN_INSTALL_CACHE_DIR: folder.file("cache") };
  const ran = run(["plugin", "run", folder.file("keys.ts")], { env, cwd: folder.path });
  expect([ran.code, ran.stdout]).toEqual([1, ""]);
  expect(ran.stderr).toMatch(/^crypto-edge: Cannot find package 'is-even'/);
  expect(readdirSync(folder.path)).toEqual(["keys.ts"]);
});
