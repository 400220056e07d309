/** Several workers and a token that refuses the PIN (SoftHSM2, spied on by OpenSC's spy): one login in all, since tokens lock. */
import { expect, test } from "bun:test";
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { freePort } from "../support/free-port.ts";
import { installed, softHsmLibrary } from "../support/installed.ts";

const ROOT = resolve(import.meta.dir, "../..");
const MODULE = softHsmLibrary();
const SPY = installed(
  "OpenSC's spy",
  ["/usr/lib/x86_64-linux-gnu/pkcs11-spy.so", "/usr/lib/aarch64-linux-gnu/pkcs11-spy.so"],
  "Debian: apt-get install opensc",
);

/** How many logins of four workers with this PIN the token has seen, once all four have asked for a key. */
async function loginsOf(pin: string): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "crypto-edge-pin-"));
  const file = (name: string): string => join(folder, name);
  mkdirSync(file("tokens"));
  writeFileSync(file("softhsm2.conf"), `directories.tokendir = ${file("tokens")}\nobjectstore.backend = file\n`);
  writeFileSync(file("pin"), "493817\n", { mode: 0o600 });
  writeFileSync(file("given-pin"), `${pin}\n`, { mode: 0o600 });
  const environment = { ...process.env, SOFTHSM2_CONF: file("softhsm2.conf") };
  const command = (program: string, args: readonly string[]): void => {
    const { status, stdout, stderr } = spawnSync(program, args, { env: environment, encoding: "utf8" });
    if (status !== 0) throw new Error(`${program}: ${stdout}${stderr}`);
  };
  command("softhsm2-util", ["--init-token", "--free", "--label", "edge", "--pin", "493817", "--so-pin", "11111111"]);
  command(process.execPath, [
    ...[join(ROOT, "plugins/pkcs11/keys.ts"), "create", "tenant-a", "billing"],
    ...["--module", MODULE!, "--token", "edge", "--pin-file", file("pin")],
  ]);
  const port = await freePort();
  writeFileSync(
    file("edge.yaml"),
    `edge: { id: edge-test }
key_source: { use: pkcs11, pkcs11: { module: "${SPY}", token: edge, pin_file: given-pin } }
cache: { prewarm: [{ tenant: tenant-a, service: billing }] }
listeners: [{ http: "127.0.0.1:${port}", principal: local }]
policies: []
plugins: ["${join(ROOT, "plugins/pkcs11")}"]
key_memory: { dumpable: true }
workers: 4
`,
  );
  const edge = spawn(process.execPath, [join(ROOT, "src/main.ts"), "serve", "--config", file("edge.yaml")], {
    env: { ...environment, PKCS11SPY: MODULE!, PKCS11SPY_OUTPUT: file("spy") },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const ended = new Promise((done) => edge.once("close", done));
  try {
    let log = "";
    await new Promise<void>((done, reject) => {
      edge.stderr.on("data", (text) => {
        log += text;
        // Each worker says how its start with the token went, and the supervisor that all serve.
        if (log.includes('"workers":4')) done();
      });
      void ended.then(() => reject(new Error(log)));
    });
    // Callers' misses and the prewarming ask again and again.
    await Bun.sleep(3_000);
    return readFileSync(file("spy"), "utf8").split("C_Login").length - 1;
  } finally {
    edge.kill("SIGTERM");
    await ended;
    rmSync(folder, { recursive: true, force: true });
  }
}

test("a wrong PIN is tried once in all, the right one once by each worker", async () => {
  expect(MODULE).toBeDefined();
  expect(SPY).toBeDefined();
  expect(await loginsOf("000000")).toBe(1);
  expect(await loginsOf("493817")).toBe(4);
}, 300_000);
