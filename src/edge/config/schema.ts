/**
 * The configuration's schema: the one place that says which keys there are, what they mean, and their defaults.
 * docs/configuration.md is made from it. Plugins add the sections of their contributions.
 */
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import {
  Address,
  Duration,
  Name,
  Owner,
  oneOf,
  optional,
  Path,
  Secret,
  Section,
  Size,
} from "../../base/config/schema-types.ts";
import { OPERATIONS } from "../access/access-policy.ts";
import { LISTENER_PRINCIPAL_PATTERN } from "../access/principal-id.ts";
import { CIPHERS } from "../cipher/open-cipher.ts";
import { NATIVE_DOOR } from "../doors/built-in.ts";
import { PluginEntries } from "../plugin-host/plugin-entries.ts";
import { BUILT_IN_SECTIONS, type DoorEntry, NATIVE_SECTION } from "./built-in-sections.ts";

const MINUTE_MS = 60_000;

const CoreUrl = Type.String({ pattern: "^https://", expected: "an https:// URL" });

const CoreSection = Section(
  {
    url: Type.Union([CoreUrl, Type.Array(CoreUrl, { minItems: 1, expected: "a list of https:// URLs" })], {
      expected: "an https:// URL",
      description: "The Core's address; or those of several Cores over one database, tried in turn.",
    }),
    ca: Path({ description: "The CA certificates (PEM) that the Core's certificate must come from." }),
    cert: Path({ description: "This edge's client certificate (PEM)." }),
    key: Path({ description: "The private key (PEM) of that certificate." }),
    server_name: Type.Optional(
      Type.String({ description: "The name that the Core's certificate must carry, where it is not the URL's host." }),
    ),
    timeout: Duration({ default: "5s", minimumMs: 1, description: "How long one call to the Core may take." }),
  },
  { description: "The Core, where `key_source.use` names it." },
);

const KeyPair = { tenant: Name(), service: Name({ default: "default" }) };

const CacheSection = Section(
  {
    ttl: Duration({
      default: "5m",
      minimumMs: 100,
      maximumMs: 60 * MINUTE_MS,
      description:
        "The hard deadline of a lease: then the key is wiped. The Core's own limit counts where it is shorter.",
    }),
    refresh_after: Duration({
      default: "4m",
      minimumMs: 50,
      description: "When a lease is renewed in the background.",
    }),
    max_leases: Type.Integer({
      default: 10_000,
      minimum: 1,
      maximum: 1_000_000,
      description: "How many leases are held; the least recently used goes first.",
    }),
    prewarm: Type.Array(Section(KeyPair), {
      default: [],
      description: "Leases to ask for at start, before /readyz says yes.",
    }),
  },
  { default: {}, description: "The leases." },
);

const ListenerPrincipal = () =>
  Type.String({
    pattern: LISTENER_PRINCIPAL_PATTERN,
    expected: "a name of letters, digits and . _ : / -, which does not begin like another kind of principal's",
    description: "Who its callers are.",
  });

const Status = (served: boolean) =>
  Type.Boolean({
    default: served,
    description: "Whether /v1/status and /metrics are served here, to anyone who may connect. They name no tenant.",
  });

const TokenIssuerSection = Section(
  {
    name: Type.Optional(
      Type.String({
        pattern: "^[a-z0-9]([a-z0-9.-]{0,62}[a-z0-9])?$",
        expected: "a name of lower-case letters, digits, dots and dashes",
        description:
          "Goes before the names of its callers: `token:NAME:SUBJECT`. A must where there are several issuers, whose subjects could be equal.",
      }),
    ),
    issuer: Type.String({ minLength: 1, description: "The `iss` of its tokens, exactly." }),
    audience: Type.String({ minLength: 1, description: "What the `aud` of a token must name: this edge." }),
    jwks: Type.Union([Type.String({ pattern: "^https?://", expected: "an https:// URL" }), Path()], {
      expected: "the https:// URL of a JWK set, or a path",
      description: "The issuer's public keys, a JWK set: a URL or a file.",
    }),
    claim: Type.String({ default: "sub", minLength: 1, description: "The claim that names the caller." }),
  },
  { title: "token issuer" },
);

