/** What a command prints arrives whole, or the command fails and says so: a full disk, a reader that is gone, one that is slow. */
import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";

const PROGRAM = `"${process.execPath}" "${resolve(import.meta.dir, "../../src/main.ts")}"`;
const COMMANDS = ["version", "version --json", "--version", "--help", "pki --help", "config schema", "completion bash"];

const shell = (script: string) => {
  const { status, stdout, stderr } = spawnSync("bash", ["-c", script], { encoding: "utf8" });
  return { status, stdout, stderr };
};

describe.each(COMMANDS)("crypto-edge %s", (command) => {
  test("fails with one sentence when the disk is full", () => {
    const { status, stderr } = shell(`${PROGRAM} ${command} > /dev/full`);
    expect(stderr).toBe(
      "crypto-edge: standard output can't be written (ENOSPC): give it a place with room, or a reader\n",
    );
    expect(status).toBe(1);
  });

  test("ends without a word when its reader is gone", () => {
    const { status, stderr } = shell(`exec 3> >(exec true); wait $!; ${PROGRAM} ${command} >&3`);
    expect(stderr).toBe("");
    expect(status).toBe(1);
  });
});

test("a slow reader, on a pipe that does not block, gets everything", () => {
  const whole = shell(`${PROGRAM} config schema`).stdout;
  // More than a pipe holds, read after a pause; Python sets the pipe that both share not to block.
  const unblocked = `import os, sys; os.set_blocking(1, False); os.execvp("bash", ["bash", "-c", sys.argv[1]])`;
  const many = `for n in 1 2 3 4; do ${PROGRAM} config schema || exit 1; done`;
  const { stdout, stderr } = shell(`python3 -c '${unblocked}' '${many}' | { sleep 2; cat; }`);
  expect(stderr).toBe("");
  expect(stdout).toBe(whole.repeat(4));
  expect(stdout.length).toBeGreaterThan(70_000);
});
