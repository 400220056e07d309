import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const PROBE = join(import.meta.dir, "short-slices-probe.ts");
const DENO = [
  join(dirname(createRequire(import.meta.url).resolve("deno/package.json")), "deno"),
  ...["run", "--no-config", "--quiet", "--allow-all"],
];
const SHORT = 100_000;
const SCHED_IDLE = 5;

interface Told {
  readonly policy: number;
  readonly before: number | null;
  readonly own: number | null;
  readonly threads: readonly (number | null)[];
  readonly child: number | null;
}

function probe(command: readonly string[]): Told {
  const { stdout, stderr } = spawnSync(command[0]!, [...command.slice(1), PROBE], { encoding: "utf8" });
  if (stdout === "") throw new Error(`the probe said nothing: ${stderr}`);
  return JSON.parse(stdout) as Told;
}

const hasSlices = process.platform === "linux" && /^se\.slice/m.test(readFileSync("/proc/self/sched", "utf8"));

describe.if(hasSlices)("short slices of the processor", () => {
  for (const [runtime, command] of [
    ["Bun", [process.execPath]],
    ["Deno", DENO],
  ] as const) {
    test(`are for the thread that asks, and for none that it makes (${runtime})`, () => {
      const { before, own, threads, child } = probe(command);
      expect(own).toBe(SHORT);
      expect(before).toBeGreaterThan(SHORT);
      expect(threads).toEqual([before]);
      expect(child).toBe(before);
    });
  }

  test("are not asked for where the thread has another policy", () => {
    expect(probe(["chrt", "--idle", "0", process.execPath])).toMatchObject({ policy: SCHED_IDLE, own: null });
  });
});
