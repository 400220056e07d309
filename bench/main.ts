/**
 * The bench: `bun run bench` runs every part and prints one table; `bun run bench PART…` runs the named ones.
 * A part is a file of this folder that exports `about` and `run` (harness/context.ts).
 */
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Part, runPart } from "./harness/context.ts";
import { describeMachine } from "./harness/machine.ts";
import { formatMachine, formatTable } from "./harness/report.ts";
import type { Row } from "./harness/row.ts";
import { readRun, regressions, saveRun } from "./harness/saved-run.ts";
import { performancePage } from "./report/page.ts";
import { scalingPage } from "./report/scaling-page.ts";

const USAGE = `usage: bun run bench [PART…] [options]

  PART            such as revocation, with what is said of it further (revocation-cores): all of --list that begin so

  --json          one object per row on standard output
  --save FILE     keep the rows in FILE; those of parts that did not run stay as they are there
  --against FILE  compare with a saved run by ratio; by default the file that --save names
  --guard         a shortened run of the parts that guard the ratios, judged with wide margins
  --page          make docs/performance.md, docs/scaling.md and the charts from the saved run in docs/performance.json
  --list          the parts`;

/** A shortened run on a machine with neighbours tells only what is worse by far. */
const GUARD_MARGIN = 0.7;

const folder = import.meta.dirname;
const root = join(folder, "..");

async function loadParts(names: readonly string[]): Promise<Map<string, Part>> {
  const all = readdirSync(folder)
    .filter((file) => file.endsWith(".ts") && file !== "main.ts")
    .map((file) => file.slice(0, -".ts".length))
    .toSorted();
  const unknown = names.find((name) => !all.includes(name));
  const isWanted = (part: string) => names.some((name) => part === name || part.startsWith(`${name}-`));
  if (unknown !== undefined) fail(`There is no part "${unknown}". The parts: ${all.join(", ")}.`);
  const parts = new Map<string, Part>();
  for (const name of names.length === 0 ? all : all.filter(isWanted)) {
    parts.set(name, (await import(join(folder, `${name}.ts`))) as Part);
  }
  return parts;
}

function fail(message: string): never {
  console.error(`${message}\n\n${USAGE}`);
  process.exit(2);
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        json: { type: "boolean", default: false },
        save: { type: "string" },
        against: { type: "string" },
        guard: { type: "boolean", default: false },
        page: { type: "boolean", default: false },
        list: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
  } catch (error) {
    return fail((error as Error).message);
  }
}

const { values: options, positionals } = readArguments();
if (options.help) {
  console.log(USAGE);
  process.exit(0);
}
const savedPage = join(root, "docs/performance.json");
if (options.page) {
  const run = readRun(savedPage);
  if (run === undefined) fail("docs/performance.json is missing: bun run bench --save docs/performance.json");
  const { markdown, charts } = performancePage(run);
  writeFileSync(join(root, "docs/performance.md"), markdown);
  writeFileSync(join(root, "docs/scaling.md"), scalingPage(run));
  for (const [name, chart] of charts) writeFileSync(join(root, "docs", name), chart);
  process.exit(0);
}
const parts = await loadParts(positionals);
if (options.list) {
  for (const [name, part] of parts) console.log(`${name.padEnd(16)}${part.about}`);
  process.exit(0);
}

const isGuard = options.guard;
const machine = describeMachine();
say(formatMachine(machine));
const rows: Row[] = [];
const failures: string[] = [];
for (const [name, part] of parts) {
  if (isGuard && positionals.length === 0 && part.guards !== true) continue;
  say(`\n${name}: ${part.about}`);
  try {
    const found = await runPart(part, {
      isGuard,
      rounds: isGuard ? 3 : 7,
      sampleMs: isGuard ? 250 : 1000,
      root,
      say: (line) => say(`  ${line}`),
    });
    rows.push(...found);
    if (options.json) for (const row of found) console.log(JSON.stringify(row));
    else console.log(`\n${formatTable(found)}`);
  } catch (error) {
    failures.push(name);
    say(`  ${name} failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  }
}

const against = options.against ?? options.save ?? (isGuard ? savedPage : undefined);
const before = against === undefined ? undefined : readRun(against);
const worse = before === undefined ? [] : regressions(before.rows, rows, isGuard ? GUARD_MARGIN : undefined);
for (const { name, before: was, now } of worse) {
  say(`worse than the saved run: ${name}: ratio ${now.toFixed(2)}, was ${was.toFixed(2)}`);
}
if (options.save !== undefined) saveRun(options.save, machine, rows);

const below = rows.filter((row) => row.verdict === "below");
say(
  `\n${rows.length} rows, ${below.length} below their goal, ${worse.length} worse than before, ${failures.length} parts failed`,
);
for (const row of below) say(`  below: ${row.name}`);
process.exit(failures.length > 0 || worse.length > 0 ? 1 : 0);
