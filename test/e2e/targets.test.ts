/**
 * The executables for other platforms, made here and run here: linux-arm64 by qemu's user mode over Debian's arm64 libc, linux-x64-musl
 * by musl itself with Alpine's C++ library. darwin-arm64 is made, and not run.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { createClient } from "../../src/sdk/client/client.ts";
import { run, start, temporaryFolder } from "./support/binary.ts";

/** An emulated start takes half a minute on a busy machine. */
const PATIENCE_MS = 240_000;
setDefaultTimeout(PATIENCE_MS);

const ROOT = resolve(import.meta.dir, "../..");
/** Debian 12's own is 1.2.3, which can't load what Alpine links since 3.20 (relative relocations). */
const MUSL = { version: "1.2.5-3", sha256: "4288deaf14438e6c237491be45f10e3e7badb2e723cedfb08ff1fe687b646c84" };
/** A wheel that carries Alpine's libstdc++ and libgcc, which Alpine's package `libstdc++` brings there. */
const CPP_WHEEL = "greenlet==3.5.6";

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());

function succeed(command: string, ...args: string[]): string {
  const { code, stdout, stderr } = run(args, { command, cwd: folder.path });
  if (code !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr}${stdout}`);
  return stdout;
}

function build(target: string): string {
  const built = run([join(ROOT, "build.ts"), "--target", target], { command: process.execPath, cwd: ROOT });
  expect(built.stderr).toBe("");
  expect(built.code).toBe(0);
  return join(ROOT, "dist", `crypto-edge-${target}`);
}

/** Its version, and a data key of its own `dev`, made and opened. */
async function check(target: string, command: string, args: readonly string[]): Promise<void> {
  expect(run([...args, "version"], { command }).stdout).toMatch(
    new RegExp(`^crypto-edge \\d+\\.\\d+\\.\\d+ \\(commit \\w+, Bun [\\d.]+, ${target}\\)\n$`),
  );
  const dev = start([...args, "dev", "--port", "0"], { command });
  try {
    const [, url] = await dev.waitFor(/^ {2}edge +(http:\S+)[\s\S]*^ready /m, PATIENCE_MS);
    const client = createClient({ url: url!, timeoutMs: 60_000 });
    const made = await client.createKey({ tenant: "tenant-a", service: "billing", plaintext: true });
    const opened = await client.decryptKey({ wrapped: made.wrapped });
    expect(opened.plaintext).toEqual(made.plaintext!);
    const altered = made.wrapped.slice();
    altered[altered.length - 1]! ^= 1;
    await expect(client.decryptKey({ wrapped: altered })).rejects.toMatchObject({ code: "decryption_failed" });
    expect(await dev.stop("SIGTERM")).toBe(0);
  } finally {
    await dev.stop("SIGKILL");
  }
}

describe("an executable for another platform", () => {
  test("linux-arm64 starts, and makes and opens a data key", async () => {
    // By .ci/run: qemu-user-static, libc6-arm64-cross.
    await check("linux-arm64", "qemu-aarch64-static", ["-L", "/usr/aarch64-linux-gnu", build("linux-arm64")]);
  });

  describe("of musl", () => {
    const library = folder.file("lib");
    const loader = folder.file("musl/usr/lib/x86_64-linux-musl/libc.so");

    beforeAll(async () => {
      // From where this machine gets its packages.
      const own = succeed("apt-get", "download", "--print-uris", "musl");
      const url = /'(.+)_[^_']+_amd64\.deb'/.exec(own)![1]!;
      const response = await fetch(`${url}_${MUSL.version}_amd64.deb`);
      expect(response.status).toBe(200);
      const deb = new Uint8Array(await response.arrayBuffer());
      expect(createHash("sha256").update(deb).digest("hex")).toBe(MUSL.sha256);
      writeFileSync(folder.file("musl.deb"), deb);
      succeed("dpkg-deb", "-x", "musl.deb", "musl");

      const platform = ["--only-binary=:all:", "--platform=musllinux_1_2_x86_64", "--python-version=311"];
      succeed("python3", "-m", "pip", "download", "--quiet", "--no-deps", ...platform, CPP_WHEEL);
      const wheel = readdirSync(folder.path).find((name) => name.endsWith(".whl"))!;
      succeed("python3", "-m", "zipfile", "-e", wheel, "wheel");
      succeed("mv", "wheel/greenlet.libs", "lib");
      const found = readdirSync(library).find((name) => name.startsWith("libstdc++"))!;
      symlinkSync(found, join(library, "libstdc++.so.6"));
    });

    test("linux-x64-musl starts, and makes and opens a data key", async () => {
      await check("linux-x64-musl", loader, ["--library-path", library, build("linux-x64-musl")]);
    });
  });
});
