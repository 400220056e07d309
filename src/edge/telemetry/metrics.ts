/**
 * The registry behind /metrics. The edge's own figures are read where they are kept at the moment of the scrape: nothing is told
 * to this registry on the path of a request. Prometheus text by `prom-client`.
 */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { PluginMetrics } from "../plugin-host/plugin.ts";

export type MetricType = "counter" | "gauge" | "histogram";
export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly labels?: Labels;
  readonly value: number;
  /** Of a histogram's parts: the name with `_bucket`, `_sum` or `_count`. */
  readonly metricName?: string;
}

export interface MetricDefinition {
  readonly name: string;
  readonly type: MetricType;
  /** One sentence, for the scrape and for docs/metrics.md. */
  readonly help: string;
  /** Names of the labels, each with the values that it can have: this bounds the series. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Called at each scrape; must be cheap and not throw. */
  read(): readonly Sample[];
}

/** A plugin is bounded too: its mistake must not fill the memory of the edge, or of who scrapes it. */
const METRICS_PER_PLUGIN = 100;

export class Metrics {
  readonly #registry = new Registry();
  readonly #definitions: MetricDefinition[] = [];

  readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;

  add(...definitions: readonly MetricDefinition[]): void {
    for (const definition of definitions) {
      this.#definitions.push(definition);
      const { name, help, type } = definition;
      // What the registry asks of a metric at a scrape.
      const metric = { name, help, type, get: () => ({ name, help, type, values: definition.read() }), reset() {} };
      this.#registry.registerMetric(metric as unknown as Gauge);
    }
  }

  get definitions(): readonly MetricDefinition[] {
    return this.#definitions;
  }

  /** The answer to a scrape. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  /** What the plugin of this name is lent. */
  forPlugin(plugin: string): PluginMetrics {
    const made = new Map<string, Counter | Gauge | Histogram>();
    const once = <M extends Counter | Gauge | Histogram>(
      kind: new (...args: never[]) => M,
      name: string,
      make: (fullName: string) => M,
    ): M => {
      const known = made.get(name);
      if (known instanceof kind) return known;
      if (known !== undefined) throw new Error(`The plugin ${plugin} has a metric ${name} of another kind.`);
      if (made.size >= METRICS_PER_PLUGIN) {
        throw new Error(`The plugin ${plugin} has ${METRICS_PER_PLUGIN} metrics, which is the most that it may have.`);
      }
      if (!/^[a-z][a-z0-9_]*$/.test(name)) {
        throw new Error(`A metric can't be called ${JSON.stringify(name)}: lower-case letters, digits and _ only.`);
      }
      const metric = make(`crypto_edge_plugin_${plugin.replaceAll("-", "_")}_${name}`);
      made.set(name, metric);
      return metric;
    };
    const registers = [this.#registry];
    return {
      counter(name, help) {
        const counter = once(Counter, name, (fullName) => new Counter({ name: fullName, help, registers }));
        return { add: (amount = 1) => amount >= 0 && counter.inc(amount) };
      },
      gauge(name, help) {
        const gauge = once(Gauge, name, (fullName) => new Gauge({ name: fullName, help, registers }));
        return { set: (value) => gauge.set(value) };
      },
      histogram(name, help, buckets) {
        const histogram = once(
          Histogram,
          name,
          (fullName) =>
            new Histogram({
              name: fullName,
              help,
              registers,
              ...(buckets === undefined ? undefined : { buckets: [...buckets] }),
            }),
        );
        return { observe: (value) => histogram.observe(value) };
      },
    };
  }
}

/** docs/metrics.md, from the registry itself. */
export function metricsReference(metrics: Metrics): string {
  const rows = metrics.definitions
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, type, help, labels = {} }) => {
      const shown = Object.entries(labels).map(([label, values]) => `\`${label}\`: ${values}`);
      return `| \`${name}\` | ${type} | ${shown.join("; ")} | ${help} |`;
    });
  return ["| name | type | labels | says |", "| --- | --- | --- | --- |", ...rows, ""].join("\n");
}
