/** Runs every rule that a plugin's contributions are under. docs/plugins.md, "The conformance kit". */
import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { TSchema } from "@sinclair/typebox";
import type { ConfigurationPath } from "../../base/config/decode.ts";
import { systemClock } from "../../base/time/system-clock.ts";
import { VERSION } from "../../base/version.ts";
import { doorSection } from "../../edge/config/door-sections.ts";
import { type LoadedConfiguration, loadConfiguration } from "../../edge/config/load-with-plugins.ts";
import type { Door, DoorContext } from "../../edge/doors/door.ts";
import { type LoadedPlugin, loadPlugin } from "../../edge/plugin-host/loader.ts";
import {
  type Contribution,
  type DoorContribution,
  type Plugin,
  type PluginContext,
  SectionError,
} from "../../edge/plugin-host/plugin.ts";
import { PluginError } from "../../edge/plugin-host/plugin-error.ts";
import { hashPlugin } from "../../edge/plugin-host/trust.ts";
import { cipherRules } from "./cipher.ts";
import { doorRules, RefusingOperations } from "./doors.ts";
import { keySourceRules } from "./key-source.ts";
import { auditSinkRules, hookRules, transportRules } from "./other-kinds.ts";
import { publisherRules } from "./publisher.ts";
import type { Report, RuleResult, Section } from "./report.ts";
import { broken, type Rule, runRules } from "./rules.ts";

export interface CheckOptions {
  /** A configuration of an edge that uses the plugin; else the folder's `check.yaml`, if there is one. */
  readonly config?: string | undefined;
  /** The same with the plugin's backend out of reach; else the folder's `check-away.yaml`. */
  readonly away?: string | undefined;
  /** `TENANT/SERVICE`, a key that the source has; else the first of the configuration's `cache.prewarm`. */
  readonly key?: string | undefined;
}

