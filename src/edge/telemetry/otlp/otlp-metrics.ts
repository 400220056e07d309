/** How the exporter fares. */
import type { MetricDefinition } from "../metrics.ts";

export type OtlpSignal = "traces" | "logs";

interface Figures {
  sent: number;
  refused: number;
  errors: number;
}

export class OtlpFigures implements Record<OtlpSignal, Figures> {
  readonly traces: Figures = { sent: 0, refused: 0, errors: 0 };
  readonly logs: Figures = { sent: 0, refused: 0, errors: 0 };
}

/** `dropped`: spans that found no room in the queue. */
export function otlpMetrics(figures: OtlpFigures, dropped: () => number): MetricDefinition[] {
  const signal = "`traces`, `logs`";
  const each = (figure: keyof Figures) => () =>
    (["traces", "logs"] as const).map((name) => ({ labels: { signal: name }, value: figures[name][figure] }));
  return [
    {
      name: "crypto_edge_otlp_sent_total",
      type: "counter",
      help: "Spans and log records that the collector took.",
      labels: { signal },
      read: each("sent"),
    },
    {
      name: "crypto_edge_otlp_refused_total",
      type: "counter",
      help: "Spans and log records that the collector refused for good: lost.",
      labels: { signal },
      read: each("refused"),
    },
    {
      name: "crypto_edge_otlp_errors_total",
      type: "counter",
      help: "Requests to the collector that failed; what was in them is sent again unless it was refused for good.",
      labels: { signal },
      read: each("errors"),
    },
    {
      name: "crypto_edge_otlp_dropped_spans_total",
      type: "counter",
      help: 'Spans lost for want of room; audit lines are counted in `crypto_edge_audit_dropped_events_total` with `sink="otlp"`.',
      read: () => [{ value: dropped() }],
    },
  ];
}
