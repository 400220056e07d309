/**
 * Mixed abuse of a running edge for a while: its memory and open files after each round, its longest turn, and what a caller who does
 * nothing wrong had to wait. `sh scripts/bun.sh scripts/abuse.ts --minutes 60` (docs/security.md has figures and how they are judged).
 * Only ever against an edge that it starts itself on 127.0.0.1; every attack is bounded in count and time. Needs `npm run build` first.
 *
 * Where there are several cores, the edge's main thread has one of them. The bystander and the attackers have another. The bystander goes
 * before every other process there, if that is allowed: what it waits for is the edge, and no turn of the system's scheduler, in the quiet as
 * under attack. The edge has the ordinary scheduler, as where it is used. Quiet and attacked windows take turns throughout.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { availableParallelism, constants, getPriority, setPriority, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { startAttackedEdge } from "../test/support/attacked-edge.ts";
import type { LongTurn } from "../test/support/turn-meter/plugin.ts";
import type { Attacked } from "./abuse/attacker.ts";
import type { BystanderCall, Witnessed } from "./abuse/bystander.ts";

const MINUTES_MAX = 120;
/** How much more the edge may hold in the last quarter than in the first after the warm-up, in bytes. */
const GROWTH_MAX = 10 * 2 ** 20;
const TURN_MS_MAX = 50;
/** The bystander's p99 in an attacked window, as a multiple of that in the quiet windows before and after. */
const WAIT_RATIO_MAX = 2;
const QUIET_MS = 8_000;
/** After an attack, before the quiet counts. */
const SETTLE_MS = 1_000;
/** The part of the time whose memory and turns are not judged: code is not compiled yet, and buffers have not their size. */
const WARM_UP = 1 / 6;

const { values } = parseArgs({
  options: { minutes: { type: "string", default: "10" }, only: { type: "string", default: "" } },
});
const minutes = Number(values.minutes);
if (!(minutes > 0 && minutes <= MINUTES_MAX)) fail(`--minutes takes a number up to ${MINUTES_MAX}`);
const binary = resolve(import.meta.dir, "../dist/crypto-edge");
if (!existsSync(binary)) fail("dist/crypto-edge is missing: run `npm run build` first");

const apart = availableParallelism() > 1;
try {
  // The kernel may count priorities within a session alone, and sessions alike: this one gets this process's priority (sched(7), autogroup).
  writeFileSync("/proc/self/autogroup", String(getPriority()));
} catch {
  // No such groups, or no right to a higher priority.
}
const on = (core: number): string[] => (apart ? ["taskset", "-c", String(core)] : []);
const FIRST = ["chrt", "-r", "1"];
const first = apart && Bun.spawnSync([...FIRST, "true"], { stderr: "ignore" }).exitCode === 0 ? FIRST : [];
const folder = mkdtempSync(join(tmpdir(), "crypto-edge-abuse-"));
const turnsFile = join(folder, "turns");
writeFileSync(turnsFile, "");
const edge = await startAttackedEdge({
  binary,
  limits: { request_timeout: "5s", max_connections: 5_000 },
  longTurns: turnsFile,
  startedBy: [...on(0)],
});
let died: number | string | undefined;
void edge.ended.then((result) => {
  died = result;
});
const bystander = start<Witnessed>("bystander", [...on(1), ...first]);
const attacker = start<Attacked[]>("attacker", on(1));
setPriority(
  attacker.pid,
  Math.min(getPriority() + constants.priority.PRIORITY_BELOW_NORMAL, constants.priority.PRIORITY_LOW),
);
bystander.send({ socketPath: edge.unixPath });
const { httpPort, httpsPort, unixPath, ca, alice, mallory } = edge;
attacker.send({ edge: { httpPort, httpsPort, unixPath, ca, alice, mallory }, only: values.only });

interface Round {
  readonly quietMs: number;
  readonly attackedMs: number;
  readonly residentBytes: number;
  readonly attacks: readonly Attacked[];
  readonly turns: readonly LongTurn[];
  readonly calls: readonly BystanderCall[];
}

const statuses: Record<string, number> = {};
const rounds: Round[] = [];
/** What the bystander has called since the last time. */
async function takeCalls(): Promise<readonly BystanderCall[]> {
  const witnessed = await bystander.ask("take");
  for (const [status, count] of Object.entries(witnessed.statuses)) statuses[status] = (statuses[status] ?? 0) + count;
  return witnessed.calls;
}

