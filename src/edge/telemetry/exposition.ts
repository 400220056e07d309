/** Metrics as a scrape reads them: Prometheus's text format 0.0.4, or OpenMetrics 1.0.0. */
import type { MetricsFormat } from "../../base/network/metrics-format.ts";
import type { Exemplar, Labels, MetricDefinition } from "./metrics.ts";

export function exposition(definitions: readonly MetricDefinition[], format: MetricsFormat): string {
  if (format === "prometheus") return definitions.map((definition) => `${family(definition, format)}\n`).join("\n");
  return `${definitions.map((definition) => `${family(definition, format)}\n`).join("")}# EOF\n`;
}

function family(definition: MetricDefinition, format: MetricsFormat): string {
  const { name, help } = definition;
  const isOpen = format === "openmetrics";
  // There a counter's family has the name without the ending, and must have the ending in its sample: the series is the same in both.
  const isCounter = definition.type === "counter";
  const familyName = isOpen && isCounter ? name.replace(/_total$/, "") : name;
  const type = isOpen && isCounter && !name.endsWith("_total") ? "unknown" : definition.type;
  const helped = help.replace(isOpen ? /[\\"\n]/g : /[\\\n]/g, escaped);
  const lines = [`# HELP ${familyName} ${helped}`, `# TYPE ${familyName} ${type}`];
  for (const { metricName = name, labels = {}, value, exemplar } of definition.read()) {
    const line = `${metricName}${labelsOf(labels)} ${numberOf(value)}`;
    lines.push(isOpen && exemplar !== undefined ? `${line} # ${exemplarOf(exemplar)}` : line);
  }
  return lines.join("\n");
}

function exemplarOf({ traceId, value, wallMs }: Exemplar): string {
  return `${labelsOf({ trace_id: traceId })} ${numberOf(value)} ${(wallMs / 1000).toFixed(3)}`;
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
