/**
 * npm run mutate -- [FILE…] [--sample N] [--seed S]
 *
 * Changes one thing at a time in the rooms that carry the safety (or in the files named), in a copy of this checkout, and runs the
 * tests of the room; for the lease cache and the revocation guard a short simulation too. A change that no test sees is a
 * survivor: printed, with its place. Either a test is missing, or the code does nothing.
 */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { type Mutation, mutationsOf } from "./mutations.ts";

const ROOT = resolve(import.meta.dirname, "..");
const ROOMS = ["cache", "revocation", "operations", "access", "cipher"];
const TEST_LIMIT_MS = 120_000;
/** What makes modules of ports, or types: nothing in it that could be wrong without the edge not starting. */
const SKIPPED = /\/(?:module|index)\.ts$/;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { sample: { type: "string" }, seed: { type: "string", default: "1" } },
});

interface Mutant extends Mutation {
  readonly file: string;
}

const files =
  positionals.length > 0 ? positionals.map((file) => relative(ROOT, resolve(file))) : ROOMS.flatMap(filesOf);
const all = files.flatMap((file) => mutantsOf(file));
const mutants = values.sample === undefined ? all : sampled(all, Number(values.sample), Number(values.seed));
console.log(`${mutants.length} of ${all.length} mutants, in ${files.length} files`);

const copy = copyOfCheckout();
process.on("exit", () => rmSync(copy, { recursive: true, force: true }));
for (const room of new Set(mutants.map(({ file }) => roomOf(file)))) {
  if (!passes(room)) throw new Error(`the tests of ${room} fail without any mutation`);
}
const survivors: Mutant[] = [];
for (const [index, mutant] of mutants.entries()) {
  const path = join(copy, mutant.file);
  writeFileSync(path, mutant.text);
  const survived = passes(roomOf(mutant.file));
  writeFileSync(path, readFileSync(join(ROOT, mutant.file)));
  if (survived) {
    survivors.push(mutant);
    console.log(`survived: ${mutant.file}:${mutant.line}  ${mutant.from}  →  ${mutant.to}`);
  }
  if ((index + 1) % 20 === 0) console.log(`${index + 1} tried, ${survivors.length} survived`);
}
const share = mutants.length === 0 ? 0 : (100 * survivors.length) / mutants.length;
console.log(`${mutants.length} mutants: ${survivors.length} survived (${share.toFixed(1)} %)`);

function filesOf(room: string): string[] {
  const folder = join(ROOT, "src/edge", room);
  return (readdirSync(folder, { recursive: true }) as string[])
    .filter((name) => name.endsWith(".ts"))
    .map((name) => `src/edge/${room}/${name}`)
    .filter((file) => !SKIPPED.test(file))
    .sort();
}

/** Those that are still programs. */
function mutantsOf(file: string): Mutant[] {
  const transpiler = new Bun.Transpiler({ loader: "ts" });
  const text = readFileSync(join(ROOT, file), "utf8");
  const unchanged = transpiler.transformSync(text);
  return mutationsOf(text)
    .map((mutation) => ({ ...mutation, file }))
    .filter((mutant) => {
      try {
        return transpiler.transformSync(mutant.text) !== unchanged;
      } catch {
        return false;
      }
    });
}

function roomOf(file: string): string {
  const folders = dirname(file).split("/");
  return folders.slice(1, folders[2] === "doors" ? 4 : 3).join("/");
}

/** Whether every test that watches over the room passes. */
function passes(room: string): boolean {
  const tests = [["test", "--bail", "--timeout", "30000", `./test/${room}/`]];
  if (/cache|revocation/.test(room)) tests.push(["test/simulation/main.ts", "digests", "--seeds", "25"]);
  return tests.every((args) => {
    const { exitCode } = Bun.spawnSync([process.execPath, ...args], {
      cwd: copy,
      stdout: "ignore",
      stderr: "ignore",
      timeout: TEST_LIMIT_MS,
    });
    return exitCode === 0;
  });
}

function copyOfCheckout(): string {
  const folder = mkdtempSync(join(tmpdir(), "crypto-edge-mutate-"));
  for (const name of ["src", "test", "bench", "scripts", "docs", "plugins"]) {
    cpSync(join(ROOT, name), join(folder, name), { recursive: true, filter: (path) => !path.includes("node_modules") });
  }
  for (const name of ["package.json", "tsconfig.json", "bunfig.toml", "deno.json"])
    cpSync(join(ROOT, name), join(folder, name));
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  for (const plugin of readdirSync(join(ROOT, "plugins"))) {
    try {
      readdirSync(join(ROOT, "plugins", plugin, "node_modules"));
    } catch {
      continue;
    }
    mkdirSync(join(folder, "plugins", plugin), { recursive: true });
    symlinkSync(join(ROOT, "plugins", plugin, "node_modules"), join(folder, "plugins", plugin, "node_modules"));
  }
  return folder;
}

/** `count` of them, the same for the same seed. */
function sampled<Item>(items: readonly Item[], count: number, seed: number): Item[] {
  let state = seed >>> 0;
  const random = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const left = [...items];
  const chosen: Item[] = [];
  while (chosen.length < count && left.length > 0) chosen.push(...left.splice(Math.floor(random() * left.length), 1));
  return chosen;
}
