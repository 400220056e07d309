/** The reference Core's own configuration file (docs/core.md). */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { LineCounter, parseDocument } from "yaml";
import { type ConfigurationProblem, decodeConfiguration, isRecord } from "../base/config/decode.ts";
import { Address, Duration, Path, Section } from "../base/config/schema-types.ts";
import { ConfigurationError } from "../edge/config/load.ts";
import { oneOf, optional, PluginEntries } from "../edge/config/schema.ts";
import { DEFAULT_RETAINED_EVENTS } from "./store/open-store.ts";

const Globs = (description: string) => Type.Array(Type.String({ minLength: 1 }), { minItems: 1, description });

/** `publishers`: the sections of what plugins contribute, by the name that `use` gives. */
export function coreConfigurationSchema(publishers: Readonly<Record<string, TSchema>> = {}) {
  return Section({
    ...CORE_PROPERTIES,
    publishers: Type.Array(
      Section({
        use: oneOf(Object.keys(publishers), { description: "A publisher of a plugin." }),
        ...optional(publishers),
      }),
      { default: [], description: "Message brokers that get every event too, signed." },
    ),
    plugins: PluginEntries,
  });
}

const CORE_PROPERTIES = {
  listen: Address({ description: "Where edges and administrators connect." }),
  database: Path({ description: "The SQLite database; made where it is not there." }),
  master_key: Type.Union(
    [
      Section({ file: Path({ description: "A file with the key." }) }),
      Section({ environment: Type.String({ minLength: 1, description: "The name of a variable with the key." }) }),
    ],
    { description: "What everything in the database is encrypted under: 32 bytes, as they are, in hex or in base64." },
  ),
  tls: Section({
    cert: Path({ description: "The Core's certificate (PEM)." }),
    key: Path({ description: "Its private key (PEM)." }),
    client_ca: Path({ description: "The CA whose edges and administrators are let in (PEM)." }),
    client_crl: Type.Array(Path(), {
      default: [],
      description: "Revocation lists (PEM or DER): who is on one is let in no more.",
    }),
  }),
  allow: Type.Array(
    Section({
      edges: Globs("Ids of edges; `*` stands for any characters."),
      tenants: Globs("Tenants that they may lease keys of."),
      services: Globs("Services that they may lease keys of."),
    }),
    { default: [], description: "Which edges may lease which keys. Nothing is allowed by default." },
  ),
  lease: Section(
    {
      ttl: Duration({ default: "5m", minimumMs: 1_000, description: "How long an edge may use a key." }),
      refresh_after: Duration({ default: "4m", minimumMs: 1_000, description: "When it should renew." }),
      deprecated_versions: Type.Integer({
        default: 2,
        minimum: 0,
        maximum: 100,
        description: "How many older versions come along with the active one.",
      }),
      per_second_per_edge: Type.Integer({
        default: 1_000,
        minimum: 1,
        description: "How many lease calls one edge may make in a second.",
      }),
    },
    { default: {} },
  ),
  retained_events: Type.Integer({
    default: DEFAULT_RETAINED_EVENTS,
    minimum: 1,
    description: "How many events are kept for edges that were away.",
  }),
};

export type CoreConfiguration = Static<ReturnType<typeof coreConfigurationSchema>>;

export interface CoreConfigurationSource {
  /** The folder that relative paths start from. */
  readonly directory: string;
  /** The entries of `plugins`, not checked: they are loaded before the rest can be. */
  readonly plugins: readonly unknown[];
  /** @throws ConfigurationError with every mistake, each with its place. */
  check(publishers: Readonly<Record<string, TSchema>>): CoreConfiguration;
}

/** @throws ConfigurationError where the file can't be read, or is no YAML. */
export function readCoreConfiguration(file: string): CoreConfigurationSource {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unknown error";
    throw new ConfigurationError([`${file}: cannot be read (${code}). Give the path with --config FILE.`]);
  }
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false });
  const value: unknown = document.errors.length > 0 ? undefined : (document.toJS() ?? {});
  if (!isRecord(value)) {
    const [first] = document.errors;
    const place = first === undefined ? "" : `:${lineCounter.linePos(first.pos[0]).line}`;
    throw new ConfigurationError([
      `${file}${place}: not YAML of the form "key: value"${first ? `: ${first.message}` : ""}`,
    ]);
  }
  const directory = dirname(resolve(file));
  return {
    directory,
    plugins: Array.isArray(value.plugins) ? value.plugins : [],
    check: (publishers) => check(file, directory, value, publishers),
  };
}

function check(
  file: string,
  directory: string,
  value: Record<string, unknown>,
  publishers: Readonly<Record<string, TSchema>>,
): CoreConfiguration {
  const problems: ConfigurationProblem[] = [];
  const decoded = decodeConfiguration(coreConfigurationSchema(publishers), value, { directory }, problems);
  const configuration = decoded as CoreConfiguration;
  for (const [index, { use, ...sections }] of problems.length === 0 ? configuration.publishers.entries() : []) {
    if (Object.hasOwn(sections, use)) continue;
    problems.push({
      path: ["publishers", index],
      message: `"use" names "${use}", so the section "${use}:" must stand beside it`,
    });
  }
  if (problems.length === 0 && configuration.lease.refresh_after > configuration.lease.ttl) {
    problems.push({ path: ["lease", "refresh_after"], message: "must be at most lease.ttl" });
  }
  if (problems.length > 0) {
    throw new ConfigurationError(
      problems.map(({ path, message }) => `${file}: ${path.length === 0 ? "" : `${path.join(".")}: `}${message}`),
    );
  }
  return configuration;
}
