/** docs/deno.md: what runs on Deno, with exactly the permissions that the page names, and what a missing one leads to. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { createClient } from "../../src/sdk/client/client.ts";
import { type CoreWorld, startCoreWorld } from "../support/core-world.ts";
import { freePort } from "../support/free-port.ts";
import { readBlocks } from "../support/pages.ts";
import { staticConfiguration } from "../support/static-edge.ts";
import { type Running, run, start, temporaryFolder } from "./support/binary.ts";

/** For a busy machine. */
setDefaultTimeout(180_000);

const ROOT = resolve(import.meta.dir, "../..");
const DENO = resolve(ROOT, "node_modules/.bin/deno");
const MAIN = join(ROOT, "src/main.ts");
const KEY = { tenant: "tenant-a", service: "billing" };

async function urlOf(edge: Running): Promise<string> {
  const [, url] = await edge.waitFor(/"addresses":\["(http:[^"]+)"/);
  return url!;
}

test("the same edge starts under Deno, and blobs cross between the two runtimes, both ways", async () => {
  using folder = temporaryFolder();
  writeFileSync(folder.file("edge.yaml"), staticConfiguration().replace("log: { level: error }", ""));
  const bun = start(["serve", "--config", folder.file("edge.yaml")]);
  const deno = start(["run", "--allow-all", "src/main.ts", "serve", "--config", folder.file("edge.yaml")], {
    command: DENO,
    cwd: ROOT,
  });
  try {
    const clients = [createClient({ url: await urlOf(bun) }), createClient({ url: await urlOf(deno) })];
    for (const [maker, opener] of [clients, clients.toReversed()]) {
      for (const length of [16, 32, 64] as const) {
        const made = await maker!.createKey({ ...KEY, length, plaintext: true, context: { table: "invoices" } });
        const opened = await opener!.decryptKey({ wrapped: made.wrapped, context: { table: "invoices" } });
        expect(opened.plaintext).toEqual(made.plaintext!);
        await expect(opener!.decryptKey({ wrapped: made.wrapped })).rejects.toMatchObject({
          code: "decryption_failed",
        });
      }
      expect(await maker!.createKeys(KEY, 20)).toHaveLength(20);
    }
    expect(await deno.stop("SIGTERM")).toBe(0);
    expect(await bun.stop("SIGTERM")).toBe(0);
  } finally {
    await Promise.all([deno.stop("SIGKILL"), bun.stop("SIGKILL")]);
  }
});

test("`deno task start` serves in a fresh clone, which it installs by itself", async () => {
  using folder = temporaryFolder();
  const clone = folder.file("clone");
  // What is here and not committed yet belongs to it.
  const files = run(["ls-files", "-z", "--cached", "--others", "--exclude-standard"], { command: "git", cwd: ROOT });
  mkdirSync(clone);
  const copied = run(["-C", ROOT, "--null", "-T", "-", "--ignore-failed-read", "-cf", folder.file("clone.tar")], {
    command: "tar",
    input: files.stdout,
  });
  expect(copied.code).toBe(0);
  expect(run(["-C", clone, "-xf", folder.file("clone.tar")], { command: "tar" }).code).toBe(0);
  mkdirSync(folder.file("bin"));
  symlinkSync(resolve(ROOT, "node_modules/deno/deno"), folder.file("bin/deno"));
  const [command, ...args] = readBlocks("docs/deno.md")[0]!.text.trim().split(" ");
  expect(command).toBe("deno");
  const edge = start(args, {
    command: folder.file("bin/deno"),
    cwd: clone,
    env: {
      ...process.env,
      PATH: `${folder.file("bin")}${delimiter}${process.env.PATH}`,
      CRYPTO_EDGE_LOG_LEVEL: "info",
    },
  });
  try {
    const [, url] = await edge.waitFor(/"addresses":\["(http:[^"]+)"/, 540_000);
    expect(url).toBe("http://127.0.0.1:7402");
    expect(edge.output()).toContain("installing the locked dependencies (once)");
    expect(await createClient({ url: url! }).createKey(KEY)).toMatchObject({ version: 2 });
  } finally {
    // The task runner passes the signal on.
    await edge.stop("SIGTERM");
  }
}, 600_000);

