/**
 * Makes docs/configuration.md from the configuration's schema and those of the plugins in plugins/:
 * `sh scripts/bun.sh scripts/configuration-reference.ts` writes it, with `--check` says whether it is as it would be written.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { TSchema } from "@sinclair/typebox";
import { decodingOf, expectedBy } from "../src/base/config/schema-types.ts";
import { coreConfigurationSchema } from "../src/core/core-configuration.ts";
import { CORE_METRICS } from "../src/core/core-metrics.ts";
import { configurationSchema } from "../src/edge/config/schema.ts";
import { BUILT_IN_DOORS } from "../src/edge/doors/built-in.ts";
import { loadPlugins } from "../src/edge/plugin-host/loader.ts";

const ROOT = resolve(import.meta.dir, "..");
export const PAGE = "docs/configuration.md";
export const CORE_PAGE = "docs/core.md";

const INTRODUCTION = `# Configuration

Made from the schema by \`sh scripts/bun.sh scripts/configuration-reference.ts\`; a test fails when it is not current.

The edge reads one YAML file. A key that is not named here, a value of another kind, a file that is missing: each is told with its line,
what was expected and the nearest name, all of them together, and the edge does not start. To ask without starting:

<!-- file: edge.yaml -->
\`\`\`yaml
edge: { id: edge-1 }
key_source:
  use: core
  core: { url: "https://core.example:8443", ca: ca.pem, cert: edge.pem, key: edge.key }
listeners:
  - { http: "127.0.0.1:7402", principal: local }
policies:
  - { principals: [local], tenants: ["tenant-*"], services: ["*"], operations: [create, decrypt, rewrap] }
\`\`\`

\`\`\`sh
crypto-edge config check edge.yaml
crypto-edge access explain local decrypt tenant-a billing --config edge.yaml
crypto-edge config schema > schema.json
\`\`\`

The schema is JSON Schema, for an editor's completion. More examples are in [examples/](../examples).

- Paths start from the folder of the file. Durations are \`500ms\`, \`30s\`, \`5m\`, \`1h\`, \`7d\`; sizes \`16KiB\`, \`64MiB\`, \`1GiB\`.
- A secret, the edge's or a plugin's, can be given as \`file:PATH\`. It follows its file, as the table says.
- An environment variable stands for one value outside lists: \`CRYPTO_EDGE_CACHE_TTL=2m\` for \`cache: { ttl: 2m }\`. A variable that names
  no value is a mistake too. \`CRYPTO_EDGE_URL\` is none of them: it tells \`seal\`, \`open\` and \`status\` which edge to call.
- SIGHUP takes over policies. Certificates, their keys, authorities, revocation lists, token keys and secrets of files are taken up when their
  files change, and at SIGHUP. Everything else counts from the next start; the log says which sections wait for it.

When another text of a secret's file counts. A file that can't be read or is empty leaves the old text in use, and the log says why:

| secret | counts |
| --- | --- |
| \`amqp.password\`, \`nats.password\`, \`nats.token\`, \`orbital.amqp.password\` | from the next connection |
| \`nats.credentials\` | from the next connection, which reads the file |
| \`openbao.token\` | at once |
| \`openbao.approle.secret_id\`, the file \`openbao.kubernetes.jwt_file\` | from the next login |
| \`pkcs11.pin_file\` | from the next login, unless the token has refused the PIN: then from the next start |
| \`doors.aws-kms.access_keys[].secret\` | at once: signatures by the old one are refused |
| \`telemetry.otlp.headers.NAME\` | from the next request to the collector |
| of a Core: \`database.password\` | from the next connection; those that are open stay |
| of a Core: \`console.oidc.client_secret\` | from the next sign-in |
| of a Core: \`master_key\`, \`former_master_key\` | from the next start ([core.md](core.md#the-master-key)) |
| of another plugin: what its section's type \`Secret\` holds | when the plugin uses it next |

In the tables \`[]\` is an entry of a list, and a key without a default is a must unless it says "optional" or stands in an optional section.
`;

const PLUGIN_INTRODUCTION = `
## Sections of plugins

A plugin in \`plugins\` brings sections of its own: for \`key_source\`, \`revocation.transports\`, \`audit.sinks\`, \`hooks\` or \`doors\`, by the name that
\`use\` gives. These come with crypto-edge; the README of each says more.
`;

const CORE_INTRODUCTION = `
## The reference Core

The file of \`crypto-edge core serve --config FILE\` is another one: [core.md](core.md#every-key) has its keys.
`;

interface Row {
  readonly key: string;
  readonly value: string;
  readonly default: string;
  readonly description: string;
}

export async function configurationReference(): Promise<string> {
  const { properties } = configurationSchema() as unknown as { properties: Record<string, TSchema> };
  const parts = [INTRODUCTION];
  for (const [name, schema] of Object.entries(properties))
    parts.push(`\n## ${name}\n\n`, table(rows(name, schema, true)));

  parts.push(PLUGIN_INTRODUCTION);
  const folders = readdirSync(join(ROOT, "plugins")).sort();
  for (const folder of folders) {
    const plugins = await loadPlugins([`plugins/${folder}`], ROOT, { info() {}, warn() {}, error() {} });
    const kinds = {
      "a key source": plugins.keySources,
      "a revocation transport": plugins.revocationTransports,
      "an audit sink": plugins.auditSinks,
      "a hook": plugins.hooks,
      "a front door": plugins.doors,
    };
    for (const [kind, contributed] of Object.entries(kinds)) {
      for (const [name, { contribution }] of contributed) {
        parts.push(`\n### ${name}, ${kind} ([plugins/${folder}](../plugins/${folder}))\n\n`);
        parts.push(table(rows(name, contribution.configuration, true)));
      }
    }
  }

  parts.push(CORE_INTRODUCTION);
  return parts.join("");
}

/** docs/core.md, with its two tables as they should be: every key of a Core's configuration, every metric. */
export function corePage(page: string): string {
  const core = coreConfigurationSchema() as unknown as { properties: Record<string, TSchema>; required?: string[] };
  const keys = table(
    Object.entries(core.properties).flatMap(([name, schema]) =>
      rows(name, schema, core.required?.includes(name) === true),
    ),
  );
  const metrics = [
    "| metric | |",
    "| --- | --- |",
    ...CORE_METRICS.map(({ name, help }) => `| \`${name}\` | ${help} |`),
    "",
  ];
  return between(between(page, "keys", keys), "metrics", metrics.join("\n"));
}

