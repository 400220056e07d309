/** How a metric of the edge's own is defined: by one figure, or by samples. */
import type { MetricDefinition, MetricType, Sample } from "./metrics.ts";

/** Undefined: there is no such figure now, and no line in the scrape. */
export type Value = number | undefined | readonly Sample[];

/** `name` is without the prefix `crypto_edge_`. */
export function metric(
  name: string,
  type: MetricType,
  help: string,
  read: () => Value,
  labels?: Readonly<Record<string, string>>,
): MetricDefinition {
  return {
    name: `crypto_edge_${name}`,
    type,
    help,
    ...(labels === undefined ? undefined : { labels }),
    read() {
      const value = read();
      if (value === undefined) return [];
      return typeof value === "number" ? [{ value }] : value;
    },
  };
}

/** Undefined stays undefined. */
export function seconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / 1000;
}