/** What listeners on TLS have in common. */
const TlsKeys = {
  cert: Path({ description: "The server's certificate and its chain (PEM)." }),
  key: Path({ description: "The private key (PEM) of that certificate." }),
  client_ca: Type.Optional(Path({ description: "The authorities (PEM) that client certificates must come from." })),
  client_certificates: Type.Union([Type.Literal("verified"), Type.Literal("any")], {
    default: "verified",
    description:
      "`any` takes every client certificate, whoever signed it, and lets it name nobody: for doors that know callers by their keys.",
  }),
  client_crl: Type.Array(Path(), { default: [], description: "Revocation lists (PEM or DER) of those authorities." }),
  principal_from: Type.Array(
    Type.Union((["uri", "dns", "common_name"] as const).map((source) => Type.Literal(source))),
    {
      default: ["uri", "dns", "common_name"],
      minItems: 1,
      description: "Which name of a client certificate is the principal: the first kind that it has.",
    },
  ),
  min_tls: Type.Union(
    (["1.3", "1.2"] as const).map((version) => Type.Literal(version)),
    { default: "1.3", expected: '"1.3" or "1.2", in quotes', description: "The oldest TLS version that is spoken." },
  ),
};

const SharedPort = () =>
  Type.Boolean({
    default: false,
    description:
      "Whether a second edge of the same user may listen on this port (SO_REUSEPORT), to take over from this one: the newest gets all new connections, and one that stops hands its callers over. Not with `workers`. Linux only.",
  });

/** The listeners, with the settings that a listener's entry may carry for its doors. */
function listenerSection(doors: Readonly<Record<string, DoorEntry>>) {
  const entries = Object.entries(doors);
  // Their types are the doors' own.
  const sections = optional(Object.fromEntries(entries.map(([name, { section }]) => [name, section]))) as object;
  const Doors = (names: readonly string[], options: object) =>
    Type.Array(oneOf(names), { minItems: 1, description: "The front doors that are served here.", ...options });
  const all = [NATIVE_DOOR, ...entries.map(([name]) => name)];
  const http = [NATIVE_DOOR, ...entries.flatMap(([name, { transport }]) => (transport === "http" ? [name] : []))];
  const socket = entries.flatMap(([name, { transport }]) => (transport === "socket" ? [name] : []));

  const HttpListener = Section(
    {
      http: Address({ description: "Plain HTTP on this loopback address." }),
      shared: SharedPort(),
      principal: ListenerPrincipal(),
      doors: Doors(http, { default: [NATIVE_DOOR] }),
      status: Status(true),
      ...sections,
    },
    { title: "http" },
  );

  const HttpsListener = Section(
    {
      https: Address({ description: "HTTPS on this address, for callers with certificates or tokens." }),
      shared: SharedPort(),
      ...TlsKeys,
      tokens: Type.Array(TokenIssuerSection, {
        default: [],
        description:
          "Issuers whose bearer tokens (JWT) are taken from callers without a certificate. None: a certificate is a must.",
      }),
      doors: Doors(http, { default: [NATIVE_DOOR] }),
      status: Status(false),
      ...sections,
    },
    { title: "https" },
  );

  const TlsListener = Section(
    {
      tls: Address({
        description: "TLS on this address, for a door with a protocol of its own; a certificate is a must.",
      }),
      ...TlsKeys,
      doors: Doors(socket, {}),
      ...sections,
    },
    { title: "tls" },
  );

  const UnixListener = Section(
    {
      unix: Path({ description: "The socket's path." }),
      mode: Type.String({
        default: "0660",
        pattern: "^0?[0-7]{3}$",
        expected: 'a file mode in quotes, such as "0660"',
        description: "The socket's file mode.",
      }),
      owner: Type.Optional(
        Owner({ description: "The socket's user, user and group, or (with a colon before it) group, by number." }),
      ),
      shared: Type.Boolean({
        default: false,
        description:
          "Whether several edges serve this path in turn: the one that came last, then another at once when it ends. Without, a socket that is served is an error.",
      }),
      principal: ListenerPrincipal(),
      doors: Doors(all, { default: [NATIVE_DOOR] }),
      status: Status(true),
      ...sections,
    },
    { title: "unix" },
  );

  return Type.Union([HttpListener, UnixListener, HttpsListener, TlsListener], {
    expected: 'a listener: one of "http: ADDRESS", "unix: PATH", "https: ADDRESS" or "tls: ADDRESS"',
  });
}

const Operation = Type.Union(OPERATIONS.map((operation) => Type.Literal(operation)));