function p99(calls: readonly BystanderCall[]): number {
  const tookMs = calls.map((call) => call.tookMs).sort((a, b) => a - b);
  return tookMs[Math.floor(tookMs.length * 0.99)] ?? 0;
}

/** The edge's own helper threads (the collector's, the compiler's) may run where there is room, as without pinning. */
function spreadHelpers(): void {
  if (!apart) return;
  for (const thread of readdirSync(`/proc/${edge.pid}/task`)) {
    if (thread !== String(edge.pid)) Bun.spawnSync(["taskset", "-p", "-c", "0,1", thread], { stderr: "ignore" });
  }
}

async function quietWindow(): Promise<number> {
  spreadHelpers();
  await Bun.sleep(SETTLE_MS);
  await takeCalls();
  await Bun.sleep(QUIET_MS);
  return p99(await takeCalls());
}

/** An earlier turn is forgotten with its line. */
function takeTurns(): LongTurn[] {
  const lines = readFileSync(turnsFile, "utf8").trim().split("\n").filter(Boolean);
  truncateSync(turnsFile);
  return lines.map((line) => JSON.parse(line) as LongTurn);
}

/** How long the loop was held: by work, or by a call that waited, but not while another process had its core. */
const heldMs = ({ wallMs, preemptedMs }: LongTurn): number => Math.max(0, wallMs - preemptedMs);
const longestOf = (turns: readonly LongTurn[], by: (turn: LongTurn) => number): number =>
  turns.reduce((longest, turn) => Math.max(longest, by(turn)), 0);
const nameOf = ({ atMs }: { readonly atMs: number }, attacks: readonly Attacked[]): string =>
  attacks.findLast(({ startMs, endMs }) => atMs >= startMs && atMs <= endMs + SETTLE_MS)?.name ?? "quiet";
const megabytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);
const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

const startMs = performance.now();
const endMs = startMs + minutes * 60_000;
let tries = 0;
let before = await quietWindow();
const COLUMNS = ["round", "minutes", "MiB", "files", "turn ms", "of CPU", "wall", "p99 quiet", "attacked", "ratio"];
const row = (cells: readonly (string | number)[]): string => cells.map((cell) => String(cell).padStart(9)).join(" ");
console.log(row(COLUMNS));
while (performance.now() < endMs && died === undefined) {
  takeTurns();
  await takeCalls();
  const attacks = await attacker.ask("round");
  const calls = await takeCalls();
  const attackedMs = p99(calls);
  const after = await quietWindow();
  const turns = takeTurns();
  const quietMs = (before + after) / 2;
  const round = { quietMs, attackedMs, residentBytes: edge.residentBytes(), attacks, turns, calls };
  before = after;
  rounds.push(round);
  for (const { ends } of attacks) tries += Object.values(ends).reduce((sum, count) => sum + count, 0);
  console.log(
    row([
      rounds.length,
      ((performance.now() - startMs) / 60_000).toFixed(1),
      megabytes(round.residentBytes),
      edge.openFiles(),
      longestOf(turns, heldMs).toFixed(1),
      longestOf(turns, ({ processorMs }) => processorMs).toFixed(1),
      longestOf(turns, ({ wallMs }) => wallMs).toFixed(1),
      round.quietMs.toFixed(2),
      attackedMs.toFixed(2),
      (attackedMs / round.quietMs).toFixed(2),
    ]),
  );
}

const judged = rounds.slice(Math.min(Math.ceil(rounds.length * WARM_UP), rounds.length - 1));
const quarter = Math.ceil(judged.length / 4);
/** What is left after a collection: a reading before one tells how much the rounds make, not how much they leave. */
const level = (part: readonly Round[]): number => Math.min(...part.map(({ residentBytes }) => residentBytes));
const growth = level(judged.slice(-quarter)) - level(judged.slice(0, quarter));
const turns = judged.flatMap((round) => round.turns);
const longestMs = longestOf(turns, heldMs);
const ratio = median(judged.map(({ quietMs, attackedMs }) => attackedMs / quietMs));
const counts: Record<string, number> = {};
for (const { attacks } of rounds) {
  for (const [end, count] of attacks.flatMap(({ ends }) => Object.entries(ends))) {
    for (const status of end.split("+")) counts[status] = (counts[status] ?? 0) + count;
  }
}
/** 501 and 505 are meant: a coding and a version that the edge does not speak. */
const failures = Object.entries(counts).filter(
  ([status]) => /^(served )?5\d\d$/.test(status) && !/50[15]/.test(status),
);
const log = edge.log().split("\n");
const defects = log.filter((line) => line.includes("defect"));
const refused = Object.entries(statuses).filter(([status]) => status !== "201");
const diedEarly = died;
bystander.end();
attacker.end();
const ended = await edge.stop();
rmSync(folder, { recursive: true, force: true });

