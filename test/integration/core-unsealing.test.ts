/** The Core's master key at rest under an HSM (SoftHSM2), a KMS, Vault's Transit or a real OpenBao, opened at start by the key sources' own plugins. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createThrowAwayPki, type ThrowAwayPki } from "../../src/base/pki/throw-away.ts";
import { createAdminClient } from "../../src/core/admin-client.ts";
import { createCoreClient } from "../../src/edge/key-source/core/core-client.ts";
import { freePort } from "../support/free-port.ts";
import { openBaoProgram } from "../support/installed.ts";
import { eventually } from "../support/until.ts";
import { CREDENTIALS, KEY_ARN, type LocalKms, REGION, startLocalKms } from "./support/local-kms.ts";
import { OpenBaoServer } from "./support/openbao-server.ts";
import { startTransitWithKv } from "./support/transit-with-kv.ts";

setDefaultTimeout(120_000);

const MAIN = resolve(import.meta.dir, "../../src/main.ts");
const PLUGINS = resolve(import.meta.dir, "../../plugins");
const PIN = "493817";
/** On loopback the door looks at none, but one must be there. */
const TOKEN = "any";

let folder: string;
let pki: ThrowAwayPki;
let port: number;
let kms: LocalKms;
let environment: Record<string, string>;

const file = (name: string): string => join(folder, name);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "core-unsealing-"));
  pki = await createThrowAwayPki("example.org");
  port = await freePort();
  kms = await startLocalKms();
  environment = {
    PATH: process.env.PATH ?? "",
    HOME: folder,
    SOFTHSM2_CONF: file("softhsm2.conf"),
    AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
    AWS_SESSION_TOKEN: CREDENTIALS.sessionToken,
    AWS_EC2_METADATA_DISABLED: "true",
    BAO_TOKEN: TOKEN,
  };
  for (const [name, text] of Object.entries({
    "core.pem": pki.core.cert,
    "core.key": pki.core.key,
    "ca.pem": pki.core.clientCa,
    pin: `${PIN}\n`,
    token: TOKEN,
    "softhsm2.conf": `directories.tokendir = ${file("tokens")}\nobjectstore.backend = file\n`,
  })) {
    writeFileSync(file(name), text, { mode: 0o600 });
  }
  mkdirSync(file("tokens"));
});

