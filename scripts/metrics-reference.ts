/** docs/metrics.md, made from the metrics themselves: `bun run scripts/metrics-reference.ts` writes it. */
import { writeFileSync } from "node:fs";
import { CertificateExpiry } from "../src/base/pki/certificate-expiry.ts";
import { systemClock } from "../src/base/time/system-clock.ts";
import { createLeaseCounters } from "../src/edge/cache/lease-events.ts";
import { chainMetrics, hookMetrics } from "../src/edge/plugin-host/metrics.ts";
import { certificateMetrics } from "../src/edge/telemetry/certificate-metrics.ts";
import { metricsReference } from "../src/edge/telemetry/metrics.ts";
import { OtlpFigures, otlpMetrics } from "../src/edge/telemetry/otlp/otlp-metrics.ts";
import { readinessMetric } from "../src/edge/telemetry/readiness-metric.ts";
import { createTelemetry } from "../src/edge/telemetry/telemetry.ts";

const INTRODUCTION = `# Metrics

What \`/metrics\` tells, in Prometheus's text format, or in OpenMetrics for who asks for that: it has
[exemplars](opentelemetry.md#exemplars). A listener serves it where \`status\` is true, and the listener that \`metrics.listen\` names. [operations.md](operations.md#what-to-alert-on) says which of these to alert on.

No label holds the name of a tenant, a service or a principal: how many series there are does not depend on callers. What
was done for whom goes to the Core, as usage.

`;

const AFTER = `
A plugin's own metrics are called \`crypto_edge_plugin_<plugin>_<name>\`. They have no labels, and a plugin has at most 100.
`;

export function metricsReferencePage(): string {
  const telemetry = createTelemetry(systemClock);
  const notRead = (): never => {
    throw new Error("the reference reads no figure");
  };
  telemetry.observe({
    leases: { counters: createLeaseCounters(), summary: notRead },
    revocation: notRead,
    usage: notRead,
    keyMemory: notRead,
    cipher: notRead,
    log: { suppressed: 0 },
  });
  telemetry.metrics.add(
    readinessMetric(() => true),
    ...certificateMetrics(new CertificateExpiry(systemClock, { warn() {}, error() {} }), systemClock),
    ...chainMetrics({ status: notRead } as unknown as Parameters<typeof chainMetrics>[0]),
    ...otlpMetrics(new OtlpFigures(), notRead),
    ...hookMetrics({ counters: [{}] } as unknown as Parameters<typeof hookMetrics>[0]),
  );
  telemetry.close();
  return `${INTRODUCTION}${metricsReference(telemetry.metrics)}${AFTER}`;
}

if (import.meta.main) writeFileSync("docs/metrics.md", metricsReferencePage());