console.log(
  `\n${tries} tries in ${rounds.length} rounds, of which ${judged.length} are judged: ${JSON.stringify(counts)}`,
);
console.log(
  "\nby attack, in ms: longest turn held (processor, wall), the bystander's p99; how many of its calls took twice the quiet p99",
);
const isLate = ({ tookMs }: BystanderCall): boolean =>
  tookMs > WAIT_RATIO_MAX * median(judged.map(({ quietMs }) => quietMs));
for (const name of [...new Set(judged[0]?.attacks.map((attack) => attack.name)), "quiet"]) {
  const its = judged.flatMap((round) => round.turns.filter((turn) => nameOf(turn, round.attacks) === name));
  const longest = [heldMs, ({ processorMs }: LongTurn) => processorMs, ({ wallMs }: LongTurn) => wallMs];
  const [held, processor, wall] = longest.map((by) => longestOf(its, by).toFixed(1));
  const called = judged.flatMap((round) => round.calls.filter((call) => nameOf(call, round.attacks) === name));
  console.log(
    `  ${name}: ${held} (${processor}, ${wall}), ${name === "quiet" ? "" : p99(called).toFixed(2)}; ${called.filter(isLate).length} of ${called.length}`,
  );
}
const promises: [what: string, holds: boolean][] = [
  [`the edge lived, and ended with ${ended}`, diedEarly === undefined && ended === 0],
  [`defects in the log: ${defects.length} ${defects[0] ?? ""}`, defects.length === 0],
  [`5xx that are not meant: ${JSON.stringify(Object.fromEntries(failures))}`, failures.length === 0],
  [
    `resident memory: the last quarter's lowest reading is ${megabytes(growth)} MiB above that of the first after the warm-up (at most 10)`,
    growth <= GROWTH_MAX,
  ],
  [
    `the longest turn of the event loop, without the time that another process had its core: ${longestMs.toFixed(1)} ms (at most 50)`,
    longestMs <= TURN_MS_MAX,
  ],
  [
    `a bystander's p99 under attack is ${ratio.toFixed(2)} times that in the quiet, the median of ${judged.length} windows (at most 2)`,
    ratio <= WAIT_RATIO_MAX,
  ],
  [`a bystander's calls without a key: ${JSON.stringify(Object.fromEntries(refused))}`, refused.length === 0],
];
console.log("");
for (const [what, holds] of promises) console.log(`${holds ? "holds" : "FAILS"}  ${what}`);
const failed = promises.filter(([, holds]) => !holds).length;
console.log(`abuse: ${promises.length - failed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);

interface Companion<Answer> {
  readonly pid: number;
  send(message: unknown): void;
  /** Sends, and waits for the next message. */
  ask(message: unknown): Promise<Answer>;
  end(): void;
}

/** A process of `scripts/abuse/`. */
function start<Answer>(name: string, startedBy: readonly string[]): Companion<Answer> {
  let answer: (message: Answer) => void = () => undefined;
  const child = Bun.spawn([...startedBy, process.execPath, join(import.meta.dir, "abuse", `${name}.ts`)], {
    stdio: ["ignore", "inherit", "inherit"],
    ipc: (message) => answer(message as Answer),
  });
  process.once("exit", () => child.kill("SIGKILL"));
  return {
    pid: child.pid,
    send: (message) => void child.send(message),
    ask: (message) =>
      new Promise((resolve, reject) => {
        answer = resolve;
        void child.exited.then((code) => reject(new Error(`the ${name} ended with ${code}`)));
        child.send(message);
      }),
    end: () => child.kill("SIGKILL"),
  };
}

function fail(message: string): never {
  console.error(message);
  process.exit(2);
}
