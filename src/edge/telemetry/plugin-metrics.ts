/** What plugins may count and measure: metrics of their own, by their names, within bounds. */
import type { Exemplar, MetricDefinition, Sample } from "./metrics.ts";

/** A plugin is bounded too: its mistake must not fill the memory of the edge, or of who scrapes it. */
const METRICS_PER_PLUGIN = 100;
/** Upper bounds of a histogram that names none, in what it measures (seconds, mostly). */
const DEFAULT_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const;
const BUCKETS_MAX = 50;

/**
 * Metrics of the plugin's own, served at /metrics as `crypto_edge_plugin_<plugin>_<name>`. Asking twice for a name gives
 * the same one. No labels: a plugin can't make the number of time series grow with its traffic.
 */
export interface PluginMetrics {
  counter(name: string, help: string): { add(amount?: number): void };
  gauge(name: string, help: string): { set(value: number): void };
  histogram(name: string, help: string, buckets?: readonly number[]): { observe(value: number): void };
}

type Made =
  | { readonly type: "counter"; add(amount?: number): void }
  | { readonly type: "gauge"; set(value: number): void }
  | { readonly type: "histogram"; observe(value: number): void };

/** `add` puts a metric into the registry; it throws where the name is taken. */
export function createPluginMetrics(plugin: string, add: (definition: MetricDefinition) => void): PluginMetrics {
  const made = new Map<string, Made>();

  /** The metric of this name, made at the first time that it is asked for. */
  function once<Type extends Made["type"]>(
    type: Type,
    name: string,
    help: string,
    make: (fullName: string) => { metric: Extract<Made, { type: Type }>; read: () => readonly Sample[] },
  ): Extract<Made, { type: Type }> {
    const known = made.get(name);
    if (known?.type === type) return known as Extract<Made, { type: Type }>;
    if (known !== undefined) throw new Error(`The plugin ${plugin} has a metric ${name} of another kind.`);
    if (made.size >= METRICS_PER_PLUGIN) {
      throw new Error(`The plugin ${plugin} has ${METRICS_PER_PLUGIN} metrics, which is the most that it may have.`);
    }
    if (!/^[a-z][a-z0-9_]*$/.test(name)) {
      throw new Error(`A metric can't be called ${JSON.stringify(name)}: lower-case letters, digits and _ only.`);
    }
    const fullName = `crypto_edge_plugin_${plugin.replaceAll("-", "_")}_${name}`;
    const { metric, read } = make(fullName);
    add({ name: fullName, type, help, read });
    made.set(name, metric);
    return metric;
  }

  return {
    counter: (name, help) =>
      once("counter", name, help, () => {
        let value = 0;
        const add = (amount = 1): void => {
          if (amount >= 0) value += amount;
        };
        return { metric: { type: "counter", add }, read: () => [{ value }] };
      }),
    gauge: (name, help) =>
      once("gauge", name, help, () => {
        let value = 0;
        const set = (to: number): void => {
          value = to;
        };
        return { metric: { type: "gauge", set }, read: () => [{ value }] };
      }),
    histogram: (name, help, buckets = DEFAULT_BUCKETS) =>
      once("histogram", name, help, (fullName) => {
        const bounds = boundsOf(buckets);
        const counts = new Float64Array(bounds.length + 1);
        let sum = 0;
        const observe = (value: number): void => {
          const bucket = bounds.findIndex((bound) => value <= bound);
          counts[bucket < 0 ? bounds.length : bucket]! += 1;
          sum += value;
        };
        return { metric: { type: "histogram", observe }, read: () => histogramSamples(fullName, bounds, counts, sum) };
      }),
  };
}

/** The samples of a histogram as Prometheus has them: each bucket holds those below it, too. */
export function histogramSamples(
  name: string,
  bounds: readonly number[],
  counts: ArrayLike<number>,
  sum: number,
  labels: Readonly<Record<string, string>> = {},
  exemplars?: ReadonlyMap<number, Exemplar>,
): Sample[] {
  const samples: Sample[] = [];
  let cumulative = 0;
  for (let bucket = 0; bucket <= bounds.length; bucket++) {
    cumulative += counts[bucket]!;
    const le = bucket === bounds.length ? "+Inf" : String(bounds[bucket]);
    samples.push({
      metricName: `${name}_bucket`,
      labels: { ...labels, le },
      value: cumulative,
      exemplar: exemplars?.get(bucket),
    });
  }
  samples.push(
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: cumulative },
  );
  return samples;
}

function boundsOf(buckets: readonly number[]): readonly number[] {
  const rises = buckets.every((bound, index) => index === 0 || bound > buckets[index - 1]!);
  if (buckets.length <= BUCKETS_MAX && rises && buckets.every(Number.isFinite)) return [...buckets];
  throw new Error(`The buckets of a histogram are at most ${BUCKETS_MAX} numbers, each larger than the one before.`);
}
