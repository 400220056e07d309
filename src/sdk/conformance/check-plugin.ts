/** Runs every rule that a plugin's contributions are under. docs/plugins.md, "The conformance kit". */
import { existsSync, realpathSync } from "node:fs";
import { join, resolve } from "node:path";
import type { TSchema } from "@sinclair/typebox";
import { type LoadedConfiguration, loadConfiguration } from "../../edge/config/load-with-plugins.ts";
import { type LoadedPlugin, loadPlugin } from "../../edge/plugin-host/loader.ts";
import { PluginError } from "../../edge/plugin-host/plugin-error.ts";
import { hashPlugin } from "../../edge/plugin-host/trust.ts";
import { unseenCodeOf } from "../../edge/plugin-host/unseen-code.ts";
import { contributionSections } from "./contributions.ts";
import type { Report, Section } from "./report.ts";
import { broken, runRules } from "./rules.ts";
import { KINDS } from "./uses.ts";

/** How a plugin is tried: with which configuration, and for which key. */
export interface CheckOptions {
  /** A configuration of an edge that uses the plugin; else the folder's `check.yaml`, if there is one. */
  readonly config?: string | undefined;
  /** The same with the plugin's backend out of reach; else the folder's `check-away.yaml`. */
  readonly away?: string | undefined;
  /** `TENANT/SERVICE`, a key that the source has; else the first of the configuration's `cache.prewarm`. */
  readonly key?: string | undefined;
}

/**
 * Holds every contribution of the plugin in a folder to the rules of its port: those of its definition, and, where a configuration is
 * given (or lies there as `check.yaml`), those of what it makes.
 *
 * @throws {PluginError} when the folder holds no plugin
 * @throws {ConfigurationError} when the configuration is no good, or there is nothing to check
 *
 * @example
 * ```ts
 * const report = await checkPlugin("./my-plugin", { config: "./check.yaml", key: "tenant-a/billing" });
 * if (totalsOf(report).broken > 0) console.log(printReport(report));
 * ```
 */
export async function checkPlugin(directory: string, options: CheckOptions = {}): Promise<Report> {
  const path = resolve(directory);
  const loaded = await loadPlugin(path, "/");
  const configured = await configuredBy(options.config, path, "check.yaml");
  const away = await configuredBy(options.away, path, "check-away.yaml");
  return {
    path,
    plugin: loaded.plugin.name,
    sha256: hashWherePossible(path),
    allow: [...new Set(unseenCodeOf(realpathSync(path)).map(({ allowance }) => allowance))],
    sections: [await definitionSection(loaded), ...(await contributionSections(loaded, configured, away, options.key))],
  };
}

async function configuredBy(
  given: string | undefined,
  path: string,
  name: string,
): Promise<LoadedConfiguration | undefined> {
  const beside = join(path, name);
  const file = given ?? (existsSync(beside) ? beside : undefined);
  return file === undefined ? undefined : loadConfiguration(file);
}

function hashWherePossible(path: string): string {
  try {
    return hashPlugin(path);
  } catch (error) {
    if (error instanceof PluginError) return `none: ${error.message}`;
    throw error;
  }
}

async function definitionSection({ plugin }: LoadedPlugin): Promise<Section> {
  // A Core's targets are held to the form of their section; whom they obey is theirs to verify.
  const schemas = [...KINDS, "coreTargets" as const].flatMap((kind) =>
    Object.entries(plugin[kind] ?? {}).map(([name, { configuration }]) => ({
      where: `${kind}.${name}`,
      schema: configuration,
    })),
  );
  const results = await runRules([
    { rule: "loads", title: "it loads, for this version of the interface", run: async () => {} },
    {
      rule: "schema-closed",
      title: "an unknown key in its section is an error",
      async run() {
        for (const { where, schema } of schemas) {
          const open = openSection(schema, where);
          if (open !== undefined) throw broken(`${open} takes any key: write Section({ … })`);
        }
      },
    },
    {
      rule: "schema-described",
      title: "each key of its section has a description",
      async run() {
        for (const { where, schema } of schemas) {
          for (const [key, inner] of Object.entries((schema.properties ?? {}) as Record<string, TSchema>)) {
            if (typeof inner.description !== "string") throw broken(`${where}.configuration: "${key}" has none`);
          }
        }
      },
    },
  ]);
  return { subject: "definition", results };
}

/** The first section in a schema that takes any key. */
function openSection(schema: TSchema, where: string): string | undefined {
  if (schema.type === "object" && schema.properties !== undefined) {
    if (schema.additionalProperties !== false) return where;
    for (const [key, inner] of Object.entries(schema.properties as Record<string, TSchema>)) {
      const open = openSection(inner, `${where}.${key}`);
      if (open !== undefined) return open;
    }
  }
  return schema.type === "array" ? openSection(schema.items as TSchema, `${where}[]`) : undefined;
}
