/**
 * The registry behind /metrics. The edge's own figures are read where they are kept at the moment of the scrape: nothing is told
 * to this registry on the path of a request.
 */
import type { MetricsFormat } from "../../base/network/metrics-format.ts";
import { exposition } from "./exposition.ts";
import { createPluginMetrics, type PluginMetrics } from "./plugin-metrics.ts";

export type MetricType = "counter" | "gauge" | "histogram";
export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly labels?: Labels;
  readonly value: number;
  /** Of a histogram's parts: the name with `_bucket`, `_sum` or `_count`. */
  readonly metricName?: string;
  /** Of a histogram's bucket: one of the observations in it, and its trace. OpenMetrics alone has it. */
  readonly exemplar?: Exemplar | undefined;
}

export interface Exemplar {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** What was observed, in the metric's unit. */
  readonly value: number;
  /** When: milliseconds since 1970. */
  readonly wallMs: number;
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

export class Metrics {
  readonly #definitions = new Map<string, MetricDefinition>();

  add(...definitions: readonly MetricDefinition[]): void {
    for (const definition of definitions) {
      if (this.#definitions.has(definition.name)) throw new Error(`There are two metrics ${definition.name}.`);
      this.#definitions.set(definition.name, definition);
    }
  }

  get definitions(): readonly MetricDefinition[] {
    return [...this.#definitions.values()];
  }

  /** The answer to a scrape. */
  text(format: MetricsFormat): string {
    return exposition(this.definitions, format);
  }

  /** What the plugin of this name is lent. */
  forPlugin(plugin: string): PluginMetrics {
    return createPluginMetrics(plugin, (definition) => this.add(definition));
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