const PolicySection = Section({
  name: Type.Optional(Type.String({ minLength: 1, description: "For people: `access explain` shows it." })),
  effect: Type.Union([Type.Literal("allow"), Type.Literal("deny")], {
    default: "allow",
    description: "A rule that denies wins over every rule that allows.",
  }),
  principals: Type.Array(Type.String(), {
    minItems: 1,
    description: "Names of principals; `*` stands for any characters.",
  }),
  tenants: Type.Array(Type.String(), { minItems: 1, description: "Tenants; `*` stands for any characters." }),
  services: Type.Array(Type.String(), { minItems: 1, description: "Services; `*` stands for any characters." }),
  operations: Type.Array(Operation, { minItems: 1, description: "What they may do." }),
  cache_seconds: Type.Optional(
    Type.Integer({
      minimum: 0,
      description:
        "How long callers may keep plaintext keys that they get by this rule; 0: not at all. Never longer than the edge's lease.",
    }),
  ),
  rate_limit: Type.Optional(
    Section(
      {
        per_principal: Type.Optional(
          Type.Integer({ minimum: 1, description: "Keys a second for each principal; as many at once after a rest." }),
        ),
        per_tenant: Type.Optional(
          Type.Integer({ minimum: 1, description: "Keys a second for each tenant, of all principals together." }),
        ),
      },
      { description: "How much of what this rule allows." },
    ),
  ),
});

const UsageSection = Section(
  {
    send_after: Duration({
      default: "10s",
      minimumMs: 100,
      description: "How long usage is gathered before a batch goes to the Core; a kill loses at most that.",
    }),
    batch_records: Type.Integer({ default: 1000, minimum: 1, maximum: 100_000, description: "Records in one batch." }),
    max_rows: Type.Integer({
      default: 10_000,
      minimum: 1,
      maximum: 1_000_000,
      description:
        "Counts kept apart (principal, tenant, service, version); beyond, the oldest are merged under `*`. None is lost.",
    }),
    max_audit_lines: Type.Integer({
      default: 10_000,
      minimum: 1,
      maximum: 1_000_000,
      description: "Audit lines that wait for the Core or a sink; beyond, they are dropped and counted.",
    }),
  },
  { default: {}, description: "What the Core is told of what was done." },
);

function auditSection(sinks: Readonly<Record<string, TSchema>>) {
  return Section(
    {
      operations: Type.Union(
        (["failures", "all", "none"] as const).map((which) => Type.Literal(which)),
        {
          default: "failures",
          description:
            "Which operations are audited one by one. Leases, revocations, start and stop always are; `all` costs a line for each call.",
        },
      ),
      file: Type.Optional(
        Section(
          {
            path: Path({ description: "The file, JSON lines; `crypto-edge audit verify` checks it." }),
            max_size: Size({ default: "64MiB", description: "Beyond, the file is put aside and a new one begun." }),
            keep_files: Type.Integer({
              default: 0,
              minimum: 0,
              description: "How many files put aside are kept; 0 keeps all.",
            }),
            fsync: Type.Union(
              (["write", "second", "rotation"] as const).map((when) => Type.Literal(when)),
              {
                default: "second",
                description:
                  "When lines are forced to the disk: at each write, once a second, or when the file is full and at the end.",
              },
            ),
          },
          { description: "An audit file on this machine." },
        ),
      ),
      stdout: Type.Boolean({ default: false, description: "Whether the audit lines go to standard output too." }),
      write_after: Duration({
        default: "100ms",
        minimumMs: 1,
        description: "How long a line may wait in memory before it is written; a kill loses at most that.",
      }),
      sinks: Type.Array(
        Section({
          use: oneOf(Object.keys(sinks), { description: "An audit sink of a plugin." }),
          ...optional(sinks),
        }),
        { default: [], description: "Where plugins take the audit." },
      ),
    },
    { default: {}, description: "The audit: who did what." },
  );
}

const LimitsSection = Section(
  {
    max_connections: Type.Integer({
      default: 10_000,
      minimum: 1,
      description: "Connections of each listener; further ones are closed, without TLS with an answer.",
    }),
    max_connections_per_principal: Type.Integer({
      default: 1_000,
      minimum: 1,
      description: "Connections of one principal to one listener; all callers of a unix or http listener are one.",
    }),
    failed_handshakes_per_second: Type.Integer({
      default: 200,
      minimum: 1,
      maximum: 1_000_000,
      description:
        "TLS handshakes that may fail from one address (of IPv6: one /64) in a second, and as many at once after a rest; beyond, its connections are closed before their handshake. One that succeeds makes up for one that failed.",
    }),
    max_requests: Type.Integer({
      default: 2_048,
      minimum: 1,
      description: "Requests in flight on each listener; further ones are answered 503.",
    }),
    max_requests_per_principal: Type.Integer({
      default: 1_024,
      minimum: 1,
      description: "Requests in flight of one principal; further ones are answered 429.",
    }),
    max_header: Size({
      default: "16KiB",
      minimumBytes: 1_024,
      maximumBytes: 2 ** 20,
      description: "The longest head of a request.",
    }),
    max_body: Size({
      default: "16MiB",
      minimumBytes: 1_024,
      maximumBytes: 2 ** 28,
      description:
        "The longest body of a batch; a longer one is answered 413. One operation on a key takes 64 KiB at most, on a value 128 KiB.",
    }),
    max_bodies: Size({
      default: "256MiB",
      description:
        "All bodies in flight on each listener together, with batches in the making and answers that their callers have not read; a request beyond is answered 503. One principal has a quarter of it, or one longest body; beyond, 429.",
    }),
    request_timeout: Duration({
      default: "30s",
      minimumMs: 100,
      description: "How long a request may take to arrive.",
    }),
    idle_timeout: Duration({
      default: "60s",
      minimumMs: 1_000,
      description: "How long a connection may stay open without a request, or take to read an answer.",
    }),
  },
  { default: {}, description: "What callers may use up." },
);

