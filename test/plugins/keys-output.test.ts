/** The tools that make a plugin's service keys print what they have done, or fail and tell it: on a full disk, to a reader that is gone. */
import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { FORMAT } from "../../plugins/aws-kms/wrapped-keys.ts";
import { ROOT } from "../support/pages.ts";
import { makeTemporaryFile } from "../support/temporary-file.ts";

const TOOLS = ["aws-kms", "openbao", "pkcs11"];

function run(plugin: string, args: string, redirection: string) {
  const tool = join(ROOT, "plugins", plugin, "keys.ts");
  // 3: a pipe whose reader has ended.
  const script = `exec 3> >(exec true); wait $!; "${process.execPath}" "${tool}" ${args} ${redirection}`;
  const { status, stdout, stderr } = spawnSync("bash", ["-c", script], { encoding: "utf8" });
  return { status, stdout, stderr };
}

test.each(TOOLS)("%s tells that its help can't be written", (plugin) => {
  const { status, stdout } = run(plugin, "--help", "");
  expect([status, stdout.startsWith("usage: keys.ts COMMAND")]).toEqual([0, true]);
  const full = run(plugin, "--help", "> /dev/full");
  expect(full.stderr).toStartWith("keys.ts: standard output can't be written (ENOSPC); it would say: usage:");
  expect(full.status).toBe(1);
  const gone = run(plugin, "--help", ">&3");
  expect(gone.stderr).toStartWith("keys.ts: standard output can't be written (EPIPE)");
  expect(gone.status).toBe(1);
});

test("what was done is told where the line of it is lost", () => {
  const key = { tenant: "tenant-a", service: "billing", version: 1, state: "active", wrapped: "AAAA" };
  using file = makeTemporaryFile("keys.json", JSON.stringify({ format: FORMAT, keys: [key] }));
  const options = `--file "${file.path}" --region eu-west-1 --key-id a`;
  expect(run("aws-kms", `list ${options}`, "")).toEqual({
    status: 0,
    stdout: "tenant-a/billing/1 active\n",
    stderr: "",
  });
  expect(run("aws-kms", `state tenant-a billing 1 compromised ${options}`, "> /dev/full")).toEqual({
    status: 1,
    stdout: "",
    stderr: "keys.ts: standard output can't be written (ENOSPC); it would say: tenant-a/billing/1 compromised\n",
  });
  expect(readFileSync(file.path, "utf8")).toContain("compromised");
});
