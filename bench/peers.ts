/** Other ways to the same end on the same machine, in the same run: a data key wrapped, and opened. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import type { Opened } from "../src/edge/operations/operations.ts";
import { createOperations } from "../src/edge/operations/pipeline.ts";
import type { BenchContext } from "./harness/context.ts";
import { allowAll, CALLER, heldLeases, ignoreAll } from "./harness/edge-in-process.ts";
import { compare, interleave, median, ratePerCpuSecond } from "./harness/rounds.ts";
import { type Row, row } from "./harness/row.ts";

export const about = "node:crypto by hand on Node, in process (servers: peer-servers)";

interface Figures {
  /** Operations per second of processor time. */
  readonly perSecond: number;
  /** Of single operations by the clock, in microseconds. */
  readonly p50: number;
  readonly p99: number;
}

interface Rates {
  readonly create: Figures;
  readonly decrypt: Figures;
}

export async function run(context: BenchContext): Promise<Row[]> {
  const node = Bun.which("node");
  if (node === null) {
    context.say("skipped: there is no Node here (https://nodejs.org)");
    return [];
  }

  const edge = createOperations({ access: allowAll, leases: heldLeases(), recorder: ignoreAll });
  const request = { tenant: "tenant-a", service: "billing" };
  const blob = edge.createKey(CALLER, request) as { wrapped: Uint8Array };
  const run = (script: string) => (): Rates =>
    JSON.parse(execFileSync(node, [script, String(context.sampleMs)], { encoding: "utf8" })) as Rates;
  const figures = (operation: () => void): Figures => ({
    perSecond: ratePerCpuSecond(operation, context.sampleMs),
    ...percentiles(operation),
  });
  const own = (): Rates => ({
    create: figures(() => void edge.createKey(CALLER, request)),
    decrypt: figures(() => {
      const { plaintext } = edge.decryptKey(CALLER, blob) as Opened;
      plaintext.fill(0);
    }),
  });
  const byHand = join(context.root, "bench/peers/node-by-hand.mjs");
  const peers: Record<string, () => Rates> = { "node:crypto by hand, on Node": run(byHand) };

  const rates = new Map<string, Rates[]>();
  const sample = (name: string, measure: () => Rates) => () => {
    const found = measure();
    rates.set(name, [...(rates.get(name) ?? []), found]);
    return found.create.perSecond;
  };
  const candidates = { own: sample("own", own), ...mapEntries(peers, sample) };
  await interleave(candidates, Math.min(context.rounds, 5));
  const figuresOf = (name: string, operation: keyof Rates, figure: keyof Figures): number[] =>
    rates.get(name)!.map((found) => found[operation][figure]);
  const times = (name: string, operation: keyof Rates): string =>
    (["p50", "p99"] as const)
      .map((figure) => `${figure} ${median(figuresOf(name, operation, figure)).toFixed(1)} µs`)
      .join(", ");
  return Object.keys(peers).flatMap((name) =>
    (["create", "decrypt"] as const).map((operation) =>
      row({
        name: `peers: ${operation}, crypto-edge in process against ${name}`,
        ...compare(figuresOf("own", operation, "perSecond"), figuresOf(name, operation, "perSecond")),
        baselineName: name,
        unit: "ops/s of one core",
        note: `${times("own", operation)}; ${name}: ${times(name, operation)}`,
      }),
    ),
  );
}

function percentiles(operation: () => void): Pick<Figures, "p50" | "p99"> {
  const took = new Float64Array(20_000);
  for (let index = 0; index < took.length; index++) {
    const started = performance.now();
    operation();
    took[index] = (performance.now() - started) * 1000;
  }
  took.sort();
  return { p50: took[10_000]!, p99: took[19_800]! };
}

function mapEntries<T, U>(record: Record<string, T>, map: (name: string, value: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(name, value)]));
}
