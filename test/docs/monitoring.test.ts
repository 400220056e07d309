import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CORE_ALERTS, EDGE_ALERTS } from "../../scripts/monitoring/alerts.ts";
import { monitoringFiles } from "../../scripts/monitoring/write.ts";
import { coreMetrics } from "../../src/core/core-metrics.ts";
import { DRILLS } from "../integration/support/alert-tests.ts";
import { ROOT } from "../support/pages.ts";

test("rules, dashboards and the page's table are what their one source makes", () => {
  for (const [path, text] of Object.entries(monitoringFiles()))
    expect(readFileSync(join(ROOT, path), "utf8")).toBe(text);
});

test("alerts and dashboards ask for metrics that there are, and every alert has a drill", () => {
  const known = new Set([
    ...[...readFileSync(join(ROOT, "docs/metrics.md"), "utf8").matchAll(/^\| `([a-z_]+)` \|/gm)].map(
      ([, name]) => name!,
    ),
    ...(coreMetrics.toString() + readFileSync(join(ROOT, "src/core/core-metrics.ts"), "utf8"))
      .matchAll(/crypto_core_[a-z_]+/g)
      .map(([name]) => name),
  ]);
  const asked = Object.entries(monitoringFiles())
    .filter(([path]) => path.startsWith("deploy/"))
    .flatMap(([, text]) => [...text.matchAll(/\b(?:crypto_edge|crypto_core|process)_[a-z_]+/g)].map(([name]) => name));
  const base = (name: string): string => name.replace(/_(?:bucket|count|sum)$/, "");
  expect([...new Set(asked)].filter((name) => !known.has(name) && !known.has(base(name)))).toEqual([]);
  const drilled = new Set(DRILLS.map(({ alert }) => alert));
  expect([...EDGE_ALERTS, ...CORE_ALERTS].map(({ name }) => name).filter((name) => !drilled.has(name))).toEqual([]);
});
