/**
 * The PKCS#11 plugin against SoftHSM2 (Debian: softhsm2). Each world runs in a process of its own, since a PKCS#11 library
 * is configured by its process's environment.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { softHsmLibrary } from "../support/installed.ts";

const MODULE = softHsmLibrary();
const KEYS = resolve(import.meta.dir, "../../plugins/pkcs11/keys.ts");
const WORLD = resolve(import.meta.dir, "support/pkcs11-world.ts");
const PIN = "493817";

describe.skipIf(MODULE === undefined)("an HSM as the key source", () => {
  let folder: string;
  let environment: NodeJS.ProcessEnv;

  const command = (program: string, args: readonly string[]): string => {
    const { status, stdout, stderr } = spawnSync(program, args, { env: environment, encoding: "utf8" });
    if (status !== 0) throw new Error(`${program} ${args.join(" ")}: ${stdout}${stderr}`);
    return stdout;
  };
  const file = (name: string): string => join(folder, name);
  const keys = (...args: string[]): string =>
    command(process.execPath, [KEYS, ...args, "--module", MODULE!, "--token", "edge", "--pin-file", file("pin")]);
  const WRAPPED = (): string[] => ["--wrapped-keys", file("keys.json"), "--wrapping-key", "edge-wrapping"];

  /** Runs steps against the plugin in a process of its own; the steps' results, one JSON value each. */
  const world = (section: object, steps: readonly unknown[]): Record<string, unknown>[] => {
    writeFileSync(
      file("world.json"),
      JSON.stringify({ section: { module: MODULE, token: "edge", ...section }, steps }),
    );
    return command(process.execPath, [WORLD, file("world.json")])
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  };
  const lease = (tenant = "tenant-a", service = "billing", version?: number) => ({
    lease: { tenant, service, version },
  });
  const WRAPPED_SECTION = (): object => ({
    pin_file: file("pin"),
    wrapped_keys: { file: file("keys.json"), wrapping_key: "edge-wrapping" },
  });

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "crypto-edge-hsm-"));
    mkdirSync(file("tokens"));
    writeFileSync(file("softhsm2.conf"), `directories.tokendir = ${file("tokens")}\nobjectstore.backend = file\n`);
    writeFileSync(file("pin"), `${PIN}\n`, { mode: 0o600 });
    environment = { ...process.env, SOFTHSM2_CONF: file("softhsm2.conf") };
    command("softhsm2-util", ["--init-token", "--free", "--label", "edge", "--pin", PIN, "--so-pin", "11111111"]);
    keys("wrapping-key", "edge-wrapping");
    keys("create", "tenant-a", "billing");
    keys("create", "tenant-a", "billing", ...WRAPPED());
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("leases a service key that is an object of the token", () => {
    const [result] = world({ pin_file: file("pin") }, [lease()]);
    expect(result).toMatchObject({ versions: [{ version: 1, state: "active", length: 32 }] });
  });

  test("opens a service key stored wrapped, under a key that can't leave the token", () => {
    const [result] = world(WRAPPED_SECTION(), [lease()]);
    expect(result).toMatchObject({ versions: [{ version: 1, state: "active", length: 32 }] });
    const shown = command("pkcs11-tool", ["--module", MODULE!, "--token-label", "edge", "--login", "--pin", PIN, "-O"]);
    const wrapping = shown.slice(shown.indexOf("edge-wrapping"));
    expect(wrapping).toContain("sensitive");
    expect(wrapping).toContain("never extractable");
  });

  test("takes the PIN from the environment too", () => {
    environment.HSM_PIN = PIN;
    expect(world({ pin_env: "HSM_PIN" }, [lease()])[0]).toHaveProperty("versions");
  });

  test("the same version is the same key each time, and another version another", () => {
    keys("create", "tenant-r", "billing", ...WRAPPED());
    const [before] = world(WRAPPED_SECTION(), [lease("tenant-r")]);
    keys("create", "tenant-r", "billing", ...WRAPPED());
    const [after, old] = world(WRAPPED_SECTION(), [lease("tenant-r"), lease("tenant-r", "billing", 1)]);
    const digest = (result: unknown, version: number): unknown =>
      (result as { versions: { version: number; digest: string }[] }).versions.find((key) => key.version === version)
        ?.digest;
    expect(digest(after, 1)).toBe(digest(before, 1));
    expect(digest(old, 1)).toBe(digest(before, 1));
    expect(digest(after, 2)).not.toBe(digest(before, 1));
  });

  for (const mode of ["objects", "wrapped"] as const) {
    const options = (): string[] => (mode === "wrapped" ? WRAPPED() : []);
    const section = (): object => (mode === "wrapped" ? WRAPPED_SECTION() : { pin_file: file("pin") });
    const tenant = `tenant-${mode}`;

    test(`a rotation is seen by an edge that runs, the old version opens on; ${mode}`, () => {
      keys("create", tenant, "billing", ...options());
      const rotate = { run: [process.execPath, KEYS, "create", tenant, "billing", ...options(), ...common()] };
      const [first, , second] = world(section(), [lease(tenant), rotate, lease(tenant)]);
      expect(first).toMatchObject({ versions: [{ version: 1, state: "active" }] });
      expect(
        (second as { versions: { version: number; state: string }[] }).versions.map((v) => [v.version, v.state]).sort(),
      ).toEqual([
        [1, "deprecated"],
        [2, "active"],
      ]);
    });

    test(`an unknown key and a compromised one are answers; ${mode}`, () => {
      keys("create", `${tenant}-x`, "billing", ...options());
      keys("create", `${tenant}-x`, "billing", ...options());
      keys("state", `${tenant}-x`, "billing", "1", "compromised", ...options());
      const [unknown, version, one, all] = world(section(), [
        lease("nobody"),
        lease(`${tenant}-x`, "billing", 9),
        lease(`${tenant}-x`, "billing", 1),
        lease(`${tenant}-x`),
      ]);
      expect(unknown).toMatchObject({ code: "key_not_found" });
      expect(version).toMatchObject({ code: "key_not_found" });
      expect(one).toMatchObject({ code: "key_revoked" });
      expect(all).toMatchObject({ versions: [{ version: 2, state: "active" }] });
    });
  }
  const common = (): string[] => ["--module", MODULE!, "--token", "edge", "--pin-file", file("pin")];

  test("a wrong PIN is tried once, whatever is asked, and said in health", () => {
    writeFileSync(file("wrong-pin"), "000000");
    const results = world({ pin_file: file("wrong-pin") }, [
      lease(),
      { advance: 5_000 },
      lease(),
      lease(),
      { health: true },
    ]);
    expect(results[0]).toMatchObject({ code: "unavailable", message: expect.stringContaining("refused the PIN") });
    expect(results[2]).toMatchObject({ code: "unavailable" });
    expect(results[4]).toMatchObject({ ok: false, detail: expect.stringContaining("correct the PIN") });
    expect(results.at(-1)).toMatchObject({ logins: 1 });
  });

  test("a token that was taken out is unavailable, and is used again once it is back", () => {
    const tokens = file("tokens");
    const take = { move: [tokens, `${tokens}.out`], thenMake: tokens };
    const putBack = { move: [`${tokens}.out`, tokens], replace: true };
    for (const section of [WRAPPED_SECTION(), { pin_file: file("pin") }]) {
      const results = world(section, [
        lease(),
        take,
        lease(),
        { advance: 1_500 },
        lease(),
        putBack,
        { advance: 1_500 },
        lease(),
        { advance: 1_500 },
        lease(),
        { health: true },
      ]);
      expect(results[0]).toHaveProperty("versions");
      expect(results[2]).toMatchObject({ code: "unavailable" });
      expect(results[4]).toMatchObject({ code: "unavailable", message: expect.stringContaining('no token "edge"') });
      expect(results[9]).toHaveProperty("versions");
      expect(results[10]).toMatchObject({ ok: true });
    }
  });

  test("more calls than sessions at once are all answered", () => {
    for (const section of [WRAPPED_SECTION(), { pin_file: file("pin") }]) {
      const [results] = world({ ...section, sessions: 2 }, [{ together: 40, ...lease() }]);
      expect(results).toEqual({ granted: 40, distinct: 1 });
    }
  });

  test("a wrapped key that was moved to another name does not open there", () => {
    const stored = JSON.parse(readFileSync(file("keys.json"), "utf8")) as { keys: { tenant: string }[] };
    writeFileSync(file("moved.json"), JSON.stringify({ ...stored, keys: [{ ...stored.keys[0], tenant: "tenant-z" }] }));
    const section = {
      pin_file: file("pin"),
      wrapped_keys: { file: file("moved.json"), wrapping_key: "edge-wrapping" },
    };
    expect(world(section, [lease("tenant-z")])[0]).toMatchObject({ code: "unavailable" });
  });

  test("a wrong library, token, wrapping key or file is told by name", () => {
    const cases: [object, string][] = [
      [{ module: "/nowhere.so", pin_file: file("pin") }, "/nowhere.so"],
      [{ token: "other", pin_file: file("pin") }, 'no token "other"; there is "edge"'],
      [{ ...WRAPPED_SECTION(), wrapped_keys: { file: file("keys.json"), wrapping_key: "none" } }, '"none"'],
      [{ ...WRAPPED_SECTION(), wrapped_keys: { file: file("nowhere.json"), wrapping_key: "x" } }, "nowhere.json"],
      [{ pin_env: "NOT_SET_AT_ALL" }, "NOT_SET_AT_ALL"],
    ];
    for (const [section, text] of cases) {
      expect(world(section, [lease()])[0]).toMatchObject({
        code: "unavailable",
        message: expect.stringContaining(text),
      });
    }
  });

  test("the file of wrapped keys holds no key that the token gave out", () => {
    const [result] = world(WRAPPED_SECTION(), [{ ...lease(), containedIn: file("keys.json") }]);
    expect(result).toMatchObject({ contained: false });
    expect(statSync(file("keys.json")).mode & 0o007).toBe(0);
  });

  test("the plugin keeps every rule of the conformance kit", () => {
    const configuration = (token: string): string => `
edge: { id: check }
key_source: { use: pkcs11, pkcs11: { module: "${MODULE}", token: ${token}, pin_file: "${file("pin")}", wrapped_keys: { file: keys.json, wrapping_key: edge-wrapping } } }
listeners: [{ http: "127.0.0.1:0", principal: local }]
policies: [{ principals: [local], tenants: ["*"], services: ["*"], operations: [create] }]
plugins: ["${resolve(import.meta.dir, "../../plugins/pkcs11")}"]`;
    writeFileSync(file("check.yaml"), configuration("edge"));
    writeFileSync(file("away.yaml"), configuration("not-there"));
    const report = command(process.execPath, [
      resolve(import.meta.dir, "../../src/main.ts"),
      ...["plugin", "check", resolve(import.meta.dir, "../../plugins/pkcs11"), "--config", file("check.yaml")],
      ...["--away", file("away.yaml"), "--key", "tenant-a/billing"],
    ]);
    console.log(report);
    expect(report).toContain("18 kept, 0 broken, 0 not tried");
  }, 300_000);
});