const OtlpSection = Section(
  {
    url: Type.String({
      pattern: "^https?://[^/\\s]",
      expected: "an https:// URL such as https://collector:4318",
      description: "The collector's OTLP/HTTP address, without `/v1/traces`; `http://` for one on this machine.",
    }),
    headers: Type.Record(
      Type.String({ pattern: "^[A-Za-z0-9-]{1,64}$" }),
      Secret({ description: "Its value; `file:PATH` for a secret, as that of `authorization`." }),
      { default: {}, expectedKey: "a header's name", description: "Headers of each request." },
    ),
    ca: Type.Optional(
      Path({
        description: "The authorities (PEM) that the collector's certificate must come from; else the runtime's.",
      }),
    ),
    cert: Type.Optional(Path({ description: "A client certificate (PEM), where the collector asks for one." })),
    key: Type.Optional(Path({ description: "The private key (PEM) of that certificate." })),
    service_name: Type.String({
      default: "crypto-edge",
      minLength: 1,
      description: "The `service.name` of all of it.",
    }),
    traces: Type.Boolean({
      default: true,
      description: "Whether misses, calls to the key source and revocations are sent as spans.",
    }),
    audit: Type.Boolean({ default: true, description: "Whether audit events are sent as log records." }),
  },
  { description: "A collector of OpenTelemetry; without it nothing is sent." },
);

function hooksSection(hooks: Readonly<Record<string, TSchema>>) {
  return Type.Array(
    Section({
      use: oneOf(Object.keys(hooks), { description: "A hook of a plugin." }),
      on_failure: Type.Union([Type.Literal("refuse"), Type.Literal("allow")], {
        default: "refuse",
        description: "What becomes of an operation whose hook throws, is late, or has too many calls open.",
      }),
      timeout: Duration({
        default: "100ms",
        minimumMs: 1,
        description: "How long a hook may take that does not answer at once.",
      }),
      ...optional(hooks),
    }),
    { default: [], description: "Plugins' hooks, asked in this order before and after each operation." },
  );
}

/** What `plugins` lists, of an edge and of a Core. */

/** The sections of what plugins contribute, by the name that `use` gives. */
export interface ContributedSections {
  readonly keySources: Readonly<Record<string, TSchema>>;
  readonly revocationTransports: Readonly<Record<string, TSchema>>;
  readonly auditSinks: Readonly<Record<string, TSchema>>;
  readonly ciphers: Readonly<Record<string, TSchema>>;
  readonly hooks: Readonly<Record<string, TSchema>>;
  readonly doors: Readonly<Record<string, DoorEntry>>;
}

export const NO_CONTRIBUTIONS: ContributedSections = {
  keySources: {},
  revocationTransports: {},
  auditSinks: {},
  ciphers: {},
  hooks: {},
  doors: {},
};

/** What a listener's entry may say of itself: no door goes by these names. */
export const LISTENER_KEYS: readonly string[] = (listenerSection({}).anyOf as TSchema[]).flatMap(({ properties }) =>
  Object.keys(properties as object),
);

function cipherSection(contributed: Readonly<Record<string, TSchema>>) {
  return Section(
    {
      use: oneOf(["auto", ...Object.keys(CIPHERS), ...Object.keys(contributed)], {
        default: "auto",
        description:
          "What does the cryptography: `openssl` is the machine's libcrypto 3, `node` the runtime's own; `auto` takes the first that this machine has and that gives the right answers. Or a plugin's.",
      }),
      require_fips: Type.Boolean({
        default: false,
        description: "Whether the edge refuses to start unless a FIPS provider of OpenSSL does the work.",
      }),
      ...optional(contributed),
    },
    { default: {}, description: "The cipher that data keys and values are wrapped with." },
  );
}

