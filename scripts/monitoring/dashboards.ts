/** The dashboards for Grafana: a panel for each question that an operator asks first. */

interface Panel {
  readonly title: string;
  readonly unit: string;
  readonly queries: readonly { readonly expression: string; readonly legend: string }[];
  readonly kind?: "stat" | "timeseries";
}

const DURATION = "crypto_edge_operation_duration_seconds";

const EDGE: readonly Panel[] = [
  {
    title: "Ready",
    unit: "bool_yes_no",
    kind: "stat",
    queries: [{ expression: "min by (instance) (crypto_edge_ready)", legend: "{{instance}}" }],
  },
  {
    title: "Time until the first lease ends",
    unit: "s",
    kind: "stat",
    queries: [{ expression: "crypto_edge_lease_deadline_seconds", legend: "{{instance}}" }],
  },
  {
    title: "First certificate ends in",
    unit: "d",
    kind: "stat",
    queries: [{ expression: "min by (instance) (crypto_edge_certificate_days_left)", legend: "{{instance}}" }],
  },
  {
    title: "Operations",
    unit: "ops",
    queries: [
      { expression: `sum by (door, operation) (rate(${DURATION}_count[1m]))`, legend: "{{door}} {{operation}}" },
    ],
  },
  {
    title: "Refusals",
    unit: "ops",
    queries: [{ expression: `sum by (outcome) (rate(${DURATION}_count{outcome!="ok"}[1m]))`, legend: "{{outcome}}" }],
  },
  {
    title: "Latency",
    unit: "s",
    queries: ["0.5", "0.99", "0.999"].map((quantile) => ({
      expression: `histogram_quantile(${quantile}, sum by (le) (rate(${DURATION}_bucket[1m])))`,
      legend: `p${Number(quantile) * 100}`,
    })),
  },
  {
    title: "Leases",
    unit: "short",
    queries: [
      { expression: "crypto_edge_leases", legend: "{{instance}} held" },
      { expression: "crypto_edge_leases_failing", legend: "{{instance}} not renewed" },
    ],
  },
  {
    title: "Calls to the key source",
    unit: "ops",
    queries: [
      { expression: "rate(crypto_edge_source_calls_total[1m])", legend: "{{instance}}" },
      { expression: "rate(crypto_edge_source_call_failures_total[1m])", legend: "{{instance}} failed" },
    ],
  },
  {
    title: "Revocations: silence and lag",
    unit: "s",
    queries: [
      { expression: "crypto_edge_revocation_silence_seconds", legend: "{{instance}} silence" },
      { expression: "crypto_edge_revocation_lag_seconds", legend: "{{instance}} {{transport}}" },
    ],
  },
  {
    title: "Event loop delay",
    unit: "s",
    queries: [{ expression: "crypto_edge_event_loop_delay_seconds", legend: "{{instance}}" }],
  },
  {
    title: "Resident memory",
    unit: "bytes",
    queries: [{ expression: 'process_resident_memory_bytes{job=~".*crypto-edge.*"}', legend: "{{instance}}" }],
  },
  {
    title: "Usage that waits for the Core",
    unit: "s",
    queries: [{ expression: "crypto_edge_usage_oldest_seconds", legend: "{{instance}}" }],
  },
];

const CORE: readonly Panel[] = [
  {
    title: "Database",
    unit: "bool_yes_no",
    kind: "stat",
    queries: [{ expression: "min by (instance) (crypto_core_database_up)", legend: "{{instance}}" }],
  },
  {
    title: "Edges that listen",
    unit: "short",
    kind: "stat",
    queries: [{ expression: "sum(crypto_core_streams)", legend: "streams" }],
  },
  {
    title: "Certificate ends in",
    unit: "d",
    kind: "stat",
    queries: [{ expression: "crypto_core_certificate_days_left", legend: "{{instance}}" }],
  },
  {
    title: "Leases granted",
    unit: "ops",
    queries: [
      { expression: "rate(crypto_core_lease_calls_total[1m])", legend: "{{instance}}" },
      { expression: "rate(crypto_core_lease_refusals_total[1m])", legend: "{{instance}} refused" },
    ],
  },
  { title: "Events", unit: "short", queries: [{ expression: "crypto_core_event_seq", legend: "{{instance}}" }] },
  {
    title: "Usage batches",
    unit: "ops",
    queries: [
      { expression: "rate(crypto_core_usage_batches_total[1m])", legend: "{{instance}}" },
      { expression: "rate(crypto_core_usage_refused_total[1m])", legend: "{{instance}} refused" },
    ],
  },
  { title: "Connections", unit: "short", queries: [{ expression: "crypto_core_connections", legend: "{{instance}}" }] },
  {
    title: "Not yet read by edges",
    unit: "bytes",
    queries: [{ expression: "crypto_core_unsent_bytes", legend: "{{instance}}" }],
  },
];

const DATASOURCE = { type: "prometheus", uid: "$datasource" };

/** https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/ */
export function dashboard(which: "edge" | "core"): string {
  const panels = which === "edge" ? EDGE : CORE;
  let x = 0;
  let y = 0;
  const laid = panels.map((panel, index) => {
    const isStat = panel.kind === "stat";
    const [w, h] = isStat ? [8, 4] : [12, 8];
    if (x + w > 24 || (x > 0 && !isStat && panels[index - 1]!.kind === "stat")) {
      x = 0;
      y += panels[index - 1]!.kind === "stat" ? 4 : 8;
    }
    const gridPos = { h, w, x, y };
    x += w;
    return {
      id: index + 1,
      type: panel.kind ?? "timeseries",
      title: panel.title,
      datasource: DATASOURCE,
      gridPos,
      fieldConfig: { defaults: { unit: panel.unit, min: 0 }, overrides: [] },
      options: isStat
        ? { reduceOptions: { calcs: ["lastNotNull"] } }
        : { legend: { displayMode: "list", placement: "bottom" } },
      targets: panel.queries.map(({ expression, legend }, target) => ({
        refId: String.fromCharCode(65 + target),
        datasource: DATASOURCE,
        expr: expression,
        legendFormat: legend,
        // A point for each miss whose trace was sent to a collector (docs/opentelemetry.md).
        ...(expression.includes("_bucket") ? { exemplar: true } : undefined),
      })),
    };
  });
  const model = {
    uid: `crypto-${which}`,
    title: `crypto-${which}`,
    tags: ["crypto-edge"],
    schemaVersion: 39,
    version: 1,
    editable: true,
    refresh: "30s",
    time: { from: "now-1h", to: "now" },
    timezone: "utc",
    templating: { list: [{ name: "datasource", type: "datasource", query: "prometheus", label: "Data source" }] },
    annotations: { list: [] },
    panels: laid,
  };
  return `${JSON.stringify(model, null, 2)}\n`;
}
