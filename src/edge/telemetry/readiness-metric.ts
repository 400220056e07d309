/** Whether the edge can serve what it promised, as `/readyz` says it, read at the scrape. */
import type { MetricDefinition } from "./metrics.ts";

export function readinessMetric(isReady: () => boolean): MetricDefinition {
  return {
    name: "crypto_edge_ready",
    type: "gauge",
    help: "1 while the edge can serve what its configuration promises, as `/readyz` says; 0 while its next callers would be refused.",
    read: () => [{ value: isReady() ? 1 : 0 }],
  };
}
