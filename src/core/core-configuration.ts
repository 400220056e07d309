/** The reference Core's own configuration file (docs/core.md): its schema, and what no schema can say. */

import { resolve } from "node:path";
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import type { ConfigurationError, ConfigurationPath } from "../base/config/configuration-error.ts";
import type { ConfigurationProblem } from "../base/config/decode.ts";
import type { FileSecret } from "../base/config/file-secret.ts";
import { type ConfigurationText, readConfigurationText } from "../base/config/load.ts";
import { Address, Duration, Name, oneOf, optional, Path, Secret, Section, Size } from "../base/config/schema-types.ts";
import { messageOf } from "../base/errors.ts";
import { isTrustDomain } from "../base/pki/identity.ts";
import { PluginEntries } from "../edge/plugin-host/plugin-entries.ts";
import { ConsoleSection, consoleProblems } from "./console-configuration.ts";
import { DEFAULT_EDGE_LIMITS } from "./edge-calls.ts";
import { DEFAULT_RETAINED_EVENTS, parsePostgresqlUrl } from "./store/open-store.ts";

const Globs = (description: string) => Type.Array(Type.String({ minLength: 1 }), { minItems: 1, description });

/** The sections that plugins contribute, by the name that `use` gives. */
export interface CoreContributions {
  /** Who orders things of the Core: each has a section of its own. */
  readonly targets?: Readonly<Record<string, TSchema>>;
  readonly publishers: Readonly<Record<string, TSchema>>;
  /** What opens the master key. */
  readonly keySources: Readonly<Record<string, TSchema>>;
}

/** Of what is kept, and looked at now and then: no timer runs for it. */
const YEARS_MS = 36_500 * 86_400_000;

const NO_CONTRIBUTIONS: CoreContributions = { publishers: {}, keySources: {} };

const masterKeySection = (keySources: CoreContributions["keySources"], description: string) =>
  Type.Union(
    [
      Section({ file: Path({ description: "A file with the key, which nobody but its owner and group may read." }) }),
      Section({ environment: Type.String({ minLength: 1, description: "The name of a variable with the key." }) }),
      Section({
        credential: Type.String({
          pattern: "^[A-Za-z0-9._-]+$",
          expected: "a credential's name",
          description:
            "A credential that systemd hands over (`LoadCredential=`, `LoadCredentialEncrypted=`), by its name.",
        }),
      }),
      Section({
        use: oneOf(Object.keys(keySources), {
          description:
            "A key source of a plugin that opens the key at start, such as `aws-kms`, `openbao` or `pkcs11`.",
        }),
        tenant: Name({ default: "core", description: "The tenant that the source has the key under." }),
        service: Name({ default: "master-key", description: "The service that the source has the key under." }),
        ...optional(keySources),
      }),
    ],
    { description },
  );

const DatabaseSection = Type.Union(
  [
    Type.String({
      minLength: 1,
      expected: "a path, or a URL such as postgres://core@db.example/core",
      description: "SQLite's path, or PostgreSQL's URL.",
    }),
    Section({
      url: Type.String({
        pattern: "^postgres(ql)?://",
        expected: "a URL such as postgres://core@db.example/core",
        description:
          "PostgreSQL's address. TLS is checked in full unless `?sslmode=` says otherwise or it is this machine.",
      }),
      password: Type.Optional(
        Secret({ description: "The user's password, or file: and the path of one, which is followed." }),
      ),
      ca: Type.Optional(Path({ description: "The authority (PEM) of the server's certificate." })),
      cert: Type.Optional(Path({ description: "A client certificate (PEM), with `key`." })),
      key: Type.Optional(Path({ description: "Its private key (PEM)." })),
      connections: Type.Integer({
        default: 8,
        minimum: 1,
        maximum: 100,
        description:
          "Connections for calls; two more are for notifications, and to be seen as one that uses the database.",
      }),
      timeout: Duration({ default: "1s", minimumMs: 50, maximumMs: 60_000, description: "How long a call may take." }),
    }),
  ],
  { description: "SQLite's path (made where it is not there), or a PostgreSQL that several Cores share." },
);

export function coreConfigurationSchema({
  publishers,
  keySources,
  targets = {},
}: CoreContributions = NO_CONTRIBUTIONS) {
  return Section({
    listen: Address({ description: "Where edges and administrators connect." }),
    name: Type.Optional(
      Name({ description: "This Core among those of its database. Default: the host's name and the port." }),
    ),
    trust_domain: Type.Optional(
      Type.String({ description: "Of the certificates that are let in. Default: that of the Core's own certificate." }),
    ),
    database: DatabaseSection,
    master_key: masterKeySection(
      keySources,
      "What everything in the database is encrypted under: 32 bytes, as they are, in hex or in base64.",
    ),
    former_master_key: Type.Optional(
      masterKeySection(keySources, "The one before it, while `core rotate-master-key` is under way."),
    ),
    ...CORE_PROPERTIES,
    publishers: Type.Array(
      Section({
        use: oneOf(Object.keys(publishers), { description: "A publisher of a plugin." }),
        ...optional(publishers),
      }),
      { default: [], description: "Message brokers that get every event too, signed." },
    ),
    ...optional(targets),
    plugins: PluginEntries,
  });
}

