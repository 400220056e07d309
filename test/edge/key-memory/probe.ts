/**
 * A process for the tests to look at from outside, to limit and to crash: `probe.ts MODE …`. Prints one line of JSON.
 */
import { readFileSync } from "node:fs";
import { hardenProcess } from "../../../src/base/system/harden-process.ts";
import { loadSystemCalls, RLIMIT_MEMLOCK } from "../../../src/base/system/system-calls.ts";
import type { KeyMemoryChoice } from "../../../src/edge/key-memory/key-memory.ts";
import { openKeyMemory } from "../../../src/edge/key-memory/open-key-memory.ts";
import { mappings } from "../../support/process-memory.ts";

const [mode = "", choice = "auto", argument = ""] = process.argv.slice(2);
const warnings: string[] = [];
const open = (expectedKeys: number) =>
  openKeyMemory({ choice: choice as KeyMemoryChoice, expectedKeys, warn: (message) => warnings.push(message) });
const print = (answer: unknown): void => {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
};
const code = (error: unknown): unknown => (error as { code?: unknown }).code ?? String(error);

const system = await loadSystemCalls();
if (system.calls === undefined) throw new Error(system.reason);
const { calls } = system;

/** Touches the byte at `address`: the process dies where the page can't be read. */
const touch = (address: number): number => calls.view(address, 1)[0]!;
const keyRegion = () => {
  const region = mappings("self").find((mapping) => mapping.keyMemory);
  if (region === undefined) throw new Error("there is no region of key memory");
  return region;
};

switch (mode) {
  /** Stores the key given as hex, and stays, so that another process can look. */
  case "hold": {
    const memory = await open(1);
    const key = new Uint8Array(Buffer.from(argument, "hex"));
    const slot = memory.store(key);
    key.fill(0);
    print({ pid: process.pid, sum: slot.use((bytes) => bytes.reduce((total, byte) => total + byte, 0)) });
    await new Promise((resolve) => setTimeout(resolve, 60_000));
    slot.release();
    break;
  }
  /** Reads one byte of the region, then of the guard page before or after it. */
  case "guard": {
    const memory = await open(1);
    memory.store(new Uint8Array(32).fill(0x5a));
    const region = keyRegion();
    print({ first: touch(region.start), last: touch(region.end - 1) });
    touch(argument === "before" ? region.start - 1 : region.end);
    print("read past the guard");
    break;
  }
  /** Takes as many keys as asked, as a process without privileges under a small RLIMIT_MEMLOCK. */
  case "limited": {
    const [limitBytes = 0, keys = 0] = argument.split(",").map(Number);
    calls.setrlimit(RLIMIT_MEMLOCK.linux, { soft: BigInt(limitBytes), hard: BigInt(limitBytes) });
    if (process.getuid?.() === 0) process.setuid?.(65_534);
    try {
      const memory = await open(keys);
      let stored = 0;
      let refusal: unknown;
      try {
        for (; stored < keys; stored++) memory.store(new Uint8Array(32).fill(1));
      } catch (error) {
        refusal = code(error);
      }
      print({ kind: memory.kind, stored, refusal, stats: memory.stats, warnings });
    } catch (error) {
      print({ refusal: code(error), message: error instanceof Error ? error.message : "", warnings });
    }
    break;
  }
  case "harden": {
    const hardening = await hardenProcess({ dumpable: argument === "dumpable" });
    const core = readFileSync("/proc/self/limits", "utf8").match(/^Max core file size +(\S+)/m)?.[1];
    print({ hardening, core });
    break;
  }
  /** The whole of it, for another runtime. */
  case "use": {
    const memory = await open(4);
    const slot = memory.store(new Uint8Array(32).fill(7));
    const sum = slot.use((bytes) => bytes.reduce((total, byte) => total + byte, 0));
    const { flags } = keyRegion();
    memory.close();
    let after: unknown = "readable";
    try {
      slot.use((bytes) => bytes[0]);
    } catch (error) {
      after = code(error);
    }
    print({ kind: memory.kind, sum, flags, after, warnings });
    break;
  }
  default:
    throw new Error(`no mode ${mode}`);
}