afterAll(async () => {
  await kms?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function run(command: string, ...args: string[]): Promise<string> {
  const child = Bun.spawn([command, ...args], { cwd: folder, env: environment, stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  if ((await child.exited) !== 0) throw new Error(`${args.join(" ")}: ${out}${err}`);
  return out;
}

interface Core extends AsyncDisposable {
  log(): string;
}

/** `database` is a name of its own for each master key. */
async function startCore(masterKey: string, plugin: string, database = plugin): Promise<Core> {
  writeFileSync(
    file("core.yaml"),
    `listen: "127.0.0.1:${port}"
database: ${database}.db
master_key: ${masterKey}
tls: { cert: core.pem, key: core.key, client_ca: ca.pem }
allow: [{ edges: ["*"], tenants: ["*"], services: ["*"] }]
plugins: ["${join(PLUGINS, plugin)}"]
`,
  );
  await run(process.execPath, MAIN, "core", "config", "check", "core.yaml");
  const child = Bun.spawn([process.execPath, MAIN, "core", "serve", "--config", "core.yaml"], {
    cwd: folder,
    env: environment,
    stdout: "pipe",
    stderr: "pipe",
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    void (async () => {
      for await (const chunk of stream) text += Buffer.from(chunk).toString();
    })();
  }
  await eventually(() => {
    if (child.exitCode !== null) throw new Error(`the Core ended: ${text}`);
    return text.includes("core: ready");
  }, "the Core being ready");
  return {
    log: () => text,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.exited;
    },
  };
}

async function leased(): Promise<string> {
  const client = createCoreClient({ url: `https://127.0.0.1:${port}`, certificates: await pki.edge("edge-1") });
  try {
    const { versions } = await client.lease({ tenant: "tenant-a", service: "billing" });
    return Buffer.from(versions[0]!.key).toString("hex");
  } finally {
    client.close();
  }
}

async function admin(path: string, body: object): Promise<unknown> {
  const client = createAdminClient({ url: `https://127.0.0.1:${port}`, certificates: await pki.admin() });
  try {
    return await client.call("POST", path, body);
  } finally {
    client.close();
  }
}

/** From a first key to a rotated one, without the database ever being opened by what lies on the disk alone. */
async function unsealAndRotate(
  masterKey: string,
  plugin: string,
  database: string,
  makeKey: () => Promise<unknown>,
): Promise<void> {
  await makeKey();
  let key: string;
  {
    await using _core = await startCore(masterKey, plugin, database);
    await admin("services", { tenant: "tenant-a", service: "billing" });
    key = await leased();
  }
  {
    await using _again = await startCore(masterKey, plugin, database);
    expect(await leased()).toBe(key);
  }
  // A new version of the master key: the old one is the former by itself.
  await makeKey();
  {
    await using _both = await startCore(masterKey, plugin, database);
    expect(await leased()).toBe(key);
    expect(await admin("master-key", {})).toEqual({ rewrapped: 2, unchanged: 0 });
    expect(await leased()).toBe(key);
    expect(await admin("master-key", {})).toEqual({ rewrapped: 0, unchanged: 2 });
  }
}

describe("the master key", () => {
  test("is unwrapped by an HSM, over PKCS#11, and rotated there", async () => {
    const modules = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];
    const module = modules.find(existsSync);
    if (module === undefined) throw new Error("SoftHSM2 is not installed (Debian: apt-get install softhsm2)");
    await run("softhsm2-util", "--init-token", "--free", "--label", "core", "--pin", PIN, "--so-pin", "11111111");
    const tool = [join(PLUGINS, "pkcs11/keys.ts")];
    const token = ["--module", module, "--token", "core", "--pin-file", file("pin")];
    await run(process.execPath, ...tool, "wrapping-key", "core-wrapping", ...token);
    const wrapped = ["--wrapped-keys", file("hsm.json"), "--wrapping-key", "core-wrapping"];
    await unsealAndRotate(
      `{ use: pkcs11, pkcs11: { module: "${module}", token: core, pin_file: pin, wrapped_keys: { file: hsm.json, wrapping_key: core-wrapping } } }`,
      "pkcs11",
      "pkcs11",
      () => run(process.execPath, ...tool, "create", "core", "master-key", ...token, ...wrapped),
    );
  });

  test("is unwrapped by AWS KMS, and rotated there; a KMS that refuses is told as the reason", async () => {
    const tool = [join(PLUGINS, "aws-kms/keys.ts"), "create", "core", "master-key"];
    const where = ["--file", file("kms.json"), "--region", REGION, "--key-id", KEY_ARN, "--endpoint", kms.endpoint];
    const masterKey = `{ use: aws-kms, aws-kms: { region: ${REGION}, key_id: "${KEY_ARN}", file: kms.json, endpoint: "${kms.endpoint}" } }`;
    await unsealAndRotate(masterKey, "aws-kms", "aws-kms", () => run(process.execPath, ...tool, ...where));
    expect(readFileSync(file("kms.json"), "utf8")).toContain('"master-key"');
    const failure = await startCore(masterKey.replace("kms.json", "nothing.json"), "aws-kms").catch(
      (error: Error) => error,
    );
    expect((failure as Error).message).toContain("the master key can't be opened by aws-kms");
  });

  test("is unwrapped by Vault's Transit, another edge's door, and rotated there; one that refuses is told as the reason", async () => {
    const transit = await startTransitWithKv();
    const { address, namespace, transitKey } = transit;
    const tool = [join(PLUGINS, "openbao/keys.ts"), "create", "core", "master-key"];
    const where = ["--address", address, "--transit-key", transitKey, "--namespace", namespace];
    const masterKey = `{ use: openbao, openbao: { address: "${address}", namespace: ${namespace}, token: "file:token", transit: { key: ${transitKey} } } }`;
    try {
      await unsealAndRotate(masterKey, "openbao", "openbao", () => run(process.execPath, ...tool, ...where));
      expect(transit.calls.filter((path) => path === "/v1/transit/decrypt/core").length).toBeGreaterThanOrEqual(3);
      const refused = await startCore(masterKey.replace("key: core", "key: other"), "openbao").catch(
        (error: Error) => error,
      );
      expect((refused as Error).message).toContain("the master key can't be opened by openbao");
      expect((refused as Error).message).toContain("permission denied");
    } finally {
      await transit[Symbol.asyncDispose]();
    }
    const away = await startCore(masterKey, "openbao").catch((error: Error) => error);
    expect((away as Error).message).toContain("can't be reached");
  });

  const program = openBaoProgram();
  test.skipIf(program === undefined)(
    "is unwrapped by a real OpenBao, and rotated there; one that refuses is told as the reason",
    async () => {
      await using bao = await OpenBaoServer.start(program!, "core");
      environment.BAO_TOKEN = bao.rootToken;
      writeFileSync(file("token"), bao.rootToken, { mode: 0o600 });
      const tool = [join(PLUGINS, "openbao/keys.ts"), "create", "core", "master-key"];
      const where = ["--address", bao.address, "--transit-key", bao.transitKey];
      const masterKey = `{ use: openbao, openbao: { address: "${bao.address}", token: "file:token", transit: { key: ${bao.transitKey} } } }`;
      await unsealAndRotate(masterKey, "openbao", "real-openbao", () => run(process.execPath, ...tool, ...where));
      // What lies in its KV store is wrapped, and opens by Transit alone.
      const { data } = (await bao.call("secret/data/crypto-edge/core/master-key")) as { data: { data: unknown } };
      expect(JSON.stringify(data.data)).toContain("vault:v1:");

      const { auth } = (await bao.call("auth/token/create", { policies: ["default"] })) as {
        auth: { client_token: string };
      };
      writeFileSync(file("token"), auth.client_token, { mode: 0o600 });
      await expect(startCore(masterKey, "openbao", "real-openbao")).rejects.toThrow(
        /the master key can't be opened by openbao.*permission denied/,
      );
      await bao.kill();
      await expect(startCore(masterKey, "openbao", "real-openbao")).rejects.toThrow("can't be reached");
    },
  );
});
