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

/** What is a number, or may be one, in `Source`. */
type FigureOf<Source> = {
  [Name in keyof Source]-?: Source[Name] extends number | undefined ? Name : never;
}[keyof Source];

/**
 * Reads figures of what `source` gives at the scrape, each by its name there: one function for all, since functions are paid for at each
 * collection. `scale` turns milliseconds into seconds.
 */
export function figuresOf<Source extends object>(
  source: () => Source | undefined,
): (name: FigureOf<Source>, scale?: number) => () => number | undefined {
  return (name, scale = 1) =>
    () => {
      const value = source()?.[name] as number | undefined;
      return value === undefined ? undefined : value * scale;
    };
}

export const MS_IN_SECONDS = 1 / 1000;