const CORE_PROPERTIES = {
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
        default: DEFAULT_EDGE_LIMITS.leasesPerSecond,
        minimum: 1,
        description: "How many lease calls one edge may make in a second.",
      }),
    },
    { default: {} },
  ),
  limits: Section(
    {
      connections_per_edge: Type.Integer({
        default: DEFAULT_EDGE_LIMITS.connections,
        minimum: 2,
        description: "How many connections one certificate's name may hold.",
      }),
      streams_per_edge: Type.Integer({
        default: DEFAULT_EDGE_LIMITS.streams,
        minimum: 1,
        description: "How many event streams one edge may hold: one for each of its workers.",
      }),
      usage_per_second_per_edge: Type.Integer({
        default: DEFAULT_EDGE_LIMITS.usageBatchesPerSecond,
        minimum: 1,
        description: "How many batches of usage one edge may send in a second.",
      }),
    },
    { default: {}, description: "What one edge may take." },
  ),
  usage: Section(
    {
      keep_counts: Duration({
        default: "400d",
        minimumMs: 1_000,
        maximumMs: YEARS_MS,
        description: "How long totals are kept after their last use.",
      }),
      keep_audit: Duration({
        default: "90d",
        minimumMs: 1_000,
        maximumMs: YEARS_MS,
        description: "How long audit events are kept.",
      }),
      max_audit: Size({ default: "1GiB", description: "How much is kept of audit events; the oldest go first." }),
    },
    { default: {}, description: "What edges report. A revocation never waits for it." },
  ),
  metrics: Type.Optional(
    Section(
      { listen: Address({ description: "Where /metrics, /livez and /readyz are served, over plain HTTP." }) },
      { description: "A listener for those who watch." },
    ),
  ),
  console: Type.Optional(ConsoleSection),
  retained_events: Type.Integer({
    default: DEFAULT_RETAINED_EVENTS,
    minimum: 1,
    description: "How many events are kept for edges that were away.",
  }),
};

export type CoreConfiguration = Static<ReturnType<typeof coreConfigurationSchema>>;
export type MasterKeyConfiguration = CoreConfiguration["master_key"];

export interface CoreConfigurationSource {
  /** The folder that relative paths start from. */
  readonly directory: string;
  /** The entries of `plugins`, not checked: they are loaded before the rest can be. */
  readonly plugins: readonly unknown[];
  /** Those that are given as files, to be followed. Complete after `check`. */
  readonly secrets: readonly FileSecret[];
  /** @throws ConfigurationError with every mistake, each with its place. */
  check(contributions?: Partial<CoreContributions>): CoreConfiguration;
  /** The error that says what is wrong at a place of the file. */
  errorAt(path: ConfigurationPath, message: string): ConfigurationError;
}

/** @throws ConfigurationError where the file can't be read, or is no YAML. */
export function readCoreConfiguration(file: string): CoreConfigurationSource {
  // No variable stands for a value here: those of the edge are not the Core's.
  const text: ConfigurationText = readConfigurationText(file, {});
  return {
    directory: text.directory,
    plugins: text.plugins,
    secrets: text.secrets,
    check: (contributions = {}) => {
      const configuration = text.decode<CoreConfiguration>(
        coreConfigurationSchema({ ...NO_CONTRIBUTIONS, ...contributions }),
        crossChecks,
      );
      const { database } = configuration;
      const isPath = typeof database === "string" && !isPostgresql(database) && database !== ":memory:";
      return isPath ? { ...configuration, database: resolve(text.directory, database) } : configuration;
    },
    errorAt: text.errorAt,
  };
}

export function isPostgresql(database: string): boolean {
  return /^postgres(ql)?:\/\//.test(database);
}

function crossChecks(configuration: CoreConfiguration): ConfigurationProblem[] {
  const { database, lease, publishers, master_key, former_master_key, trust_domain } = configuration;
  const problems: ConfigurationProblem[] = [];
  const mustStandBeside = (path: ConfigurationPath, entry: object): void => {
    const { use } = entry as { use: string };
    if (Object.hasOwn(entry, use)) return;
    problems.push({ path, message: `"use" names "${use}", so the section "${use}:" must stand beside it` });
  };
  for (const [index, entry] of publishers.entries()) mustStandBeside(["publishers", index], entry);
  if ("use" in master_key) mustStandBeside(["master_key"], master_key);
  if (former_master_key !== undefined && "use" in former_master_key) {
    mustStandBeside(["former_master_key"], former_master_key);
  }
  if (lease.refresh_after > lease.ttl) {
    problems.push({ path: ["lease", "refresh_after"], message: "must be at most lease.ttl" });
  }
  problems.push(...consoleProblems(configuration.console));
  const url = typeof database === "string" ? database : database.url;
  if (isPostgresql(url)) {
    try {
      parsePostgresqlUrl(url);
    } catch (error) {
      problems.push({ path: ["database"], message: messageOf(error) });
    }
  }
  if (trust_domain !== undefined && !isTrustDomain(trust_domain)) {
    problems.push({ path: ["trust_domain"], message: "is no SPIFFE trust domain: write it like example.org" });
  }
  return problems;
}
