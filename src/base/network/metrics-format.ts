/** The two texts that a scrape can be answered with: Prometheus's own, and OpenMetrics, which has exemplars. */
export type MetricsFormat = "prometheus" | "openmetrics";

export const METRICS_TYPES: Readonly<Record<MetricsFormat, string>> = {
  prometheus: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

const KNOWN_VERSIONS: ReadonlySet<string> = new Set(["0.0.1", "1.0.0"]);

/** What a scraper gets for its header `Accept`: OpenMetrics where it asks for that, and does not like plain text better. */
export function metricsFormatFor(accept: string | undefined): MetricsFormat {
  let openMetrics = 0;
  let text = 0;
  for (const range of (accept ?? "").toLowerCase().split(",")) {
    const [type, ...parameters] = range.split(";").map((part) => part.trim());
    const values = new Map(parameters.map((parameter) => parameter.split("=", 2) as [string, string | undefined]));
    const quality = Number(values.get("q") ?? 1);
    if (type === "text/plain") text = Math.max(text, quality);
    if (type === "application/openmetrics-text" && KNOWN_VERSIONS.has(values.get("version") ?? "1.0.0"))
      openMetrics = Math.max(openMetrics, quality);
  }
  return openMetrics > 0 && openMetrics >= text ? "openmetrics" : "prometheus";
}
