import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
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
