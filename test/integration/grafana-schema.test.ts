/** The dashboards against the types that Grafana publishes of its own, of the oldest and of the newest version that they are for. */
import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../support/pages.ts";
import { npmFolder } from "./support/npm-folder.ts";

const VERSIONS = {
  "grafana-11": { version: "11.6.0-cogv0.0.x.1769699379", query: "dataquery" },
  "grafana-newest": { version: "0.0.21", query: "Dataquery" },
} as const;
const DASHBOARDS = join(ROOT, "deploy/grafana");

interface Model {
  readonly panels: readonly { readonly type: string; readonly options: object; readonly targets: readonly object[] }[];
}

/** A module without a type error where the dashboards are what Grafana takes: an unknown member is one. */
function moduleOf(schema: keyof typeof VERSIONS, dashboards: readonly Model[]): string {
  const panels = dashboards.flatMap((dashboard) => dashboard.panels);
  const optionsOf = (type: string): string =>
    JSON.stringify(panels.filter((panel) => panel.type === type).map(({ options }) => options));
  const types = (name: string): string => `../node_modules/${schema}/dist/${name}/types.gen`;
  return `import type { Dashboard } from "${types("dashboard")}";
import type { Options as Stat } from "${types("stat")}";
import type { Options as TimeSeries } from "${types("timeseries")}";
import type { ${VERSIONS[schema].query} as Query } from "${types("prometheus")}";
// Grafana fills in what is left out; and its types say whole enumerations where JSON has their values.
type Some<Of> = Of extends string ? \`\${Of}\` : Of extends (infer Item)[] ? Some<Item>[] : Of extends object ? { [Key in keyof Of]?: Some<Of[Key]> } : Of;
export const dashboards: Some<Dashboard>[] = ${JSON.stringify(dashboards.map(withoutTargets))};
export const stat: Some<Stat>[] = ${optionsOf("stat")};
export const timeSeries: Some<TimeSeries>[] = ${optionsOf("timeseries")};
export const queries: Some<Query>[] = ${JSON.stringify(panels.flatMap(({ targets }) => targets))};
`;
}

/** Of which a dashboard's own type knows nothing. */
function withoutTargets(dashboard: Model): Model {
  return { ...dashboard, panels: dashboard.panels.map((panel) => ({ ...panel, targets: [] })) };
}

function typeErrors(folder: string, text: string): string {
  const file = join(folder, "dashboards.ts");
  writeFileSync(file, text);
  const { stdout } = Bun.spawnSync(
    [
      join(ROOT, "node_modules/.bin/tsc"),
      ...["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "esnext"],
      ...["--moduleResolution", "bundler", "--ignoreConfig", file],
    ],
    { cwd: folder },
  );
  return stdout.toString();
}

test("the dashboards are what Grafana's own types say, and these refuse what is not", () => {
  const packages = npmFolder(
    Object.entries(VERSIONS).map(([alias, { version }]) => `${alias}@npm:@grafana/grafana-foundation-sdk@${version}`),
  );
  const folder = join(packages, `of-${process.pid}`);
  mkdirSync(folder);
  const dashboards = readdirSync(DASHBOARDS).map(
    (name) => JSON.parse(readFileSync(join(DASHBOARDS, name), "utf8")) as Model,
  );
  expect(dashboards.length).toBe(2);
  try {
    for (const schema of Object.keys(VERSIONS) as (keyof typeof VERSIONS)[]) {
      const text = moduleOf(schema, dashboards);
      expect([schema, typeErrors(folder, text)]).toEqual([schema, ""]);
      for (const [right, wrong] of [
        ['"schemaVersion":39', '"schemaVersion":"39"'],
        ['"gridPos":', '"gridPosition":'],
        ['"displayMode":"list"', '"displayMode":"row"'],
        ['"reduceOptions":', '"reducedOptions":'],
        ['"exemplar":true', '"exemplars":true'],
      ] as const) {
        expect(text).toContain(right);
        expect([wrong, typeErrors(folder, text.replaceAll(right, wrong))]).toEqual([
          wrong,
          expect.stringContaining("error TS"),
        ]);
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}, 600_000);