/** @throws {PluginError} {ConfigurationError} when there is nothing to check */
export async function checkPlugin(directory: string, options: CheckOptions = {}): Promise<Report> {
  const path = resolve(directory);
  const loaded = await loadPlugin(path, "/");
  const configured = await configuredBy(options.config, path, "check.yaml");
  const away = await configuredBy(options.away, path, "check-away.yaml");
  return {
    path,
    plugin: loaded.plugin.name,
    sha256: hashWherePossible(path),
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

type Kind = "keySources" | "revocationTransports" | "eventPublishers" | "auditSinks" | "ciphers" | "hooks" | "doors";
const KINDS: readonly Kind[] = [
  "keySources",
  "revocationTransports",
  "eventPublishers",
  "auditSinks",
  "ciphers",
  "hooks",
  "doors",
];
const KIND_NAMES = {
  keySources: "key source",
  revocationTransports: "revocation transport",
  eventPublishers: "publisher",
  auditSinks: "audit sink",
  ciphers: "cipher",
  hooks: "hook",
  doors: "front door",
} as const;

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

/** One use of a contribution in a configuration. */
interface Use {
  readonly section: unknown;
  readonly path: ConfigurationPath;
  readonly timeoutMs: number;
}

async function contributionSections(
  loaded: LoadedPlugin,
  configured: LoadedConfiguration | undefined,
  away: LoadedConfiguration | undefined,
  givenKey: string | undefined,
): Promise<Section[]> {
  const sections: Section[] = [];
  for (const kind of KINDS) {
    for (const [name, contribution] of Object.entries(loaded.plugin[kind] ?? {})) {
      const subject = `${KIND_NAMES[kind]} "${name}"`;
      const use = configured && useOf(configured, loaded, kind, name);
      if (configured === undefined || use === undefined) {
        const detail =
          configured === undefined
            ? "no configuration was given: --config FILE, or a check.yaml in the folder"
            : "the configuration does not use it";
        sections.push({ subject, results: [notTriedAtAll(detail)] });
        continue;
      }
      const awayUse = away && useOf(away, loaded, kind, name);
      const lines: string[] = [];
      const refusing = new RefusingOperations();
      const make = <Made>(from: LoadedConfiguration, { section, path }: Use): Promise<Made> =>
        create(contributionOf<Made>(contribution, refusing), from, section, path, lines);
      const makeAway = away && awayUse ? <Made>() => make<Made>(away, awayUse) : undefined;
      let rules: Rule[];
      try {
        const made = await make(configured, use);
        rules =
          kind === "doors"
            ? doorRules(made as Door, name, (contribution as DoorContribution).transport, refusing)
            : await rulesOf(kind, made, makeAway, use, keyOf(configured, givenKey), () => lines.join("\n"));
      } catch (error) {
        const detail = error instanceof Error ? error.message : String(error);
        sections.push({
          subject,
          results: [{ rule: "create", title: "it is made from its section", outcome: "broken", detail }],
        });
        continue;
      }
      sections.push({ subject, results: await runRules(rules) });
    }
  }
  return sections;
}

/** A door gets what doors are lent before what plugins are. */
function contributionOf<Made>(
  contribution: { readonly configuration: TSchema },
  refusing: RefusingOperations,
): Contribution<TSchema, Made> {
  if (!("transport" in contribution)) return contribution as unknown as Contribution<TSchema, Made>;
  const { configuration, create } = contribution as unknown as DoorContribution;
  return {
    configuration,
    create(section, plugin) {
      const { log, clock } = plugin;
      const context: DoorContext = {
        operations: refusing.operations,
        log: { debug() {}, info: log.info, warn: log.warn, error: log.error },
        now: { wallMs: () => clock.wallMs(), monotonicMs: () => clock.monotonicMs() },
        version: VERSION,
        readiness: () => ({ ready: true }),
      };
      return create(section as never, context, plugin) as Promise<Made>;
    },
  };
}

async function rulesOf(
  kind: Exclude<Kind, "doors">,
  made: unknown,
  away: (<Made>() => Promise<Made>) | undefined,
  { timeoutMs }: Use,
  key: { tenant: string; service: string } | undefined,
  logged: () => string,
): Promise<Rule[]> {
  switch (kind) {
    case "keySources":
      return keySourceRules({ source: made as never, key, away, logged });
    case "revocationTransports":
      return transportRules(made as never, away);
    case "eventPublishers":
      return publisherRules(made as never, away);
    case "auditSinks":
      return auditSinkRules(made as never, away);
    case "ciphers":
      return cipherRules(made as never);
    case "hooks":
      return hookRules(made as never, timeoutMs);
  }
}

function notTriedAtAll(detail: string): RuleResult {
  return { rule: "contract", title: "it keeps the port's contract", outcome: "not tried", detail };
}

function useOf(
  { configuration }: LoadedConfiguration,
  { plugin }: LoadedPlugin,
  kind: Kind,
  name: string,
): Use | undefined {
  if (kind === "eventPublishers" && !sharesSection(plugin, name)) return undefined;
  const { key_source: keySource, cipher, revocation, audit, hooks } = configuration;
  if (kind === "ciphers") {
    const section = (cipher as unknown as Record<string, unknown>)[name];
    return cipher.use === name ? { section: section ?? {}, path: ["cipher", name], timeoutMs: 0 } : undefined;
  }
  if (kind === "keySources") {
    const section = (keySource as Record<string, unknown>)[name];
    return section === undefined ? undefined : { section, path: ["key_source", name], timeoutMs: 0 };
  }
  if (kind === "doors") {
    const index = configuration.listeners.findIndex(({ doors }) => doors.includes(name));
    const listener = configuration.listeners[index];
    return listener && { ...doorSection(configuration, listener, index, name), timeoutMs: 0 };
  }
  const [list, place] = (
    {
      revocationTransports: [revocation.transports, ["revocation", "transports"]],
      // A Core's: tried with the section of the transport that goes by its name, which is the same for both.
      eventPublishers: [revocation.transports, ["revocation", "transports"]],
      auditSinks: [audit.sinks, ["audit", "sinks"]],
      hooks: [hooks, ["hooks"]],
    } as const
  )[kind];
  const entries = list as readonly ({ use: string; timeout?: number } & Record<string, unknown>)[];
  const index = entries.findIndex(({ use }) => use === name);
  const entry = entries[index];
  return entry && { section: entry[name], path: [...place, index, name], timeoutMs: entry.timeout ?? 0 };
}

/** Whether a publisher's section is that of the transport of its name, so that an edge's configuration can be a Core's too. */
function sharesSection({ revocationTransports, eventPublishers }: Plugin, name: string): boolean {
  const [publisher, transport] = [eventPublishers?.[name], revocationTransports?.[name]];
  return publisher !== undefined && publisher.configuration === transport?.configuration;
}

function keyOf(
  { configuration }: LoadedConfiguration,
  given: string | undefined,
): { tenant: string; service: string } | undefined {
  if (given === undefined) return configuration.cache.prewarm[0];
  const [tenant = "", service = "default"] = given.split("/");
  return { tenant, service };
}

async function create<Made>(
  contribution: Contribution<TSchema, Made>,
  loaded: LoadedConfiguration,
  section: unknown,
  path: ConfigurationPath,
  lines: string[],
): Promise<Made> {
  const write = (fields: object, message: string): void => void lines.push(`${JSON.stringify(fields)} ${message}`);
  const nothing = { add() {}, set() {}, observe() {} };
  const context: PluginContext = {
    log: { info: write, warn: write, error: write },
    clock: systemClock,
    metrics: { counter: () => nothing, gauge: () => nothing, histogram: () => nothing },
    edgeId: loaded.configuration.edge.id,
    directory: dirname(resolve(loaded.directory, "x")),
    signal: new AbortController().signal,
    attempt: async (_name, run) => run(),
  };
  try {
    return await contribution.create(section as never, context);
  } catch (error) {
    if (error instanceof SectionError) throw loaded.errorAt([...path, ...error.path], error.message);
    throw error;
  }
}
