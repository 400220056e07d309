/**
 * The registry behind /metrics. The edge's own figures are read where they are kept at the moment of the scrape: nothing is told
 * to this registry on the path of a request.
 */
import { createPluginMetrics, type PluginMetrics } from "./plugin-metrics.ts";

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

  /** The answer to a scrape: Prometheus's text format, version 0.0.4. */
  text(): string {
    return this.definitions.map(family).join("\n");
  }

  /** What the plugin of this name is lent. */
  forPlugin(plugin: string): PluginMetrics {
    return createPluginMetrics(plugin, (definition) => this.add(definition));
  }
}

function family(definition: MetricDefinition): string {
  const { name, help, type } = definition;
  const lines = [`# HELP ${name} ${help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}`, `# TYPE ${name} ${type}`];
  for (const { metricName = name, labels = {}, value } of definition.read()) {
    lines.push(`${metricName}${labelsOf(labels)} ${numberOf(value)}`);
  }
  return `${lines.join("\n")}\n`;
}

function labelsOf(labels: Labels): string {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}="${value.replace(/[\\"\n]/g, escaped)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escaped(character: string): string {
  return character === "\n" ? "\\n" : `\\${character}`;
}

function numberOf(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  return value === Number.NEGATIVE_INFINITY ? "-Inf" : String(value);
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
