import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readFileBytes, readFileLine, readFileText } from "../../src/base/read-file.ts";

const folder = mkdtempSync(join(tmpdir(), "crypto-edge-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("a file that can't be read is told with its path, its meaning, and what to do", () => {
  expect(() => readFileBytes("/does/not/exist", "the CA certificate")).toThrow(
    "the CA certificate /does/not/exist can't be read (ENOENT): check the path and its permissions",
  );
});

test("what is no file is refused at once: a folder, a FIFO without a writer, a device that never ends", () => {
  const fifo = join(folder, "fifo");
  expect(Bun.spawnSync(["mkfifo", fifo]).exitCode).toBe(0);
  for (const path of ["/", fifo, "/dev/zero", "/dev/null"]) {
    expect(() => readFileText(path)).toThrow(`${path} is not a file: give the path of a regular file`);
  }
});

test("the end is where reading ends, not the size that the system tells", () => {
  expect(readFileText("/proc/self/status")).toContain("VmRSS");
});

test("a link counts as what it points to, as Kubernetes mounts secrets", () => {
  writeFileSync(join(folder, "secret"), "s".repeat(200_000));
  symlinkSync("secret", join(folder, "link"));
  expect(readFileText(join(folder, "link"))).toHaveLength(200_000);
});

test("a file larger than any configuration is refused, not read", () => {
  const large = join(folder, "large");
  writeFileSync(large, Buffer.alloc(17 * 1024 * 1024));
  expect(() => readFileBytes(large)).toThrow(`${large} is larger than 16 MiB, which no such file is: check the path`);
});

test("a secret's line has no line end", () => {
  const file = join(folder, "pin");
  writeFileSync(file, "1234\r\n");
  expect(readFileLine(file)).toBe("1234");
  expect(readFileText(file)).toBe("1234\r\n");
});
