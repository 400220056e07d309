/**
 * Mixed abuse of a running edge for a while, with its memory and open files after each round:
 * `sh scripts/bun.sh scripts/abuse.ts --minutes 60` (docs/security.md has figures). Only ever against an edge that it starts
 * itself on 127.0.0.1; every attack is bounded in count and time. Needs `npm run build` first.
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { startAttackedEdge } from "../test/support/attacked-edge.ts";
import { ATTACKS, manyConnections } from "../test/support/attacks.ts";

const MINUTES_MAX = 120;
/** How much more the edge may hold after the second half than after the first, in bytes: noise of a collector. */
const GROWTH_MAX = 48 * 2 ** 20;

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

console.log("round   minutes   resident MiB   open files   tries so far");
for (let round = 1; performance.now() < endMs && died === undefined; round++) {
  for (const attack of ATTACKS) {
    const ends = await attack.run(edge);
    tries += Object.values(ends).reduce((sum, count) => sum + count, 0);
  }
  for (const transport of ["http", "https"] as const) {
    const ends = await manyConnections(edge, transport, transport === "http" ? 2_000 : 400);
    tries += Object.values(ends).reduce((sum, count) => sum + count, 0);
  }
  await Bun.sleep(2_000);
  resident.push(edge.residentBytes());
  const passed = (minutes - (endMs - performance.now()) / 60_000).toFixed(1);
  console.log(
    `${String(round).padStart(5)}   ${passed.padStart(7)}   ${megabytes(resident.at(-1)!).padStart(12)}   ${String(edge.openFiles()).padStart(10)}   ${String(tries).padStart(12)}`,
  );
}

const defects = edge
  .log()
  .split("\n")
  .filter((line) => line.includes("defect")).length;
const peakOf = (half: readonly number[]): number => Math.max(...half);
const middle = Math.ceil(resident.length / 2);
const growth = resident.length < 4 ? 0 : peakOf(resident.slice(middle)) - peakOf(resident.slice(0, middle));
const diedEarly = died;
const ended = await edge.stop();
console.log(`\n${tries} tries; the peak of the second half is ${megabytes(growth).trim()} MiB above that of the first`);
console.log(`defects in the log: ${defects}; ended with ${ended}`);
const failed = diedEarly !== undefined || defects > 0 || growth > GROWTH_MAX || ended !== 0;
console.log(failed ? "abuse: 0 passed, 1 failed" : "abuse: 1 passed, 0 failed");
process.exit(failed ? 1 : 0);

function fail(message: string): never {
  console.error(message);
  process.exit(2);
}
