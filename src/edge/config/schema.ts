/**
 * The configuration's schema: the one place that says which keys there are, what they mean, and their defaults.
 * docs/configuration.md is made from it. Plugins add the sections of their contributions.
 */
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { Address, Duration, Name, oneOf, optional, Path, Section, Size } from "../../base/config/schema-types.ts";
import { CIPHERS } from "../cipher/open-cipher.ts";
import { NATIVE_DOOR } from "../doors/built-in.ts";
import { PluginEntries } from "../plugin-host/plugin-entries.ts";
import { BUILT_IN_SECTIONS, type DoorEntry, NATIVE_SECTION } from "./built-in-sections.ts";
import { listenerSection, SharedPort } from "./listener-sections.ts";
import { PolicySection } from "./policy-section.ts";
import { auditSection, OtlpSection, UsageSection } from "./usage-sections.ts";

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
