/** When the certificates that the edge uses end, read at the scrape. */
import type { CertificateExpiry } from "../../base/pki/certificate-expiry.ts";
import type { Clock } from "../../base/time/clock.ts";
import type { MetricDefinition } from "./metrics.ts";

const DAY_MS = 86_400_000;

export function certificateMetrics(expiry: CertificateExpiry, clock: Clock): MetricDefinition[] {
  return [
    {
      name: "crypto_edge_certificate_days_left",
      type: "gauge",
      help: "Days until a certificate or revocation list that is in use ends; of a chain or a bundle the one that ends first. Negative once it has ended.",
      labels: { role: "the listener or connection that uses it", file: "its path" },
      read: () =>
        expiry.ends().map(({ role, file, notAfterMs }) => ({
          labels: { role, file },
          value: (notAfterMs - clock.wallMs()) / DAY_MS,
        })),
    },
  ];
}
