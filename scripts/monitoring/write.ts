/** Writes what operators load: `sh scripts/bun.sh scripts/monitoring/write.ts`. A test holds the files to what this makes. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { stringify } from "yaml";
import { type Alert, CORE_ALERTS, EDGE_ALERTS } from "./alerts.ts";
import { dashboard } from "./dashboards.ts";

const ROOT = resolve(import.meta.dir, "../..");
const TABLE = /(<!-- alerts, made by scripts\/monitoring\/write\.ts -->\n)[\s\S]*?(<!-- end of alerts -->)/;

/** By path from the repository's root. */
export function monitoringFiles(): Readonly<Record<string, string>> {
  const page = readFileSync(join(ROOT, "docs/operations.md"), "utf8");
  if (!TABLE.test(page)) throw new Error("docs/operations.md has no place for the alerts");
  return {
    "deploy/prometheus/rules.yaml": rules(),
    // A chart takes no file from outside its folder.
    "deploy/helm/crypto-edge/rules.yaml": rules(),
    "deploy/grafana/crypto-edge.json": dashboard("edge"),
    "deploy/grafana/crypto-core.json": dashboard("core"),
    "docs/operations.md": page.replace(TABLE, (_, begin: string, end: string) => `${begin}${table()}${end}`),
  };
}

function rules(): string {
  const group = (name: string, alerts: readonly Alert[]): object => ({ name, rules: alerts.map(rule) });
  const text = stringify(
    { groups: [group("crypto-edge", EDGE_ALERTS), group("crypto-core", CORE_ALERTS)] },
    { lineWidth: 0 },
  );
  return `# Made by scripts/monitoring/write.ts from scripts/monitoring/alerts.ts. The jobs' names are to hold "crypto-edge" and "crypto-core".\n${text}`;
}

function rule({ name, expression, for: duration, severity, when, advice }: Alert): object {
  return {
    alert: name,
    expr: expression,
    ...(duration === "0s" ? {} : { for: duration }),
    labels: { severity },
    annotations: { summary: `{{ $labels.instance }}: ${when}`, description: withoutLinks(advice) },
  };
}

function table(): string {
  const rows = [...EDGE_ALERTS, ...CORE_ALERTS].map(
    ({ name, when, severity, advice }) => `| \`${name}\` | ${when} | ${severity} | ${advice} |`,
  );
  return ["| alert | when | how urgent | what to do |", "| --- | --- | --- | --- |", ...rows, ""].join("\n");
}

function withoutLinks(markdown: string): string {
  return markdown.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1");
}

if (import.meta.main) {
  for (const [path, text] of Object.entries(monitoringFiles())) {
    mkdirSync(dirname(join(ROOT, path)), { recursive: true });
    writeFileSync(join(ROOT, path), text);
  }
}
