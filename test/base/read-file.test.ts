import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readFileBytes, readFileLine, readFileText } from "../../src/base/read-file.ts";

test("a file that can't be read is told with its path, its meaning, and what to do", () => {
  expect(() => readFileBytes("/does/not/exist", "the CA certificate")).toThrow(
    "the CA certificate /does/not/exist can't be read (ENOENT): check the path and its permissions",
  );
  expect(() => readFileText("/")).toThrow("/ can't be read (EISDIR): check the path and its permissions");
});

test("a secret's line has no line end", () => {
  const folder = mkdtempSync(join(tmpdir(), "crypto-edge-"));
  const file = join(folder, "pin");
  writeFileSync(file, "1234\r\n");
  expect(readFileLine(file)).toBe("1234");
  expect(readFileText(file)).toBe("1234\r\n");
  rmSync(folder, { recursive: true });
});
