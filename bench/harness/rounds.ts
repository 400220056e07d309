/** Interleaved rounds: what is compared runs in turns, so that a noisy neighbour meets all of it alike. */

/** Measures once and answers the figure. */
export type Sample = () => number | Promise<number>;

/** Each candidate's figures, one a round. */
export type Samples<Name extends string> = Record<Name, number[]>;

/**
 * Runs every candidate once a round, in an order that turns from round to round. A first round that is not counted lets
 * compilers and caches settle.
 */
export async function interleave<Name extends string>(
  candidates: Record<Name, Sample>,
  rounds: number,
): Promise<Samples<Name>> {
  const names = Object.keys(candidates) as Name[];
  const samples = Object.fromEntries(names.map((name) => [name, []])) as unknown as Samples<Name>;
  for (const name of names) await candidates[name]();
  for (let round = 0; round < rounds; round++) {
    for (let place = 0; place < names.length; place++) {
      const name = names[(round + place) % names.length]!;
      samples[name].push(await candidates[name]());
    }
  }
  return samples;
}

/** The median of the rounds' own ratios: a round that was disturbed as a whole counts as little as any other. */
export function compare(values: readonly number[], baselines: readonly number[]) {
  const ratios = values.map((value, round) => value / baselines[round]!);
  return { value: median(values), baseline: median(baselines), ratio: median(ratios), spread: spread(ratios) };
}

export function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** (highest - lowest) / median. */
export function spread(values: readonly number[]): number {
  return (Math.max(...values) - Math.min(...values)) / median(values);
}

/**
 * Operations per second of one core's processor time, of a synchronous `operation` called for about `forMs`. Processor
 * time (that of the collector's threads included), so that other programs on the machine don't count against it.
 */
export function ratePerCpuSecond(operation: () => void, forMs: number): number {
  const startedCpu = process.cpuUsage();
  const started = performance.now();
  let calls = 0;
  do {
    // Reading the clock costs as much as a tenth of a wrap: once in a while is enough.
    for (let index = 0; index < 256; index++) operation();
    calls += 256;
  } while (performance.now() - started < forMs);
  const { user, system } = process.cpuUsage(startedCpu);
  return calls / ((user + system) / 1e6);
}
