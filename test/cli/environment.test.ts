import { describe, expect, test } from "bun:test";
import { existsSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { notesOnEnvironment, refuseHostileEnvironment } from "../../src/cli/hostile-environment.ts";
import { folderOf } from "../edge/plugin-host/support.ts";

const MAIN = resolve(import.meta.dir, "../../src/main.ts");

function run(args: readonly string[], environment: Readonly<Record<string, string>> = {}) {
  const child = Bun.spawnSync([process.execPath, MAIN, ...args], {
    env: { ...process.env, ...environment },
    stdout: "pipe",
    stderr: "pipe",
  });
  return { exitCode: child.exitCode, stdout: child.stdout.toString(), stderr: child.stderr.toString() };
}

describe("a process does not serve in an environment that changes what it is", () => {
  test.each([
    ["BUN_OPTIONS", "--smol"],
    ["BUN_CONFIG_VERBOSE_FETCH", "curl"],
    ["NODE_TLS_REJECT_UNAUTHORIZED", "0"],
    ["SSLKEYLOGFILE", "/tmp/keys"],
    ["NODE_COMPILE_CACHE", "/tmp/cache"],
    ["BUN_TCC_OPTIONS", "-include /tmp/other.h"],
    ["BUN_JSC_useDollarVM", "1"],
    ["NODE_PRESERVE_SYMLINKS", "1"],
    ["NODE_PRESERVE_SYMLINKS_MAIN", "1"],
    ["NODE_DEBUG", "http"],
    ["BUN_ENABLE_CRASH_REPORTING", "1"],
    ["OPENSSL_ia32cap", "~0x200000200000000"],
  ])("%s", (name, value) => {
    for (const command of [["serve"], ["core", "serve"]]) {
      const { exitCode, stderr } = run([...command, "--config", "/nowhere.yaml"], { [name]: value });
      expect(stderr).toContain(`the environment sets ${name} (`);
      expect(exitCode).toBe(1);
    }
  });
});

test("it says what else the environment changes of it", () => {
  const sets = { LD_PRELOAD: "/lib/x.so", NODE_EXTRA_CA_CERTS: "/etc/ca.pem", BUN_JSC_logGC: "1", PATH: "/bin" };
  expect(notesOnEnvironment(sets)).toEqual([
    "the environment sets LD_PRELOAD: the libraries that it names run in this process",
    "the environment sets NODE_EXTRA_CA_CERTS: its authorities count wherever no `ca` is configured",
  ]);
  expect(() => refuseHostileEnvironment(sets)).not.toThrow();
  const more = {
    NODE_PATH: "/opt",
    NODE_USE_ENV_PROXY: "1",
    NODE_USE_SYSTEM_CA: "1",
    NODE_REDIRECT_WARNINGS: "/tmp/w",
    NPM_CONFIG_REGISTRY: "https://npm.internal",
    BUN_CONFIG_REGISTRY: "https://npm.internal",
    DEBUG: "rhea:raw",
    BUN_FEATURE_FLAG_DISABLE_IPV6: "1",
  };
  const notes = notesOnEnvironment({ ...more, BUN_FEATURE_FLAG_INTERNAL_FOR_TESTING: "1", BUN_FEATURE_FLAG_NO: "" });
  expect(notes.map((note) => /sets (\w+): ./.exec(note)?.[1]).toSorted()).toEqual(Object.keys(more).toSorted());
  expect(() => refuseHostileEnvironment(more)).not.toThrow();
});

test("why NODE_PRESERVE_SYMLINKS is refused: the runtime loads code that stands beside a link", () => {
  using folder = folderOf({
    "real/plugin.ts": 'import value from "beside"; console.log(value);',
    "link/node_modules/beside/package.json": '{ "type": "module", "main": "index.js" }',
    "link/node_modules/beside/index.js": 'export default "beside the link";',
  });
  symlinkSync("../real", join(folder.path, "link/plugin"));
  const load = (environment: Readonly<Record<string, string>>): string =>
    Bun.spawnSync(
      [
        process.execPath,
        "--no-install",
        "-e",
        `import("${folder.path}/link/plugin/plugin.ts").catch(() => console.log("none"))`,
      ],
      {
        cwd: folder.path,
        env: { ...process.env, ...environment },
      },
    ).stdout.toString();
  expect([load({}), load({ NODE_PRESERVE_SYMLINKS: "1" })]).toEqual(["none\n", "beside the link\n"]);
});

test("OPENSSL_CONF loads no module into the process that holds keys, whichever function of the library comes first", () => {
  using folder = folderOf({});
  const [source, module, conf, loaded] = ["module.c", "module.so", "openssl.cnf", "loaded"].map((name) =>
    join(folder.path, name),
  ) as [string, string, string, string];
  writeFileSync(
    source,
    `#include <stdio.h>
__attribute__((constructor)) static void load(void) { FILE *file = fopen("${loaded}", "w"); if (file) fclose(file); }
int OSSL_provider_init(void *a, void *b, void **c, void **d) { return 0; }
`,
  );
  expect(Bun.spawnSync(["gcc", "-shared", "-fPIC", "-o", module, source]).exitCode).toBe(0);
  writeFileSync(
    conf,
    `openssl_conf = init\n[init]\nproviders = all\n[all]\nother = other\n[other]\nmodule = ${module}\nactivate = 1\n`,
  );
  const program = join(folder.path, "ciphers.ts");
  writeFileSync(
    program,
    `import { opensslAdapter } from "${resolve(import.meta.dir, "../support/ciphers.ts")}";
console.log(opensslAdapter().library);
`,
  );
  const child = Bun.spawnSync(["openssl", "version"], { env: { ...process.env, OPENSSL_CONF: conf } });
  expect({ exitCode: child.exitCode, loads: existsSync(loaded) }).toEqual({ exitCode: 0, loads: true });
  rmSync(loaded);
  const ran = Bun.spawnSync([process.execPath, program], { env: { ...process.env, OPENSSL_CONF: conf } });
  expect(ran.stdout.toString() + ran.stderr.toString()).toContain("OpenSSL 3");
  expect(existsSync(loaded)).toBe(false);
});

test("`plugin run` runs a plugin's own script with its own arguments", () => {
  using folder = folderOf({});
  const script = join(folder.path, "keys.ts");
  writeFileSync(
    script,
    'import { parseArgs } from "node:util";\nconst { values, positionals } = parseArgs({ options: { pin: { type: "string" }, help: { type: "boolean" } }, allowPositionals: true });\nconsole.log(JSON.stringify({ values, positionals }));\n',
  );
  const { stdout, exitCode } = run(["plugin", "run", script, "create", "--pin", "x", "run", "--help"]);
  expect(JSON.parse(stdout)).toEqual({ values: { pin: "x", help: true }, positionals: ["create", "run"] });
  expect(exitCode).toBe(0);
});

test("a SIGHUP while the edge starts does not end it", async () => {
  using folder = folderOf({});
  const file = join(folder.path, "edge.yaml");
  writeFileSync(
    file,
    `edge: { id: edge-test }
key_source:
  use: static
  static: { keys: [{ tenant: tenant-a, service: billing, version: 1, state: active, key: "${"5a".repeat(32)}" }] }
listeners: [{ http: "127.0.0.1:0", principal: local }]
policies: []
plugins: ["${resolve(import.meta.dir, "../../plugins/static")}"]
key_memory: { dumpable: true }
`,
  );
  const child = Bun.spawn([process.execPath, MAIN, "serve", "--config", file], { stdout: "ignore", stderr: "pipe" });
  const log = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  // From its first instruction on: a signal is ignored as soon as the process can say so.
  const statusOf = (): string => Bun.spawnSync(["cat", `/proc/${child.pid}/status`]).stdout.toString();
  const catchesHangup = (): boolean =>
    (BigInt(`0x${/SigCgt:\s+([0-9a-f]+)/.exec(statusOf())?.[1] ?? "0"}`) & 1n) === 1n;
  while (!catchesHangup()) await Bun.sleep(1);
  for (let round = 0; round < 20; round++) {
    child.kill("SIGHUP");
    await Bun.sleep(2);
  }
  while (!text.includes('"ready"')) {
    const { value, done } = await log.read();
    if (done) throw new Error(`the edge ended: ${text}`);
    text += value;
  }
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
}, 300_000);
