/**
 * bun run simulate --seeds N --from S      histories, each with all invariants checked after each step
 * bun run simulate --authorities …          authorities other than the Core give orders too
 * bun run simulate --seeds N --bug NAME    the same with a planted bug (a part of its name)
 * bun run simulate digests [--seeds N]     the saved histories again: none may have changed
 * bun run simulate fleet --svg FILE        10,000 edges, and what the Core sees of them
 */
import { parseArgs } from "node:util";
import { PLANTED_AUTHORITY_BUGS, PLANTED_BUGS } from "./bugs.ts";
import { simulate } from "./simulate.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seeds: { type: "string", default: "100" },
    from: { type: "string", default: "1" },
    bug: { type: "string" },
    authorities: { type: "boolean", default: false },
    svg: { type: "string" },
    edges: { type: "string", default: "10000" },
    keys: { type: "string", default: "50" },
  },
});

const BUGS = [...PLANTED_BUGS, ...PLANTED_AUTHORITY_BUGS];

if (positionals[0] === "fleet") {
  const { reportFleet } = await import("./fleet.ts");
  await reportFleet({ edges: Number(values.edges), keys: Number(values.keys), svg: values.svg });
} else if (positionals[0] === "digests") {
  const { changedDigests, savedDigests } = await import("./digests.ts");
  const wanted = process.argv.includes("--seeds") ? Number(values.seeds) : Number.POSITIVE_INFINITY;
  const seeds = [...savedDigests().keys()].slice(0, wanted);
  const changed = await changedDigests(seeds);
  for (const line of changed) console.log(line);
  console.log(`${seeds.length} saved histories: ${changed.length} have changed`);
  process.exitCode = changed.length === 0 ? 0 : 1;
} else {
  process.exitCode = await histories(Number(values.from), Number(values.seeds), values.bug);
}

async function histories(from: number, seeds: number, bugName: string | undefined): Promise<number> {
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(seeds) || seeds < 1) {
    console.error("--seeds and --from take whole numbers.");
    return 2;
  }
  const bug = bugName === undefined ? undefined : BUGS.find(({ name }) => name.includes(bugName));
  if (bugName !== undefined && bug === undefined) {
    console.error(`No planted bug has "${bugName}" in its name. There are:`);
    for (const { name } of BUGS) console.error(`  ${name}`);
    return 2;
  }
  const startedMs = performance.now();
  const totals = { virtualMs: 0, steps: 0, uses: 0, calls: 0, revocations: 0 };
  let violations = 0;
  for (let seed = from; seed < from + seeds; seed++) {
    const outcome = await simulate(seed, bug, { authorities: values.authorities });
    for (const name of Object.keys(totals) as (keyof typeof totals)[]) totals[name] += outcome[name];
    if (outcome.violation !== undefined) {
      violations++;
      const bugPart = bugName === undefined ? "" : ` --bug "${bugName}"`;
      console.log(
        `seed ${seed}, at ${(outcome.atMs / 1_000).toFixed(3)} s: ${outcome.violation}\n` +
          `  again: bun run simulate --seeds 1 --from ${seed}${bugPart}`,
      );
    }
    const done = seed - from + 1;
    if (done % 10_000 === 0 && done < seeds) console.log(`${done} histories, ${violations} with a violation`);
  }
  const seconds = (performance.now() - startedMs) / 1_000;
  console.log(
    `${seeds} histories from seed ${from}: ${violations} with a violation. ` +
      `${Math.round(totals.virtualMs / 3_600_000)} virtual hours in ${seconds.toFixed(0)} s, ` +
      `${count(totals.steps)} steps, ${count(totals.uses)} keys used, ` +
      `${count(totals.calls)} lease calls, ${count(totals.revocations)} revocation events.`,
  );
  return violations === 0 ? 0 : 1;
}

function count(value: number): string {
  return value.toLocaleString("en-US");
}
