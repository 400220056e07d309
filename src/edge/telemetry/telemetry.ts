/** The metrics of one edge, and what they are measured with. */
import type { Clock } from "../../base/time/clock.ts";
import { edgeMetrics, type MetricSources } from "./edge-metrics.ts";
import { EventLoopDelay } from "./event-loop-delay.ts";
import { Metrics } from "./metrics.ts";
import { OperationLatency } from "./operation-latency.ts";

export interface Telemetry {
  readonly metrics: Metrics;
  readonly latency: OperationLatency;
  /** Names where the figures are; once, when all modules are there. */
  observe(sources: Omit<MetricSources, "clock" | "latency" | "eventLoop">): void;
  close(): void;
}

export function createTelemetry(clock: Clock): Telemetry {
  const metrics = new Metrics();
  const latency = new OperationLatency(clock);
  const eventLoop = new EventLoopDelay(clock);
  return {
    metrics,
    latency,
    observe: (sources) => metrics.add(...edgeMetrics({ ...sources, clock, latency, eventLoop })),
    close: () => eventLoop.close(),
  };
}
