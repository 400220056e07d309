import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { resolve } from "node:path";
import { run } from "./support/binary.ts";

const ROOT = resolve(import.meta.dir, "../..");

/** What the first bytes of an executable say: its kind, its machine, and the loader that it asks for. */
function describeExecutable(path: string): string {
  const start = Buffer.alloc(4096);
  const file = openSync(path, "r");
  readSync(file, start);
  closeSync(file);
  if (start.readUInt32LE(0) === 0xfeedfacf) return `Mach-O ${start.readUInt32LE(4) === 0x0100000c ? "arm64" : "other"}`;
  const machine = { 62: "x64", 183: "arm64" }[start.readUInt16LE(18)] ?? "other";
  const loader = /\/lib(64)?\/ld-[\w.-]+/.exec(start.toString("latin1"))?.[0] ?? "no loader";
  return `ELF ${machine} ${loader}`;
}

test("the build makes an executable for every target, each with the SHA-256 sum of its bytes", () => {
  const built = run(["build.ts", "--all"], { command: process.execPath, cwd: ROOT });
  // On a machine that has not built them yet, Bun fetches the targets' runtimes, and tells how far it is.
  const complaints = built.stderr
    .split(/[\r\n]+/)
    .filter((line) => !/^((Down|Decompress|Verify|Extract|Unpack|Load)\w*(\.\.\.)?( \[\d+\])?)?\s*$/.test(line));
  expect(complaints).toEqual([]);
  expect(built.code).toBe(0);
  const expected: Record<string, string> = {
    "crypto-edge-linux-x64": "ELF x64 /lib64/ld-linux-x86-64.so.2",
    "crypto-edge-linux-arm64": "ELF arm64 /lib/ld-linux-aarch64.so.1",
    "crypto-edge-linux-x64-musl": "ELF x64 /lib/ld-musl-x86_64.so.1",
    "crypto-edge-darwin-arm64": "Mach-O arm64",
  };
  for (const [name, kind] of Object.entries(expected)) {
    const path = resolve(ROOT, "dist", name);
    expect(`${name}: ${describeExecutable(path)}`).toBe(`${name}: ${kind}`);
    const sum = createHash("sha256").update(readFileSync(path)).digest("hex");
    expect(readFileSync(`${path}.sha256`, "utf8")).toBe(`${sum}  ${name}\n`);
  }
  const native = process.arch === "x64" ? "crypto-edge-linux-x64" : "crypto-edge-linux-arm64";
  const told = run(["version", "--json"], { command: resolve(ROOT, "dist", native) });
  expect(JSON.parse(told.stdout)).toMatchObject({ target: native.replace("crypto-edge-", "") });
}, 300_000);
