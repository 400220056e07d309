/**
 * From a YAML file and the environment to a checked configuration, or to every mistake in it, by line: the edge's and the
 * Core's alike.
 */
import { dirname, resolve } from "node:path";
import type { TSchema } from "@sinclair/typebox";
import { type Document, isNode, LineCounter, parseDocument, parse as parseYaml } from "yaml";
import { messageOf } from "../errors.ts";
import { readFileText } from "../read-file.ts";
import { ConfigurationError, type ConfigurationPath, showPath } from "./configuration-error.ts";
import { type ConfigurationProblem, decodeConfiguration, isRecord, nearestName } from "./decode.ts";
import { isOfCommands, isServiceVariable } from "./environment.ts";
import type { FileSecret } from "./file-secret.ts";

const ENVIRONMENT_PREFIX = "CRYPTO_EDGE_";

/** The text of a configuration, read but not yet checked. */
export interface ConfigurationText {
  /** The folder that relative paths start from. */
  readonly directory: string;
  /** The `plugins` list as far as it can be read, for loading before the check. */
  readonly plugins: readonly unknown[];
  /** What is no mistake, but may surprise: for the log. Complete after `decode`. */
  readonly notes: readonly string[];
  /** Those that are given as files, to be followed. Complete after `decode`. */
  readonly secrets: readonly FileSecret[];
  /**
   * The configuration, decoded by its schema.
   *
   * @param crossChecks What no schema can say: values that must fit one another. Asked where the schema finds no mistake.
   * @throws {ConfigurationError} with every mistake.
   */
  decode<Configuration>(
    schema: TSchema,
    crossChecks: (configuration: Configuration) => readonly ConfigurationProblem[],
  ): Configuration;
  /** The error that says what is wrong at a place of the file. */
  errorAt(path: ConfigurationPath, message: string): ConfigurationError;
}

/** @throws {ConfigurationError} when the file cannot be read or is not YAML. */
export function readConfigurationText(file: string, environment: NodeJS.ProcessEnv): ConfigurationText {
  let text: string;
  try {
    text = readFileText(file);
  } catch (error) {
    throw new ConfigurationError([`${messageOf(error)}, and give it with --config FILE.`]);
  }
  return parseConfigurationText(text, file, environment);
}

/**
 * `file` names the text in messages and gives the folder. The environment's `CRYPTO_EDGE_…` variables are laid over it; an
 * empty one: none is.
 */
export function parseConfigurationText(text: string, file: string, environment: NodeJS.ProcessEnv): ConfigurationText {
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
  const secrets: FileSecret[] = [];
  const describe = (problem: ConfigurationProblem, origins?: ReadonlyMap<string, string>): string => {
    const path = showPath(problem.path);
    const place = origins?.get(path) ?? `${file}${placeOf(document, lineCounter, problem.path)}`;
    return `${place}: ${path === "" ? "" : `${path}: `}${problem.message}`;
  };

  return {
    directory,
    secrets,
    plugins: isRecord(value) && Array.isArray(value.plugins) ? value.plugins : [],
    decode<Configuration>(
      schema: TSchema,
      crossChecks: (configuration: Configuration) => readonly ConfigurationProblem[],
    ): Configuration {
      const problems: ConfigurationProblem[] = [];
      const origins = isRecord(value) ? overlayEnvironment(schema, value, environment, problems, ignored) : undefined;
      const configuration = decodeConfiguration(schema, value, { directory, secrets }, problems) as Configuration;
      if (problems.length === 0) problems.push(...crossChecks(configuration));
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
