import { expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  closeSync,
  createReadStream,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { BINARY, run, start, temporaryFolder } from "./support/binary.ts";

const GIB = 2 ** 30;
/** The program itself takes most of it: the file passes in chunks. */
const MEMORY_MAX_BYTES = 150 * 2 ** 20;

test("a real 1 GiB file goes through seal and open with the same SHA-256 and flat memory; a flipped bit leaves no output", async () => {
  using folder = temporaryFolder();
  const dev = start(["dev", "--port", "0"]);
  try {
    const [url] = await dev.waitFor(/http:\/\/127\.0\.0\.1:\d+/);
    writeRandomFile(folder.file("large"), GIB);
    const before = await sha256(folder.file("large"));

    const sealing = await measured(["seal", "large", "--tenant", "tenant-a", "--edge", url!], folder.path);
    expect(sealing.output).toContain("large.sealed");
    expect(sealing.peakBytes).toBeLessThan(MEMORY_MAX_BYTES);
    const inspected = run(["inspect", "large.sealed", "--json"], { cwd: folder.path });
    expect(JSON.parse(inspected.stdout)).toMatchObject({ kind: "sealed file", tenant: "tenant-a", verified: false });
    expect(run(["inspect", "large.sealed"], { cwd: folder.path }).stdout).toContain(
      "Nothing of this has been verified",
    );

    const opening = await measured(["open", "large.sealed", "-o", "copy", "--edge", url!], folder.path);
    expect(opening.peakBytes).toBeLessThan(MEMORY_MAX_BYTES);
    expect(await sha256(folder.file("copy"))).toBe(before);
    expect(statSync(folder.file("copy")).mode & 0o777).toBe(0o600);

    const refused = run(["open", "large.sealed", "-o", "copy", "--edge", url!], { cwd: folder.path });
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("--force");

    const sealedLength = statSync(folder.file("large.sealed")).size;
    for (const position of [3, 40, 100, Math.floor(sealedLength / 2), sealedLength - 1]) {
      flipBit(folder.file("large.sealed"), position);
      const failed = run(["open", "large.sealed", "-o", "bad", "--edge", url!], { cwd: folder.path });
      expect(`${position}: ${failed.code}`).toBe(`${position}: 1`);
      expect(failed.stderr).not.toBe("");
      expect(readdirSync(folder.path).sort()).toEqual(["copy", "large", "large.sealed"]);
      flipBit(folder.file("large.sealed"), position);
    }
  } finally {
    await dev.stop("SIGINT");
  }
}, 240_000);

test("without an edge, seal says where it looked and what to do, and leaves nothing", () => {
  using folder = temporaryFolder();
  writeFileSync(folder.file("small"), "content");
  const failed = run(["seal", "small", "--tenant", "tenant-a", "--edge", "http://127.0.0.1:9"], { cwd: folder.path });
  expect(failed.code).toBe(1);
  expect(failed.stderr).toContain("No edge answers at http://127.0.0.1:9");
  expect(readdirSync(folder.path)).toEqual(["small"]);
});

test("an interrupted seal leaves no half-written output", async () => {
  using folder = temporaryFolder();
  const dev = start(["dev", "--port", "0"]);
  try {
    const [url] = await dev.waitFor(/http:\/\/127\.0\.0\.1:\d+/);
    writeRandomFile(folder.file("large"), GIB / 4);
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      const sealing = start(["seal", "large", "--tenant", "tenant-a", "--edge", url!], { cwd: folder.path });
      // Only a run that has begun to write shows anything: its output, which has no name yet.
      while (sealing.process.exitCode === null && !hasWritten(sealing.process.pid!, folder.path)) {
        await new Promise((resume) => setTimeout(resume, 2));
      }
      await sealing.stop(signal);
      expect(existsSync(folder.file("large.sealed"))).toBe(sealing.process.exitCode === 0);
      expect(readdirSync(folder.path).filter((name) => name.endsWith(".partial"))).toEqual([]);
      run(["-f", folder.file("large.sealed")], { command: "rm" });
    }
  } finally {
    await dev.stop("SIGINT");
  }
});

function hasWritten(pid: number, folder: string): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((descriptor) => {
      const stats = statSync(`/proc/${pid}/fd/${descriptor}`);
      const leadsHere = readlinkSync(`/proc/${pid}/fd/${descriptor}`).startsWith(`${folder}/`);
      return leadsHere && stats.isFile() && stats.nlink === 0 && stats.size > 0;
    });
  } catch {
    return false;
  }
}

function writeRandomFile(path: string, length: number): void {
  const file = openSync(path, "w");
  const block = new Uint8Array(2 ** 20);
  for (let written = 0; written < length; written += block.length) {
    for (let offset = 0; offset < block.length; offset += 65_536)
      crypto.getRandomValues(block.subarray(offset, offset + 65_536));
    writeSync(file, block);
  }
  closeSync(file);
}

async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

function flipBit(path: string, position: number): void {
  const file = openSync(path, "r+");
  const byte = new Uint8Array(1);
  readSync(file, byte, 0, 1, position);
  byte[0]! ^= 0x10;
  writeSync(file, byte, 0, 1, position);
  closeSync(file);
}

/** Runs the binary to its end and tells its peak resident memory, as the kernel counts it. */
function measured(args: readonly string[], cwd: string): Promise<{ output: string; peakBytes: number }> {
  return new Promise((resolve, reject) => {
    const child = spawn(BINARY, args, { cwd, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    let peakBytes = 0;
    child.stdout.on("data", (chunk) => {
      output += chunk;
    });
    child.stderr.on("data", (chunk) => {
      output += chunk;
    });
    const look = setInterval(() => {
      try {
        const [, kilobytes] = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, "utf8")) ?? [];
        peakBytes = Math.max(peakBytes, Number(kilobytes ?? 0) * 1024);
      } catch {
        // It has ended.
      }
    }, 10);
    child.on("close", (code) => {
      clearInterval(look);
      if (code === 0) resolve({ output, peakBytes });
      else reject(new Error(`${args.join(" ")} ended with ${code}: ${output}`));
    });
  });
}
