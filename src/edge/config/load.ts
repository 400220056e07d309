/** The edge's configuration: its schema, and what no schema can say. */
import type { ConfigurationError, ConfigurationPath } from "../../base/config/configuration-error.ts";
import type { ConfigurationProblem } from "../../base/config/decode.ts";
import type { FileSecret } from "../../base/config/file-secret.ts";
import { type ConfigurationText, parseConfigurationText, readConfigurationText } from "../../base/config/load.ts";
import { isLoopback } from "../../base/network/loopback-host.ts";
import { checkPolicies } from "../access/check-policies.ts";
import { chooseDoorSections } from "./door-sections.ts";
import { policyRules } from "./policy-rules.ts";
import { type Configuration, type ContributedSections, configurationSchema, NO_CONTRIBUTIONS } from "./schema.ts";

/** A configuration read but not yet checked: the plugins that it names contribute to the schema first. */
export interface ConfigurationSource {
  /** The folder that relative paths start from. */
  readonly directory: string;
  /** The `plugins` list as far as it can be read, for loading before the check. */
  readonly plugins: readonly unknown[];
  /** What is no mistake, but may surprise: for the log. Complete after `check`. */
  readonly notes: readonly string[];
  /** Those that are given as files, to be followed. Complete after `check`. */
  readonly secrets: readonly FileSecret[];
  /** @throws {ConfigurationError} with every mistake. */
  check(contributed?: ContributedSections): Configuration;
  /** The error that says what is wrong at a place of the file. */
  errorAt(path: ConfigurationPath, message: string): ConfigurationError;
}

/**
 * Reads a YAML file and lays the environment over it: `CRYPTO_EDGE_CACHE_TTL=2m` stands for `cache: { ttl: 2m }`.
 *
 * @throws {ConfigurationError} when the file cannot be read or is not YAML.
 */
export function readConfiguration(file: string, environment: NodeJS.ProcessEnv = process.env): ConfigurationSource {
  return sourceOf(readConfigurationText(file, environment));
}

/** As `readConfiguration`, from text; `file` names it in messages and gives the folder. */
export function parseConfiguration(
  text: string,
  file: string,
  environment: NodeJS.ProcessEnv = {},
): ConfigurationSource {
  return sourceOf(parseConfigurationText(text, file, environment));
}

function sourceOf(text: ConfigurationText): ConfigurationSource {
  return {
    directory: text.directory,
    plugins: text.plugins,
    secrets: text.secrets,
    get notes() {
      return text.notes;
    },
    check: (contributed = NO_CONTRIBUTIONS) =>
      text.decode<Configuration>(configurationSchema(contributed), (configuration) => {
        const problems = crossChecks(configuration);
        return problems.length > 0 ? problems : chooseDoorSections(configuration, contributed.doors, text.directory);
      }),
    errorAt: text.errorAt,
  };
}

/** What no schema can say: values that must fit one another. */
function crossChecks(configuration: Configuration): ConfigurationProblem[] {
  const problems: ConfigurationProblem[] = [];
  const { cache, key_source, listeners, revocation } = configuration;
  if (cache.refresh_after >= cache.ttl) {
    problems.push({
      path: ["cache", "refresh_after"],
      message: "must be shorter than cache.ttl, or no lease is renewed before it ends",
    });
  }
  const sources = typeof key_source.use === "string" ? [key_source.use] : key_source.use;
  for (const name of new Set(sources)) {
    if (!Object.hasOwn(key_source, name)) {
      problems.push({
        path: ["key_source"],
        message: `"use" names "${name}", so the section "${name}:" must stand beside it`,
      });
    }
  }
  if (revocation.on_silence === "fail_closed" && revocation.transports.length === 0 && !sources.includes("core")) {
    problems.push({
      path: ["revocation", "on_silence"],
      message: "fail_closed needs a transport that could be heard: name one in revocation.transports",
    });
  }
  revocation.transports.forEach((transport, index) => {
    if (transport.use === "core" && key_source.core === undefined) {
      problems.push({
        path: ["revocation", "transports", index, "use"],
        message: 'the Core\'s stream needs the section "key_source.core"',
      });
    } else if (transport.use !== "core" && !Object.hasOwn(transport, transport.use)) {
      problems.push({
        path: ["revocation", "transports", index],
        message: `"use" names "${transport.use}", so the section "${transport.use}:" must stand beside it`,
      });
    }
  });
  const chosen = [
    ...configuration.audit.sinks.map((entry, index) => ({ entry, path: ["audit", "sinks", index] })),
    ...configuration.hooks.map((entry, index) => ({ entry, path: ["hooks", index] })),
  ];
  for (const { entry, path } of chosen) {
    if (Object.hasOwn(entry, entry.use)) continue;
    problems.push({
      path,
      message: `"use" names "${entry.use}", so the section "${entry.use}:" must stand beside it ("${entry.use}: {}" where it needs nothing)`,
    });
  }
  const named = listeners.flatMap((listener) => ("principal" in listener ? [listener.principal] : []));
  for (const { ruleIndex, key, message } of checkPolicies(policyRules(configuration.policies), named)) {
    problems.push({ path: ["policies", ruleIndex, key], message });
  }
  problems.push(...checkIssuers(listeners));
  listeners.forEach((listener, index) => {
    if ("client_certificates" in listener) {
      if ((listener.client_ca === undefined) === (listener.client_certificates === "verified")) {
        problems.push({
          path: ["listeners", index],
          message: '"client_ca" names who signs client certificates: give it, or let "any" in by client_certificates',
        });
      }
    }
    if ("http" in listener && !isLoopback(listener.http.host)) {
      problems.push({
        path: ["listeners", index, "http"],
        message: "plain HTTP is served on a loopback address only (127.0.0.1, ::1, localhost)",
      });
    }
  });
  return problems;
}

/** Equal subjects of different issuers must not become one principal. */
function checkIssuers(listeners: Configuration["listeners"]): ConfigurationProblem[] {
  const entries = listeners.flatMap((listener, index) =>
    ("https" in listener ? listener.tokens : []).map(({ issuer, name }, token) => ({
      issuer,
      name,
      path: ["listeners", index, "tokens", token] as const,
    })),
  );
  const issuers = new Set(entries.map(({ issuer }) => issuer));
  const issuerOf = new Map<string, string>();
  const problems: ConfigurationProblem[] = [];
  for (const { issuer, name, path } of entries) {
    if (name === undefined) {
      if (issuers.size > 1) {
        problems.push({
          path,
          message: `there are ${issuers.size} issuers of tokens, whose subjects could be equal: give each a "name", which goes before the principals in policies (token:NAME:SUBJECT)`,
        });
      }
    } else if ((issuerOf.get(name) ?? issuer) === issuer) issuerOf.set(name, issuer);
    else problems.push({ path: [...path, "name"], message: `another issuer has the name "${name}": choose another` });
  }
  return problems;
}
