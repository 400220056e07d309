/**
 * npm run mutate -- [FILE or FOLDER…] [--sample N] [--seed S] [--jobs N]
 *
 * Changes one thing at a time in the rooms that carry the safety (or in what is named), in a copy of this checkout, and runs the
 * tests of the room; for the lease cache and the revocation guard a short simulation too. A change that no test sees is a
 * survivor: printed, with its place, and with its reason if accepted-mutants.ts gives one. Otherwise either a test is missing,
 * or the code does nothing, and the run fails.
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { reasonOf } from "./accepted-mutants.ts";
import { type Mutation, mutationsOf } from "./mutations.ts";

const ROOT = resolve(import.meta.dirname, "..");
const ROOMS = ["cache", "revocation", "operations", "access", "cipher"];
/** So many times what the unchanged code takes, and this much at least, may a run take: a mutant that waits for ever is killed. */
const LIMIT_FACTOR = 10;
const LEAST_LIMIT_MS = 10_000;
/** Likewise a single test, of which the unchanged code does all in that time. */
const TEST_LIMIT_FACTOR = 3;
const LEAST_TEST_LIMIT_MS = 3_000;
/** A mutant that takes memory without end dies of it, and takes nobody with it: 4 GB at most, in kB. */
const LIMITED = 'ulimit -d 4000000; exec sh "$0" "$@"';
/** What makes modules of ports, or types: nothing in it that could be wrong without the edge not starting. */
const SKIPPED = /\/(?:module|index)\.ts$/;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    sample: { type: "string" },
    seed: { type: "string", default: "1" },
    jobs: { type: "string", default: "1" },
  },
});

interface Mutant extends Mutation {
  readonly file: string;
}

/** A run of the tests that watch over a room, and how long it may take. */
interface Check {
  readonly args: readonly string[];
  readonly limitMs: number;
}

type Fate = "killed" | "killed by time" | "survived";

/** As they were at the beginning: who goes on writing meanwhile disturbs nothing. */
const texts = new Map<string, string>();
const named = positionals.map((path) => relative(ROOT, resolve(path)));
const files = (named.length > 0 ? named : ROOMS.map((room) => `src/edge/${room}`)).flatMap(filesOf);
const all = files.flatMap((file) => mutantsOf(file));
const mutants = values.sample === undefined ? all : sampled(all, Number(values.sample), Number(values.seed));
console.log(`${mutants.length} of ${all.length} mutants, in ${files.length} files`);

const copies = Array.from({ length: Math.max(1, Number(values.jobs)) }, copyOfCheckout);
/** Those that run now: a mutant may never end by itself. */
const running = new Set<{ kill(signal: "SIGKILL"): void }>();
process.on("exit", () => {
  for (const run of running) run.kill("SIGKILL");
  for (const copy of copies) rmSync(copy, { recursive: true, force: true });
});
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(1));

const checks = new Map<string, readonly Check[]>();
for (const room of new Set(mutants.map(({ file }) => roomOf(file)))) checks.set(room, await checksOf(room));

const counts: Record<Fate, number> = { killed: 0, "killed by time": 0, survived: 0 };
let unexplained = 0;
const queue = [...mutants];
await Promise.all(copies.map(tryAll));
const share = mutants.length === 0 ? 0 : (100 * counts.survived) / mutants.length;
console.log(
  `${mutants.length} mutants: ${counts.survived} survived (${share.toFixed(1)} %), ${unexplained} of them without a reason; ` +
    `${counts["killed by time"]} never ended`,
);
process.exitCode = unexplained === 0 ? 0 : 1;

async function tryAll(copy: string): Promise<void> {
  for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
    const path = join(copy, mutant.file);
    writeFileSync(path, mutant.text);
    const fate = await fateIn(copy, [...mirrorOf(copy, mutant.file), ...checks.get(roomOf(mutant.file))!]);
    writeFileSync(path, texts.get(mutant.file)!);
    counts[fate]++;
    if (fate === "survived") report(mutant);
    const tried = counts.killed + counts["killed by time"] + counts.survived;
    if (tried % 20 === 0) console.log(`${tried} tried, ${counts.survived} survived`);
  }
}

function report(mutant: Mutant): void {
  const reason = reasonOf(mutant.file, mutant);
  if (reason === undefined) unexplained++;
  console.log(`survived: ${mutant.file}:${mutant.line}  ${mutant.from}  →  ${mutant.to}`);
  console.log(`  ${reason ?? "no reason is known"}`);
}

function filesOf(path: string): string[] {
  if (!statSync(join(ROOT, path)).isDirectory()) return [path];
  return (readdirSync(join(ROOT, path), { recursive: true }) as string[])
    .filter((name) => name.endsWith(".ts"))
    .map((name) => join(path, name))
    .filter((file) => !SKIPPED.test(file))
    .sort();
}

/** Those that are still programs. */
function mutantsOf(file: string): Mutant[] {
  const transpiler = new Bun.Transpiler({ loader: "ts" });
  const text = readFileSync(join(ROOT, file), "utf8");
  texts.set(file, text);
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

/** What watches over the room. Throws where the unchanged code does not pass it. */
async function checksOf(room: string): Promise<Check[]> {
  const measured = async (...args: string[]): Promise<number> => {
    const startedMs = performance.now();
    if ((await fateIn(copies[0]!, [{ args, limitMs: 600_000 }])) !== "survived")
      throw new Error(`the tests of ${room} fail without any mutation`);
    return performance.now() - startedMs;
  };
  const limitOf = (ms: number, factor: number, leastMs: number): number => Math.ceil(Math.max(leastMs, factor * ms));

  const tests = ["test", "--bail", `./test/${room}/`];
  const testsMs = await measured(...tests);
  const perTestMs = limitOf(testsMs, TEST_LIMIT_FACTOR, LEAST_TEST_LIMIT_MS);
  const checks = [
    { args: [...tests, "--timeout", `${perTestMs}`], limitMs: limitOf(testsMs, LIMIT_FACTOR, LEAST_LIMIT_MS) },
  ];
  if (/cache|revocation/.test(room)) {
    const simulation = ["test/simulation/main.ts", "digests", "--seeds", "25"];
    const simulationMs = await measured(...simulation);
    checks.push({ args: simulation, limitMs: limitOf(simulationMs, LIMIT_FACTOR, LEAST_LIMIT_MS) });
  }
  return checks;
}

/** The file's own tests, where it has some: they come first, since they kill most mutants in a fraction of the time. */
function mirrorOf(copy: string, file: string): Check[] {
  const path = file.replace(/^src\//, "test/").replace(/\.ts$/, ".test.ts");
  if (!existsSync(join(copy, path))) return [];
  const [roomTests] = checks.get(roomOf(file))!;
  return [{ args: roomTests!.args.with(2, `./${path}`), limitMs: roomTests!.limitMs }];
}

async function fateIn(copy: string, tests: readonly Check[]): Promise<Fate> {
  for (const { args, limitMs } of tests) {
    const run = Bun.spawn(["sh", "-c", LIMITED, join(ROOT, "scripts/bun.sh"), ...args], {
      cwd: copy,
      stdout: "ignore",
      stderr: "ignore",
      timeout: limitMs,
      killSignal: "SIGKILL",
    });
    running.add(run);
    const exitCode = await run.exited;
    running.delete(run);
    if (run.signalCode === "SIGKILL") return "killed by time";
    if (exitCode !== 0) return "killed";
  }
  return "survived";
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
