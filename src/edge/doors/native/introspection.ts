/** What probes and scrapes ask: answered from here by both ways, since they come all the time. */
import { METRICS_TYPES, type MetricsFormat, metricsFormatFor } from "../../../base/network/metrics-format.ts";
import type { MaybePromise } from "../../operations/operations.ts";
import type { DoorAnswer, DoorRequestHead } from "../door.ts";
import { JSON_HEADERS } from "./serve-fast.ts";

export interface IntrospectionParts {
  /** What a probe is told. */
  readonly readiness: () => { readonly ready: boolean };
  /** What `/v1/status` tells. */
  readonly status: () => unknown;
  /** The text of `/metrics`. */
  readonly metrics: (format: MetricsFormat) => Promise<string>;
}

/** By the id of their route; the app answers the others. */
export const INTROSPECTION: Readonly<
  Record<string, (parts: IntrospectionParts, head: DoorRequestHead) => MaybePromise<DoorAnswer>>
> = {
  livez: () => json(200, { status: "live" }),
  readyz({ readiness }) {
    const told = readiness();
    return json(told.ready ? 200 : 503, told);
  },
  status: async ({ status }) => json(200, await status()),
  metrics: ({ metrics }, head) => answerMetrics(metrics, head),
};

/** In the format that the scraper asks for. */
export async function answerMetrics(
  metrics: IntrospectionParts["metrics"],
  { headers }: DoorRequestHead,
): Promise<DoorAnswer> {
  const format = metricsFormatFor(headers.get("accept"));
  return { status: 200, headers: { "Content-Type": METRICS_TYPES[format] }, body: await metrics(format) };
}

function json(status: number, value: unknown): DoorAnswer {
  return { status, headers: JSON_HEADERS, body: JSON.stringify(value) };
}
