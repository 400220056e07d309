import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { createNodeAdapter } from "../../../src/edge/cipher/node-adapter.ts";
import { allVectors } from "./all-vectors.ts";

const ROOT = resolve(import.meta.dir, "../../..");

test("every vector of both suites, of GCM and of sealed files holds on both adapters, on Bun and on Deno", () => {
  const here = allVectors();
  expect(Object.keys(here)).toEqual(["node", "openssl", "sealedFiles", "crossings"]);
  expect(here.openssl).toBeGreaterThan(300);
  const script = resolve(import.meta.dir, "all-vectors.ts");
  const flags = ["run", "--no-lock", "--node-modules-dir=manual", "--allow-all", script];
  const deno = spawnSync(resolve(ROOT, "node_modules/.bin/deno"), flags, { cwd: ROOT, encoding: "utf8" });
  expect(deno.stderr).toBe("");
  expect(JSON.parse(deno.stdout)).toEqual(here);
}, 300_000);

test("what does the cryptography is named by its runtime", () => {
  expect(createNodeAdapter().library).toStartWith(`BoringSSL of Bun ${Bun.version} (`);
  const file = resolve(ROOT, "src/edge/cipher/node-adapter.ts");
  const script = `const { createNodeAdapter } = await import(${JSON.stringify(file)}); console.log(createNodeAdapter().library, Deno.version.deno);`;
  const deno = spawnSync(resolve(ROOT, "node_modules/.bin/deno"), ["eval", "--no-lock", script], {
    cwd: ROOT,
    encoding: "utf8",
  });
  const version = deno.stdout.trim().split(" ").at(-1)!;
  expect(version).toMatch(/^\d+\.\d+\.\d+$/);
  expect(deno.stdout).toBe(`the crypto of Deno ${version} ${version}\n`);
}, 300_000);
