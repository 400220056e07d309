/**
 * What each seed's history came to, saved: a change of the guard or the lease cache that is to change nothing leaves every
 * line equal. `npm run simulate -- digests` compares all of them; a sample is a unit test.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Outcome, simulate } from "./simulate.ts";

/** `seed digest steps uses calls revocations passed virtualMs`, one history a line. */
export const DIGESTS = join(import.meta.dir, "digests.txt");

export function digestLine({ seed, digest, steps, uses, calls, revocations, passed, virtualMs }: Outcome): string {
  return [seed, digest, steps, uses, calls, revocations, passed, virtualMs].join(" ");
}

/** The saved lines by their seeds. */
export function savedDigests(): ReadonlyMap<number, string> {
  const lines = readFileSync(DIGESTS, "utf8").trimEnd().split("\n");
  return new Map(lines.map((line) => [Number(line.split(" ", 1)[0]), line]));
}

/** Simulates the seeds again; gives those whose history is another one now. */
export async function changedDigests(seeds: Iterable<number>): Promise<string[]> {
  const saved = savedDigests();
  const changed: string[] = [];
  for (const seed of seeds) {
    const now = digestLine(await simulate(seed));
    if (now !== saved.get(seed)) changed.push(`${now} (was ${saved.get(seed)})`);
  }
  return changed;
}
