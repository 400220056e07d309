import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lockAuditFile } from "../../../src/edge/usage/audit-lock.ts";
import { startStaticEdge, staticConfiguration } from "../../support/static-edge.ts";

let folder: string;
let path: string;
const warn = (message: string): void => {
  throw new Error(message);
};

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "audit-lock-"));
  path = join(folder, "audit.jsonl");
});
afterEach(() => rmSync(folder, { recursive: true }));

async function holdInAnotherProcess() {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "hold-audit-lock.ts"), path], { stdout: "pipe" });
  const { value } = await child.stdout.getReader().read();
  expect(new TextDecoder().decode(value)).toBe("held\n");
  return child;
}

test("a second edge on the same audit file does not start, and says why", async () => {
  const text = staticConfiguration(`audit: { file: { path: ${JSON.stringify(path)} } }`);
  const first = await startStaticEdge(text);
  try {
    await expect(startStaticEdge(text)).rejects.toThrow(/another edge writes .*audit\.jsonl/);
  } finally {
    await first.close();
  }
  // Stopped in order, it leaves the file to the next.
  await (await startStaticEdge(text)).close();
  expect(readdirSync(folder)).toEqual(["audit.jsonl"]);
});

test("a lock is another process's until that ends, however it ends", async () => {
  for (const signal of ["SIGKILL", "SIGTERM"] as const) {
    const holder = await holdInAnotherProcess();
    try {
      await expect(lockAuditFile(path, warn)).rejects.toThrow("another edge writes");
      // One that hangs holds it too.
      holder.kill("SIGSTOP");
      await expect(lockAuditFile(path, warn)).rejects.toThrow("another edge writes");
    } finally {
      holder.kill("SIGCONT");
      holder.kill(signal);
      await holder.exited;
    }
    (await lockAuditFile(path, warn)).release();
    expect(readdirSync(folder)).toEqual([]);
  }
});

test("of many that come at once after a kill, one gets it", async () => {
  const holder = await holdInAnotherProcess();
  holder.kill("SIGKILL");
  await holder.exited;
  const ends = await Promise.allSettled(Array.from({ length: 20 }, () => lockAuditFile(path, warn)));
  const held = ends.filter((end) => end.status === "fulfilled");
  expect(held).toHaveLength(1);
  await expect(lockAuditFile(path, warn)).rejects.toThrow("another edge writes");
  for (const { value } of held) value.release();
  expect(readdirSync(folder)).toEqual([]);
});

test("a path that is too long for a socket is locked all the same", async () => {
  const deep = join(folder, "a".repeat(100), "b".repeat(100));
  mkdirSync(deep, { recursive: true });
  const long = join(deep, "audit.jsonl");
  const lock = await lockAuditFile(long, warn);
  await expect(lockAuditFile(long, warn)).rejects.toThrow("another edge writes");
  lock.release();
  lock.release();
  (await lockAuditFile(long, warn)).release();
});

test("a file in the way is told, and stays", async () => {
  writeFileSync(join(folder, ".audit.jsonl.lock"), "mine");
  await expect(lockAuditFile(path, warn)).rejects.toThrow("is in the way");
  expect(readdirSync(folder)).toEqual([".audit.jsonl.lock"]);
});