describe("docs/deno.md", () => {
  const folder = temporaryFolder();
  const socket = folder.file("edge.sock");
  /** Where commands run: the socket is elsewhere. */
  const here = (name = ""): string => join(folder.path, "here", name);
  // Without a folder for contexts, they are in the home.
  const { XDG_CONFIG_HOME: _, ...environment } = process.env;
  const env = { ...environment, HOME: folder.path };
  let world: CoreWorld;
  let port: number;

  /** A block's command, with addresses of its own in the place of the page's. */
  const onPage = (part: string): string[] => {
    const block = readBlocks("docs/deno.md").find(({ text }) => text.includes(part))!;
    return moved(block.text).replaceAll("\\\n", " ").replace("src/main.ts", MAIN).trim().split(/\s+/).slice(1);
  };
  const moved = (text: string): string =>
    text
      .replaceAll("127.0.0.1:7402", `127.0.0.1:${port}`)
      .replaceAll("127.0.0.1:8443", new URL(world.core.url).host)
      .replaceAll("/run/crypto-edge/edge.sock", socket);
  const deno = (args: readonly string[]): Running => start(args, { command: DENO, cwd: here(), env });
  /** Without an item of a flag's list, or the flag. */
  const without = (args: readonly string[], flag: string, item?: string): string[] => {
    const fewer = args.flatMap((arg) => {
      if (arg !== flag && !arg.startsWith(`${flag}=`)) return [arg];
      const left =
        item === undefined
          ? []
          : arg
              .slice(flag.length + 1)
              .split(",")
              .filter((one) => one !== item);
      return left.length === 0 ? [] : [`${flag}=${left.join(",")}`];
    });
    expect(fewer).not.toEqual([...args]);
    return fewer;
  };

  beforeAll(async () => {
    world = await startCoreWorld({ createOnFirstUse: true });
    port = await freePort();
    const files = await world.pki.edge("edge-1");
    mkdirSync(here("pki"), { recursive: true });
    for (const [name, text] of [
      ["ca.pem", files.ca],
      ["edge-1.pem", files.cert],
      ["edge-1.key", files.key],
    ] as const)
      writeFileSync(here(`pki/${name}`), text, { mode: 0o600 });
    const { text } = readBlocks("docs/deno.md").find(({ file }) => file === "edge.yaml")!;
    writeFileSync(here("edge.yaml"), moved(text));
    writeFileSync(here("letter.txt"), "hello");
  });
  afterAll(async () => {
    await world[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  test("serves over http and a socket with the permissions of the page alone, and seals by the socket", async () => {
    const edge = deno(onPage("serve --config"));
    try {
      await edge.waitFor(/"msg":"ready"/);
      expect(edge.output()).not.toContain('"level":"warn"');
      const [http, unix] = [`http://127.0.0.1:${port}`, `unix:${socket}`].map((url) => createClient({ url }));
      const made = await http!.createKey({ ...KEY, plaintext: true });
      expect((await unix!.decryptKey({ wrapped: made.wrapped })).plaintext).toEqual(made.plaintext!);
      const other = await unix!.createKey({ ...KEY, plaintext: true });
      expect((await http!.decryptKey({ wrapped: other.wrapped })).plaintext).toEqual(other.plaintext!);

      const seal = onPage("seal letter.txt");
      const main = seal.indexOf(MAIN);
      const command = (...args: string[]) => deno([...seal.slice(0, main + 1), ...args, "--edge", `unix:${socket}`]);
      expect(await deno(seal).ended).toBe(0);
      expect(await command("open", "letter.txt.sealed", "-o", "copy.txt").ended).toBe(0);
      expect(readFileSync(here("copy.txt"), "utf8")).toBe("hello");
      const status = command("status");
      expect(await status.ended).toBe(0);
      expect(status.output()).toMatch(/key memory +secret/);
      for (const [flag, item] of [
        ["--allow-net", `unix:${socket}`],
        ["--allow-write", socket],
        ["--allow-sys", "homedir"],
      ] as const) {
        const fewer = deno([...without(seal, flag, item), "--force"]);
        expect([flag, item, await fewer.ended]).not.toEqual([flag, item, 0]);
        expect(fewer.output()).toMatch(new RegExp(`Requires \\w+ access to .*${flag}`));
        expect(fewer.output()).not.toContain("    at ");
      }
    } finally {
      await edge.stop("SIGTERM");
    }
    expect(await edge.ended).toBe(0);
  });

  test("a permission less: it ends with a sentence that names the flag", async () => {
    const serve = onPage("serve --config");
    for (const [flag, item] of [
      ["--allow-read", undefined],
      ["--allow-env", undefined],
      ["--allow-sys", "umask"],
      ["--allow-net", `127.0.0.1:${port}`],
      ["--allow-net", `unix:${socket}`],
      ["--allow-write", socket],
    ] as const) {
      const edge = deno(without(serve, flag, item));
      expect([flag, item, await edge.ended]).toEqual([flag, item, 1]);
      const said = edge.output();
      expect(said).toMatch(new RegExp(`^crypto-edge: .*${flag}`, "m"));
      expect(said).not.toContain("    at ");
    }
  });

  test("a permission less that it can do without: it serves, and says what is worse", async () => {
    const serve = onPage("serve --config");
    for (const [fewer, worse] of [
      [without(serve, "--allow-ffi"), /"warn".*Service keys are on the heap.*--allow-ffi/],
      [without(serve, "--allow-sys", "uid"), /"warn".*cipher .*is not used.*--allow-sys/],
    ] as const) {
      const edge = deno(fewer);
      try {
        await edge.waitFor(/"msg":"ready"/);
        expect(edge.output()).toMatch(worse);
        expect(await createClient({ url: `http://127.0.0.1:${port}` }).createKey(KEY)).toMatchObject({ version: 1 });
      } finally {
        await edge.stop("SIGTERM");
      }
    }
  });

  test("workers have the permissions of the process that starts them, and no others", async () => {
    const runtime = resolve(ROOT, "node_modules/deno/deno");
    writeFileSync(here("workers.yaml"), `${readFileSync(here("edge.yaml"), "utf8")}workers: 2\n`);
    const serve = onPage("serve --config").map((arg) => (arg === "edge.yaml" ? "workers.yaml" : arg));
    const supervisor = deno([serve[0]!, `--allow-run=${runtime}`, ...serve.slice(1)]);
    try {
      await supervisor.waitFor(/"workers":2,"msg":"ready"/, 120_000);
      const command = (pid: number): string[] => readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(1, -1);
      const children = readFileSync(`/proc/${supervisor.pid}/task/${supervisor.pid}/children`, "utf8");
      const workers = children.trim().split(" ").map(Number);
      expect(workers).toHaveLength(2);
      const commands = workers.map(command).sort();
      expect(commands).toEqual([1, 2].map((index) => [...command(supervisor.pid), "--worker", String(index)]));
      expect(commands.flat()).not.toContain("-A");
      expect(commands.flat()).not.toContain("--allow-all");
      expect(await createClient({ url: `http://127.0.0.1:${port}` }).createKey(KEY)).toMatchObject({ version: 1 });
    } finally {
      await supervisor.stop("SIGTERM");
    }
    expect(await supervisor.ended).toBe(0);
  });

  test("without the Core's address it refuses requests, and says why in its log", async () => {
    const edge = deno(without(onPage("serve --config"), "--allow-net", new URL(world.core.url).host));
    try {
      await edge.waitFor(/"msg":"ready"/);
      const client = createClient({ url: `http://127.0.0.1:${port}`, retry: { attempts: 1 } });
      await expect(client.createKey(KEY)).rejects.toMatchObject({ code: "lease_unavailable" });
      await edge.waitFor(/Requires net access to .*--allow-net/);
    } finally {
      await edge.stop("SIGTERM");
    }
  });

  test("a command has enough by the permissions of its row", async () => {
    const page = readFileSync(join(ROOT, "docs/deno.md"), "utf8");
    const policies = ["access", "explain", "local", "create", "tenant-a", "billing", "--config", "edge.yaml"];
    for (const [command, args, more] of [
      ["version", ["version"], []],
      ["inspect", ["inspect", "letter.txt.sealed"], []],
      ["config check", ["config", "check", "edge.yaml"], []],
      ["access explain", policies, []],
      ["pki …", ["pki", "init", "--trust-domain", "example.org", "--dir", "authority"], ["--allow-write=authority"]],
      ["bench", ["bench", "--seconds", "1"], []],
    ] as const) {
      const row = page
        .split("\n")
        .find((line) => line.startsWith("| ") && line.split(" | ")[0]!.includes(`\`${command}\``));
      const named = [...row!.matchAll(/--allow-[a-z]+=\w+|--allow-[a-z]+(?![=\w])/g)].map(([flag]) => flag);
      const running = deno(["run", "--no-prompt", "--allow-read", "--allow-env", ...named, ...more, MAIN, ...args]);
      expect([command, await running.ended, running.output()]).toEqual([
        command,
        0,
        expect.not.stringContaining("Requires"),
      ]);
    }
  });

  test("the Core says in one sentence that it needs Bun", async () => {
    for (const args of [
      ["core", "serve", "--config", "core.yaml"],
      ["core", "migrate", "--config", "core.yaml"],
      ["core", "backup", "core.backup", "--config", "core.yaml"],
      ["core", "restore", "core.backup", "--config", "core.yaml", "--version-margin", "1"],
      ["dev"],
    ]) {
      const core = deno(["run", "--no-prompt", "--allow-all", MAIN, ...args]);
      expect([args, await core.ended]).toEqual([args, 1]);
      expect(core.output()).toMatch(/^crypto-edge: [^\n]+ needs Bun, or the crypto-edge executable: [^\n]+\n$/);
    }
  });
});
