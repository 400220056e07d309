/** Prometheus's text format, read as far as `top` needs it. https://prometheus.io/docs/instrumenting/exposition_formats/ */

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** By the metric's name. */
export type Samples = ReadonlyMap<string, readonly Sample[]>;

const LINE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g;

export function parseSamples(text: string): Samples {
  const samples = new Map<string, Sample[]>();
  for (const line of text.split("\n")) {
    const [, name, labels, value] = LINE.exec(line) ?? [];
    if (name === undefined) continue;
    const sample = {
      labels: Object.fromEntries([...(labels ?? "").matchAll(LABEL)].map(([, key, inner]) => [key!, inner!])),
      value: Number(value),
    };
    const others = samples.get(name);
    if (others === undefined) samples.set(name, [sample]);
    else others.push(sample);
  }
  return samples;
}

/** The sum over all samples of a name whose labels hold; undefined where there is none. */
export function sumOf(
  samples: Samples,
  name: string,
  holds: (labels: Sample["labels"]) => boolean = () => true,
): number | undefined {
  const found = (samples.get(name) ?? []).filter(({ labels }) => holds(labels));
  return found.length === 0 ? undefined : found.reduce((sum, { value }) => sum + value, 0);
}

/**
 * A quantile of what a histogram has counted between two looks, as Prometheus estimates it: linear within the bucket. Undefined where
 * nothing was counted; infinite beyond the last bucket.
 */
export function quantileBetween(now: Samples, before: Samples, name: string, quantile: number): number | undefined {
  const buckets = new Map<number, number>();
  for (const [samples, sign] of [
    [now, 1],
    [before, -1],
  ] as const) {
    for (const { labels, value } of samples.get(`${name}_bucket`) ?? []) {
      const bound = labels.le === "+Inf" ? Number.POSITIVE_INFINITY : Number(labels.le);
      buckets.set(bound, (buckets.get(bound) ?? 0) + sign * value);
    }
  }
  const bounds = [...buckets.keys()].sort((a, b) => a - b);
  const total = buckets.get(Number.POSITIVE_INFINITY) ?? 0;
  if (total <= 0) return undefined;
  const rank = quantile * total;
  let lower = 0;
  let below = 0;
  for (const bound of bounds) {
    const upTo = buckets.get(bound)!;
    if (upTo >= rank) {
      if (bound === Number.POSITIVE_INFINITY) return bound;
      return lower + (bound - lower) * ((rank - below) / Math.max(1, upTo - below));
    }
    lower = bound;
    below = upTo;
  }
  return Number.POSITIVE_INFINITY;
}
