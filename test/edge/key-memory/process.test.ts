import { describe, expect, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readSync } from "node:fs";
import { createRequire } from "node:module";
import { mappings } from "../../support/process-memory.ts";
import { hasSecretMemory } from "../../support/secret-memory.ts";

/** What key memory promises about the process around it, seen from outside that process: on Linux with `memfd_secret`. */

const PROBE = new URL("./probe.ts", import.meta.url).pathname;
const KEY = new Uint8Array(32).map((_, index) => 0xa0 + index);
const KEY_HEX = Buffer.from(KEY).toString("hex");

const DENO = [
  new URL("deno", `file://${createRequire(import.meta.url).resolve("deno/package.json")}`).pathname,
  ...["run", "--no-config", "--quiet", "--allow-all"],
];

interface Ended {
  readonly answers: unknown[];
  readonly code: number | null;
  readonly signal: string | null;
}

function start(mode: string, choice: string, argument: string, runtime = [process.execPath]): ChildProcess {
  const [command = "", ...options] = runtime;
  return spawn(command, [...options, PROBE, mode, choice, argument], { stdio: ["ignore", "pipe", "pipe"] });
}

function run(mode: string, choice = "auto", argument = "", runtime?: string[]): Promise<Ended> {
  const child = start(mode, choice, argument, runtime);
  let output = "";
  let errors = "";
  child.stdout!.on("data", (chunk) => (output += chunk));
  child.stderr!.on("data", (chunk) => (errors += chunk));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (output === "") reject(new Error(`the probe said nothing: ${errors}`));
      else
        resolve({
          answers: output
            .trim()
            .split("\n")
            .map((line) => JSON.parse(line) as unknown),
          code,
          signal,
        });
    });
  });
}

/** Runs `look` at a process that holds KEY in memory of that kind. */
async function whileHeld<Result>(choice: string, look: (pid: number) => Result): Promise<Result> {
  const child = start("hold", choice, KEY_HEX);
  try {
    await new Promise((resolve, reject) => {
      child.stdout!.once("data", resolve);
      child.once("close", () => reject(new Error("the probe ended early")));
    });
    return look(child.pid!);
  } finally {
    child.kill("SIGKILL");
  }
}

/** The bytes at `address` of another process, or undefined when the kernel refuses. */
function peek(pid: number, address: number, lengthBytes: number): Buffer | undefined {
  const memory = openSync(`/proc/${pid}/mem`, "r");
  try {
    const bytes = Buffer.alloc(lengthBytes);
    return readSync(memory, bytes, 0, lengthBytes, address) === lengthBytes ? bytes : undefined;
  } catch {
    return undefined;
  } finally {
    closeSync(memory);
  }
}

describe.skipIf(!hasSecretMemory)("a process with key memory", () => {
  test("secret memory is locked, left out of dumps and of forked children, and unreadable through /proc", async () => {
    const found = await whileHeld("secret", (pid) =>
      mappings(pid)
        .filter((mapping) => mapping.keyMemory)
        .map((mapping) => ({ ...mapping, bytes: peek(pid, mapping.start, 32) })),
    );
    expect(found).toHaveLength(1);
    expect(found[0]!.path).toContain("secretmem");
    expect(found[0]!.flags).toContain("dc");
    expect(found[0]!.bytes).toBeUndefined();
  });

  test("locked memory is left out of dumps and wiped on fork; whoever may read /proc/PID/mem does read it", async () => {
    const found = await whileHeld("locked", (pid) =>
      mappings(pid)
        .filter((mapping) => mapping.keyMemory)
        .map((mapping) => ({ ...mapping, bytes: peek(pid, mapping.start, 32) })),
    );
    expect(found).toHaveLength(1);
    expect(found[0]!.flags).toContain("wf");
    expect(Uint8Array.from(found[0]!.bytes!)).toEqual(KEY);
  });

  test("memory on the heap is not key memory: no mapping is locked", async () => {
    expect(await whileHeld("heap", (pid) => mappings(pid).filter((mapping) => mapping.keyMemory))).toEqual([]);
  });

  test.each([
    ["secret", "before"],
    ["secret", "after"],
    ["locked", "before"],
    ["locked", "after"],
  ])("the guard page of %s memory kills the process that touches the byte %s it", async (choice, side) => {
    const { answers, code, signal } = await run("guard", choice, side);
    expect(answers).toEqual([{ first: 0x5a, last: 0 }]);
    expect(signal ?? code).toBe("SIGSEGV");
  });

  test("says what RLIMIT_MEMLOCK to set when it is too low, and goes on on the heap", async () => {
    const { answers } = await run("limited", "auto", "65536,5000");
    expect(answers[0]).toMatchObject({ kind: "secret", stored: 5000, stats: { heapKeys: 5000 - 2048 } });
    const { warnings } = answers[0] as { warnings: string[] };
    expect(warnings[0]).toContain("for 2048 of 5000 keys");
    for (const warning of warnings) expect(warning).toMatch(/RLIMIT_MEMLOCK is 64 KiB; set it to 4\d\d KiB or more/);
  });

  test.each(["secret", "locked"])(
    "%s by name never goes to the heap: the key that does not fit is refused",
    async (choice) => {
      const { answers } = await run("limited", choice, "65536,5000");
      expect(answers[0]).toMatchObject({ kind: choice, stored: 2048, refusal: "full", stats: { heapKeys: 0 } });
      expect((answers[0] as { warnings: string[] }).warnings.join()).toContain("further leases will be refused");
    },
  );

  test("without any memory to lock, auto starts on the heap with a warning, and a kind by name does not start", async () => {
    const [auto] = (await run("limited", "auto", "0,10")).answers;
    expect(auto).toMatchObject({ kind: "heap", stored: 10, stats: { heapKeys: 10 } });
    expect((auto as { warnings: string[] }).warnings.join()).toMatch(/on the heap.*LimitMEMLOCK/);
    const [secret] = (await run("limited", "secret", "0,10")).answers;
    expect(secret).toMatchObject({ refusal: "unavailable", message: expect.stringMatching(/EAGAIN.*LimitMEMLOCK/) });
  });

  test("a hardened process is not dumpable and writes no core file, unless the configuration says otherwise", async () => {
    expect((await run("harden")).answers).toEqual([
      { hardening: { dumpable: false, coreFiles: false, warnings: [] }, core: "0" },
    ]);
    const [left] = (await run("harden", "auto", "dumpable")).answers;
    expect(left).toMatchObject({ hardening: { dumpable: true } });
  });

  test("it is the same under Deno", async () => {
    const { answers } = await run("use", "secret", "", DENO);
    expect(answers[0]).toMatchObject({ kind: "secret", sum: 7 * 32, after: "released", warnings: [] });
    expect((answers[0] as { flags: string[] }).flags).toEqual(expect.arrayContaining(["lo", "dd", "dc"]));
  });
});
