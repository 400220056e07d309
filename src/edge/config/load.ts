/** From a YAML file and the environment to a checked configuration, or to every mistake in it, by line. */
import { dirname, resolve } from "node:path";
import type { TSchema } from "@sinclair/typebox";
import { type Document, isNode, LineCounter, parseDocument, parse as parseYaml } from "yaml";
import {
  type ConfigurationPath,
  type ConfigurationProblem,
  decodeConfiguration,
  isRecord,
  nearestName,
} from "../../base/config/decode.ts";
import { isOfCommands, isServiceVariable } from "../../base/config/environment.ts";
import { messageOf } from "../../base/errors.ts";
import { isLoopback } from "../../base/network/loopback-host.ts";
import { readFileText } from "../../base/read-file.ts";
import { checkPolicies } from "../access/policy.ts";
import { chooseDoorSections } from "./door-sections.ts";
import { policyRules } from "./policy-rules.ts";
import { type Configuration, type ContributedSections, configurationSchema, NO_CONTRIBUTIONS } from "./schema.ts";

const ENVIRONMENT_PREFIX = "CRYPTO_EDGE_";

/** Everything that is wrong with a configuration, one line each: `FILE:LINE:COLUMN: path: what is wrong`. */
export class ConfigurationError extends Error {
  override readonly name = "ConfigurationError";
  readonly lines: readonly string[];

  constructor(lines: readonly string[]) {
    super(lines.join("\n"));
    this.lines = lines;
  }
}

/** A configuration read but not yet checked: the plugins that it names contribute to the schema first. */
export interface ConfigurationSource {
  /** The folder that relative paths start from. */
  readonly directory: string;
  /** The `plugins` list as far as it can be read, for loading before the check. */
  readonly plugins: readonly unknown[];
  /** What is no mistake, but may surprise: for the log. Complete after `check`. */
  readonly notes: readonly string[];
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
  let text: string;
  try {
    text = readFileText(file);
  } catch (error) {
    throw new ConfigurationError([`${messageOf(error)}, and give it with --config FILE.`]);
  }
  return parseConfiguration(text, file, environment);
}

/** As `readConfiguration`, from text; `file` names it in messages and gives the folder. */
export function parseConfiguration(
  text: string,
  file: string,
  environment: NodeJS.ProcessEnv = {},
): ConfigurationSource {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false });
  if (document.errors.length > 0) {
    throw new ConfigurationError(
      document.errors.map((error) => {
        const { line, col } = lineCounter.linePos(error.pos[0]);
        return `${file}:${line}:${col}: not YAML: ${error.message}`;
      }),
    );
  }
  const directory = dirname(resolve(file));
  const value: unknown = document.toJS() ?? {};
  const ignored: string[] = [];
  const describe = (problem: ConfigurationProblem, origins?: ReadonlyMap<string, string>): string => {
    const path = showPath(problem.path);
    const place = origins?.get(path) ?? `${file}${placeOf(document, lineCounter, problem.path)}`;
    return `${place}: ${path === "" ? "" : `${path}: `}${problem.message}`;
  };

  return {
    directory,
    plugins: isRecord(value) && Array.isArray(value.plugins) ? value.plugins : [],
    check(contributed = NO_CONTRIBUTIONS) {
      const schema = configurationSchema(contributed);
      const problems: ConfigurationProblem[] = [];
      const origins = isRecord(value) ? overlayEnvironment(schema, value, environment, problems, ignored) : undefined;
      const configuration = decodeConfiguration(schema, value, { directory }, problems) as Configuration;
      if (problems.length === 0) problems.push(...crossChecks(configuration));
      if (problems.length === 0) problems.push(...chooseDoorSections(configuration, contributed.doors, directory));
      if (problems.length > 0) {
        throw new ConfigurationError(problems.map((problem) => describe(problem, origins)));
      }
      return configuration;
    },
    get notes() {
      if (ignored.length === 0) return [];
      return [
        `these variables of the environment were set by Kubernetes for its Services, and configure nothing: ${ignored.join(", ")}`,
      ];
    },
    errorAt: (path, message) => new ConfigurationError([describe({ path, message })]),
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

/** Writes each `CRYPTO_EDGE_…` variable into `value`; returns which variable gave which path. */
function overlayEnvironment(
  schema: TSchema,
  value: Record<string, unknown>,
  environment: NodeJS.ProcessEnv,
  problems: ConfigurationProblem[],
  ignored: string[],
): Map<string, string> {
  const known = scalarPaths(schema);
  const origins = new Map<string, string>();
  for (const [variable, text] of Object.entries(environment)) {
    if (!variable.startsWith(ENVIRONMENT_PREFIX) || isOfCommands(variable) || text === undefined) continue;
    const path = known.get(variable);
    if (path === undefined && isServiceVariable(variable, text)) {
      ignored.push(variable);
      continue;
    }
    if (path === undefined) {
      const nearest = nearestName(variable, [...known.keys()]);
      origins.set("", "environment");
      problems.push({
        path: [],
        message: `unknown variable ${variable}${nearest === undefined ? "" : `; did you mean ${nearest}?`}`,
      });
      continue;
    }
    let section = value;
    for (const key of path.slice(0, -1)) {
      if (!isRecord(section[key])) section[key] = {};
      section = section[key] as Record<string, unknown>;
    }
    section[path.at(-1)!] = text === "" ? text : parseYaml(text);
    origins.set(showPath(path), `environment variable ${variable}`);
  }
  return origins;
}

/** Every path to a value that is not a section or a list, by its variable's name. */
function scalarPaths(schema: TSchema, path: readonly string[] = []): Map<string, readonly string[]> {
  const paths = new Map<string, readonly string[]>();
  for (const [key, inner] of Object.entries((schema.properties ?? {}) as Record<string, TSchema>)) {
    const innerPath = [...path, key];
    if (inner.type === "object") for (const [name, found] of scalarPaths(inner, innerPath)) paths.set(name, found);
    else if (inner.type !== "array") paths.set(ENVIRONMENT_PREFIX + innerPath.join("_").toUpperCase(), innerPath);
  }
  return paths;
}

/** `:LINE:COLUMN` of the node at a path, or of the nearest one around it. */
function placeOf(document: Document, lineCounter: LineCounter, path: ConfigurationPath): string {
  for (let length = path.length; length >= 0; length--) {
    const node: unknown = length === 0 ? document.contents : keyNode(document, path.slice(0, length));
    if (isNode(node) && node.range) {
      const { line, col } = lineCounter.linePos(node.range[0]);
      return `:${line}:${col}`;
    }
  }
  return "";
}

/** The node of a map's key where the path ends in one, else the value's. */
function keyNode(document: Document, path: ConfigurationPath): unknown {
  const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
  const items = (parent as { items?: unknown[] } | undefined)?.items;
  const pair = items?.find((item) => (item as { key?: { value?: unknown } }).key?.value === path.at(-1));
  return (pair as { key?: unknown } | undefined)?.key ?? document.getIn(path, true);
}

function showPath(path: ConfigurationPath): string {
  return path.reduce<string>(
    (text, key) => (typeof key === "number" ? `${text}[${key}]` : text === "" ? key : `${text}.${key}`),
    "",
  );
}