/** The whole schema, with the sections of the contributed sources and transports. */
export function configurationSchema(contributed: ContributedSections = NO_CONTRIBUTIONS) {
  const doors = { ...BUILT_IN_SECTIONS, ...contributed.doors };
  const sourceNames = ["core", ...Object.keys(contributed.keySources)];
  const transportNames = ["core", ...Object.keys(contributed.revocationTransports)];
  return Section({
    edge: Section(
      { id: Name({ description: "This edge's name, unique in its fleet." }) },
      { description: "The edge itself." },
    ),
    key_source: Section(
      {
        use: Type.Union([oneOf(sourceNames), Type.Array(oneOf(sourceNames), { minItems: 1 })], {
          default: "core",
          expected: `a key source (${sourceNames.join(", ")}), or a list of them to ask in turn`,
          description: "Where service keys come from. Of a list, the next is asked when one is unavailable.",
        }),
        core: Type.Optional(CoreSection),
        ...optional(contributed.keySources),
      },
      { description: "Where service keys come from." },
    ),
    cache: CacheSection,
    revocation: Section(
      {
        transports: Type.Array(
          Section({
            use: oneOf(transportNames, { description: "`core`, or a transport of a plugin." }),
            ...optional(contributed.revocationTransports),
          }),
          {
            default: [],
            description:
              "What pushes revocations. The Core's own stream is used when the list is empty and the Core is a source.",
          },
        ),
        max_silence: Duration({
          default: "30s",
          minimumMs: 100,
          description: "How long no transport may be alive before `on_silence` happens.",
        }),
        on_silence: Type.Union([Type.Literal("renew_early"), Type.Literal("fail_closed")], {
          default: "renew_early",
          description: "Ask the source for every lease again, or refuse to serve.",
        }),
      },
      { default: {}, description: "What cuts leases short." },
    ),
    listeners: Type.Array(listenerSection(doors), { minItems: 1, description: "Where applications call." }),
    doors: Section(
      optional({
        [NATIVE_DOOR]: NATIVE_SECTION,
        ...Object.fromEntries(Object.entries(doors).map(([name, { section }]) => [name, section])),
      }),
      { default: {}, description: "Settings of front doors, where a listener's entry does not carry its own." },
    ),
    policies: Type.Array(PolicySection, {
      default: [],
      description: "Who may do what. Nothing is allowed that no policy allows.",
    }),
    limits: LimitsSection,
    workers: Type.Union([Type.Integer({ minimum: 1, maximum: 256 }), Type.Literal("auto")], {
      default: 1,
      expected: 'a number of processes from 1 to 256, or "auto"',
      description: "How many processes serve, sharing the ports; `auto` takes one for each core.",
    }),
    plugins: PluginEntries,
    key_memory: Section(
      {
        kind: Type.Union(
          (["auto", "secret", "locked", "heap"] as const).map((kind) => Type.Literal(kind)),
          { default: "auto", description: "Where service keys live; `auto` takes the best that the machine has." },
        ),
        dumpable: Type.Boolean({ default: false, description: "Whether the process may be dumped and traced." }),
      },
      { default: {}, description: "The memory that service keys live in." },
    ),
    cipher: cipherSection(contributed.ciphers),
    usage: UsageSection,
    audit: auditSection(contributed.auditSinks),
    hooks: hooksSection(contributed.hooks),
    metrics: Type.Optional(
      Section(
        {
          listen: Address({
            description: "Where /metrics, /livez and /readyz are served, over plain HTTP; no operation is.",
          }),
          shared: SharedPort(),
        },
        { description: "A listener for those who watch; other listeners serve /metrics where `status` is true." },
      ),
    ),
    telemetry: Type.Optional(
      Section({ otlp: Type.Optional(OtlpSection) }, { description: "What is pushed to those who watch." }),
    ),
    log: Section(
      {
        level: Type.Union(
          (["debug", "info", "warn", "error"] as const).map((level) => Type.Literal(level)),
          { default: "info", description: "The least that is logged." },
        ),
      },
      { default: {}, description: "The log, JSON lines on standard error." },
    ),
    stop_timeout: Duration({
      default: "10s",
      maximumMs: 60 * MINUTE_MS,
      description: "How long requests in flight may take to finish after SIGTERM.",
    }),
  });
}

export type Configuration = Static<ReturnType<typeof configurationSchema>>;
export type ListenerConfiguration = Configuration["listeners"][number];
export type LimitsConfiguration = Static<typeof LimitsSection>;
export type PolicyConfiguration = Static<typeof PolicySection>;
