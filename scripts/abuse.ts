/**
 * Mixed abuse of a running edge for a while: its memory and open files after each round, its longest turn, and what a caller who does
 * nothing wrong had to wait. `sh scripts/bun.sh scripts/abuse.ts --minutes 60` (docs/security.md has figures). Only ever against an
 * edge that it starts itself on 127.0.0.1; every attack is bounded in count and time. Needs `npm run build` first.
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { startAttackedEdge } from "../test/support/attacked-edge.ts";
import { ATTACKS, manyConnections } from "../test/support/attacks.ts";
import type { Witnessed } from "./abuse-bystander.ts";

const MINUTES_MAX = 120;
/** How much more the edge may hold in the second half than in the first, in bytes. */
const GROWTH_MAX = 10 * 2 ** 20;
const TURN_MAX_SECONDS = 0.05;
/** The bystander's p99 under attack, as a multiple of its p99 in the quiet between the rounds. */
const WAIT_RATIO_MAX = 2;
const QUIET_MS = 3_000;

const { values } = parseArgs({ options: { minutes: { type: "string", default: "10" } } });
const minutes = Number(values.minutes);
if (!(minutes > 0 && minutes <= MINUTES_MAX)) fail(`--minutes takes a number up to ${MINUTES_MAX}`);
const binary = resolve(import.meta.dir, "../dist/crypto-edge");
if (!existsSync(binary)) fail("dist/crypto-edge is missing: run `npm run build` first");

const edge = await startAttackedEdge({ binary, limits: { request_timeout: "5s", max_connections: 5_000 } });
const megabytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(0).padStart(6);
const endMs = performance.now() + minutes * 60_000;
const resident: number[] = [];
let tries = 0;
let died: number | string | undefined;
void edge.ended.then((result) => {
  died = result;
});

const bystander = new Worker(new URL("./abuse-bystander.ts", import.meta.url));
bystander.postMessage({ socketPath: edge.unixPath });
const quiet: number[] = [];
const attacked: number[] = [];
const statuses: Record<string, number> = {};
let longestTurnSeconds = 0;

/** What the bystander saw since the last time. */
async function witness(into: number[]): Promise<void> {
  const witnessed = await new Promise<Witnessed>((resolve) => {
    bystander.onmessage = ({ data }: MessageEvent<Witnessed>) => resolve(data);
    bystander.postMessage("take");
  });
  for (const ms of witnessed.tookMs) into.push(ms);
  for (const [status, count] of Object.entries(witnessed.statuses)) statuses[status] = (statuses[status] ?? 0) + count;
  longestTurnSeconds = Math.max(longestTurnSeconds, witnessed.longestTurnSeconds);
}

// The code of the first calls is not compiled yet: neither quiet nor attacked.
await Bun.sleep(QUIET_MS);
await witness([]);
longestTurnSeconds = 0;
await Bun.sleep(QUIET_MS);
await witness(quiet);

console.log("round   minutes   resident MiB   open files   longest turn ms   tries so far");
for (let round = 1; performance.now() < endMs && died === undefined; round++) {
  for (const attack of ATTACKS) {
    const ends = await attack.run(edge);
    tries += Object.values(ends).reduce((sum, count) => sum + count, 0);
  }
  for (const transport of ["http", "https"] as const) {
    const ends = await manyConnections(edge, transport, transport === "http" ? 2_000 : 400);
    tries += Object.values(ends).reduce((sum, count) => sum + count, 0);
  }
  await witness(attacked);
  await Bun.sleep(QUIET_MS);
  await witness(quiet);
  resident.push(edge.residentBytes());
  const passed = (minutes - (endMs - performance.now()) / 60_000).toFixed(1);
  console.log(
    `${String(round).padStart(5)}   ${passed.padStart(7)}   ${megabytes(resident.at(-1)!).padStart(12)}   ${String(edge.openFiles()).padStart(10)}   ${(longestTurnSeconds * 1e3).toFixed(1).padStart(15)}   ${String(tries).padStart(12)}`,
  );
}

const defects = edge
  .log()
  .split("\n")
  .filter((line) => line.includes("defect")).length;
/** The median: one round's peak says when the collector ran, not what is kept. */
const levelOf = (half: readonly number[]): number => [...half].sort((a, b) => a - b)[Math.floor(half.length / 2)]!;
const middle = Math.ceil(resident.length / 2);
const growth = resident.length < 4 ? 0 : levelOf(resident.slice(middle)) - levelOf(resident.slice(0, middle));
const p99 = (sorted: readonly number[]): number => sorted[Math.floor(sorted.length * 0.99)] ?? 0;
const [quietMs, attackedMs] = [quiet, attacked].map((took) => p99(took.sort((a, b) => a - b))) as [number, number];
const refused = Object.entries(statuses).filter(([status]) => status !== "201");
bystander.terminate();
const diedEarly = died;
const ended = await edge.stop();

const promises: [what: string, holds: boolean][] = [
  [`the edge lived, and ended with ${ended}`, diedEarly === undefined && ended === 0],
  [`defects in the log: ${defects}`, defects === 0],
  [
    `resident memory: the median of the second half is ${megabytes(growth).trim()} MiB above that of the first (at most 10)`,
    growth <= GROWTH_MAX,
  ],
  [
    `the longest turn of the event loop: ${(longestTurnSeconds * 1e3).toFixed(1)} ms (at most 50)`,
    longestTurnSeconds <= TURN_MAX_SECONDS,
  ],
  [
    `a bystander's calls: p99 ${attackedMs.toFixed(2)} ms under attack, ${quietMs.toFixed(2)} ms between (at most twice)`,
    attackedMs <= quietMs * WAIT_RATIO_MAX,
  ],
  [`a bystander's calls without a key: ${JSON.stringify(Object.fromEntries(refused))}`, refused.length === 0],
];
console.log(`\n${tries} tries`);
for (const [what, holds] of promises) console.log(`${holds ? "holds" : "FAILS"}  ${what}`);
const failed = promises.filter(([, holds]) => !holds).length;
console.log(`abuse: ${promises.length - failed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);

function fail(message: string): never {
  console.error(message);
  process.exit(2);
}
