import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { makeFolder } from "./support/broker.ts";

const MODEL = join(import.meta.dir, "../model/revocation.pml");

let folder: ReturnType<typeof makeFolder>;
beforeAll(() => {
  folder = makeFolder();
});
afterAll(() => folder.remove());

async function run(...command: string[]): Promise<string> {
  const child = Bun.spawn(command, { cwd: folder.path, stdio: ["ignore", "pipe", "pipe"] });
  const [output, errors, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${errors}${output}`);
  return output;
}

/** Explores every state of the model; says how many there were, and how many broke the property. */
async function explore(...flags: string[]): Promise<{ states: number; errors: number; complete: boolean }> {
  await run("spin", ...flags, "-a", MODEL);
  await run("gcc", "-O2", "-w", "-DSAFETY", "-DMEMLIM=1000", "-o", "pan", "pan.c");
  const report = await run("./pan", "-m100000", "-E");
  return {
    states: Number(/(\S+) states, stored/.exec(report)?.[1]),
    errors: Number(/errors: (\d+)/.exec(report)?.[1]),
    complete: !report.includes("Search not completed") && !report.includes("max search depth too small"),
  };
}

describe("the model of the guard and the lease race", () => {
  test("holds in every state: no key in use whose revocation was applied, or gone past", async () => {
    const { states, errors, complete } = await explore("-DEVENTS=4");
    expect({ errors, complete }).toEqual({ errors: 0, complete: true });
    expect(states).toBeGreaterThan(1_000_000);
  }, 300_000);

  test("holds with an authority's blocks: only what the Core restores after one lifts it", async () => {
    const { states, errors, complete } = await explore("-DEVENTS=3", "-DAUTHORITY");
    expect({ errors, complete }).toEqual({ errors: 0, complete: true });
    expect(states).toBeGreaterThan(1_000_000);
  }, 300_000);

  test("does not hold where a restoration on its way lifts an authority's block", async () => {
    const { errors } = await explore("-DEVENTS=2", "-DAUTHORITY", "-DWITHOUT_FENCE");
    expect(errors).toBe(1);
  }, 300_000);

  test("does not hold without the rule about revocation_seq", async () => {
    const { errors } = await explore("-DEVENTS=3", "-DWITHOUT_RULE");
    expect(errors).toBe(1);
  }, 300_000);

  test("holds by that rule alone for answers under way when every lease was dropped", async () => {
    const { errors, complete } = await explore("-DEVENTS=3", "-DWITHOUT_EPOCH");
    expect({ errors, complete }).toEqual({ errors: 0, complete: true });
  }, 300_000);
});