function between(page: string, name: string, text: string): string {
  const [begin, end] = [`<!-- ${name} -->\n`, `<!-- /${name} -->`];
  return `${page.slice(0, page.indexOf(begin) + begin.length)}\n${text}\n${page.slice(page.indexOf(end))}`;
}

/** One row for each value, sections and lists walked through. */
function rows(key: string, schema: TSchema, required: boolean): Row[] {
  const own = (value: string): Row => ({
    key,
    value,
    default: defaultOf(schema, required),
    description: schema.description ?? "",
  });
  if (schema.type === "object" && schema.properties !== undefined) {
    // Of a door's settings in a listener's entry the rows under `doors` speak.
    const doors = key === "listeners[]" ? Object.keys(BUILT_IN_DOORS) : [];
    const properties = Object.entries(schema.properties as Record<string, TSchema>);
    const inner = properties.flatMap(([name, property]) =>
      doors.includes(name)
        ? []
        : rows(`${key}.${name}`, property, (schema.required as string[] | undefined)?.includes(name) === true),
    );
    return schema.description === undefined && required ? inner : [own("a section"), ...inner];
  }
  if (schema.type === "object" && schema.patternProperties !== undefined) {
    const inner = Object.values(schema.patternProperties as Record<string, TSchema>);
    return [own("a section"), ...inner.flatMap((each) => rows(`${key}.NAME`, each, true))];
  }
  if (schema.type === "array") {
    const items = schema.items as TSchema;
    if (isPlain(items)) return [own(`a list: ${describeValue(items)}`)];
    const shapes = variants(items);
    const inner = shapes.flatMap((item) => {
      const heading = { key: `${key}[]`, value: `${item.title ?? ""}: a section`, default: "", description: "" };
      return [...(shapes.length > 1 && item.title !== undefined ? [heading] : []), ...rows(`${key}[]`, item, true)];
    });
    return [own("a list"), ...inner];
  }
  const shapes = variants(schema).filter((variant) => !isPlain(variant));
  if (shapes.length === 0 || schema.expected !== undefined) return [own(describeValue(schema))];
  return [own("a section"), ...shapes.flatMap((shape) => rows(key, shape, true))];
}

/** As a message would have it, but for what the introduction says of all paths, durations and sizes. */
function describeValue(schema: TSchema): string {
  const { minimumMs, maximumMs } = schema as { minimumMs?: number; maximumMs?: number };
  switch (decodingOf(schema)) {
    case "path":
      return "a path";
    case "size":
      return "a size";
    case "duration":
      return [
        "a duration",
        ...(minimumMs === undefined ? [] : [`from ${minimumMs} ms`]),
        ...(maximumMs === undefined ? [] : [`up to ${maximumMs / 60_000}m`]),
      ].join(" ");
    default: {
      const expected = expectedBy(schema);
      return expected === "one of " ? "a name" : expected.replaceAll('" or "', '", "');
    }
  }
}

function variants(schema: TSchema): TSchema[] {
  return Array.isArray(schema.anyOf) ? (schema.anyOf as TSchema[]) : [schema];
}

function isPlain(schema: TSchema): boolean {
  return variants(schema).every(({ type }) => type !== "object" && type !== "array");
}

function defaultOf(schema: TSchema, required: boolean): string {
  if (schema.default === undefined) return required ? "" : "optional";
  const { default: value } = schema as { default: unknown };
  if (Array.isArray(value)) return value.length === 0 ? "none" : `\`[${value.join(", ")}]\``;
  if (typeof value === "object") return "";
  return `\`${String(value)}\``;
}

function table(all: readonly Row[]): string {
  const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("\n", " ");
  const lines = all.map(
    (row) => `| \`${row.key}\` | ${cell(row.value)} | ${cell(row.default)} | ${cell(row.description)} |`,
  );
  return ["| key | value | default | |", "| --- | --- | --- | --- |", ...lines, ""].join("\n");
}

if (import.meta.main) {
  const read = (page: string): string => readFileSync(join(ROOT, page), "utf8");
  for (const [name, page] of [
    [PAGE, await configurationReference()],
    [CORE_PAGE, corePage(read(CORE_PAGE))],
  ] as const) {
    if (!process.argv.includes("--check")) writeFileSync(join(ROOT, name), page);
    else if (read(name) !== page) {
      console.error(`${name} is not current: run sh scripts/bun.sh scripts/configuration-reference.ts`);
      process.exit(1);
    }
  }
  process.exit(0);
}
