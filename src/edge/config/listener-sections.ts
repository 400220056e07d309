/** `listeners` of the configuration: where the edge listens, by what, and who its callers are. */
import { type TSchema, Type } from "@sinclair/typebox";
import { Address, Owner, oneOf, optional, Path, Section } from "../../base/config/schema-types.ts";
import { LISTENER_PRINCIPAL_PATTERN } from "../access/principal-id.ts";
import { NATIVE_DOOR } from "../doors/built-in.ts";
import type { DoorEntry } from "./built-in-sections.ts";

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

export const SharedPort = () =>
  Type.Boolean({
    default: false,
    description:
      "Whether a second edge of the same user may listen on this port (SO_REUSEPORT), to take over from this one: the newest gets all new connections, and one that stops hands its callers over. Not with `workers`. Linux only.",
  });

/** The listeners, with the settings that a listener's entry may carry for its doors. */
export function listenerSection(doors: Readonly<Record<string, DoorEntry>>) {
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

/** What a listener's entry may say of itself: no door goes by these names. */
export const LISTENER_KEYS: readonly string[] = (listenerSection({}).anyOf as TSchema[]).flatMap(({ properties }) =>
  Object.keys(properties as object),
);
