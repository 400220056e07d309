/** Makes each contribution of a plugin from a configuration that uses it, and runs the rules of its kind. */

import { dirname, resolve } from "node:path";
import type { TSchema } from "@sinclair/typebox";
import type { ConfigurationPath } from "../../base/config/configuration-error.ts";
import { systemClock } from "../../base/time/system-clock.ts";
import { VERSION } from "../../base/version.ts";
import type { LoadedConfiguration } from "../../edge/config/load-with-plugins.ts";
import type { Door, DoorContext } from "../../edge/doors/door.ts";
import type { LoadedPlugin } from "../../edge/plugin-host/loader.ts";
import {
  type Contribution,
  type DoorContribution,
  type PluginContext,
  SectionError,
} from "../../edge/plugin-host/plugin.ts";
import { cipherRules } from "./cipher.ts";
import { doorRules, RefusingOperations } from "./doors.ts";
import { keySourceRules } from "./key-source.ts";
import { auditSinkRules, hookRules, transportRules } from "./other-kinds.ts";
import { publisherRules } from "./publisher.ts";
import type { RuleResult, Section } from "./report.ts";
import { type Rule, runRules } from "./rules.ts";
import { KIND_NAMES, KINDS, type Kind, type Use, useOf } from "./uses.ts";

/** A section of the report for each contribution. `away`: the configuration with the backend out of reach. */
export async function contributionSections(
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
    follow: async ({ take }) => take(),
  };
  try {
    return await contribution.create(section as never, context);
  } catch (error) {
    if (error instanceof SectionError) throw loaded.errorAt([...path, ...error.path], error.message);
    throw error;
  }
}
