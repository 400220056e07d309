import { expect, test } from "bun:test";
import { simulateTwoCores } from "./two-cores.ts";

const SEEDS = 12;
const SEEDS_PER_BUG = 40;

test(`${SEEDS} histories of edges over two Cores and one store: no key is used past its revocation`, async () => {
  let uses = 0;
  let revocations = 0;
  let faults = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const outcome = await simulateTwoCores(seed);
    if (outcome.violation !== undefined) throw new Error(`seed ${seed}: ${outcome.violation}`);
    uses += outcome.uses;
    revocations += outcome.revocations;
    faults += outcome.faults;
  }
  // It must not pass for want of anything happening.
  expect(uses).toBeGreaterThan(SEEDS * 2_000);
  expect(revocations).toBeGreaterThan(SEEDS * 10);
  expect(faults).toBeGreaterThan(SEEDS * 2);
}, 240_000);

test("Cores that vouch for what they can't know are found out", async () => {
  for (let seed = 1; seed <= SEEDS_PER_BUG; seed++) {
    if ((await simulateTwoCores(seed, "vouching")).violation !== undefined) return;
  }
  throw new Error(`${SEEDS_PER_BUG} histories did not show it`);
}, 240_000);
