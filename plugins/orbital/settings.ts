/** The plugin's section of the configuration, and what is made of it. */
import {
  Address,
  BrokerTls,
  checkLogin,
  compileGlobs,
  messageOf,
  PasswordLogin,
  Path,
  type PluginContext,
  readSetting,
  Section,
  SectionError,
  type Static,
  Type,
} from "crypto-edge/plugin";
import type { Authority } from "./edge-tasks.ts";
import { IssuerKeys, isFetched } from "./issuer-keys.ts";
import { AnswerSigner } from "./signatures.ts";

const Queue = (description: string) => Type.String({ minLength: 1, maxLength: 255, description });

export const OrbitalSection = Section(
  {
    amqp: Type.Optional(
      Section(
        {
          server: Type.String({
            pattern: "^amqps?://[^/@\\s]+$",
            expected: "an address such as amqps://broker.example:5671, or amqp://… without TLS",
            description: "The broker.",
          }),
          requests: Queue("The queue that requests come in by: the target's queue at the manager."),
          answers: Queue("The queue that answers go to: the manager's own."),
          codec: Type.Union([Type.Literal("json"), Type.Literal("protobuf")], {
            default: "json",
            description: "How messages are written: as the manager's configuration has it.",
          }),
          login: Type.Union([Type.Literal("anonymous"), Type.Literal("plain"), Type.Literal("external")], {
            default: "anonymous",
            description: "SASL: `plain` takes user and password, `external` the client certificate.",
          }),
          ...PasswordLogin,
          hostname: Type.Optional(
            Type.String({
              minLength: 1,
              description: "The hostname of AMQP's open frame: RabbitMQ takes `vhost:NAME`.",
            }),
          ),
          properties: Type.Optional(
            Type.Record(Type.String(), Type.String(), { description: "Of the connection: `vpn-name` for Solace." }),
          ),
          tls: Type.Optional(BrokerTls("For amqps:// addresses.")),
        },
        { description: "AMQP 1.0: for what must not be lost." },
      ),
    ),
    grpc: Type.Optional(
      Section(
        {
          listen: Address({ description: "Where the manager calls." }),
          cert: Path({ description: "The server's certificate (PEM)." }),
          key: Path({ description: "Its private key (PEM)." }),
          client_ca: Path({ description: "The CA whose clients are let in (PEM): mutual TLS, always." }),
        },
        { description: "gRPC: for what must be at once." },
      ),
    ),
    issuers: Type.Array(
      Section({
        issuer: Type.String({ minLength: 1, description: "`iss` of its signatures." }),
        keys: Type.String({ minLength: 1, description: "Its JWK set: a file, or an https:// address." }),
        ca: Type.Optional(Path({ description: "The CA of that address; the system's without it." })),
        tenants: Type.Array(Type.String({ minLength: 1 }), {
          default: [],
          description: "Globs: the tenants that it may revoke and restore. None by default.",
        }),
        restores: Type.Union([Type.Literal("any"), Type.Literal("named")], {
          default: "any",
          description:
            "`named`: a restore has to name the task ids that it lifts, so that an old one can't be played again.",
        }),
      }),
      { default: [], description: "Who is trusted to sign requests." },
    ),
    require_signature: Type.Boolean({
      default: true,
      description: "Refuse requests that are not signed. Orders of an authority always have to be.",
    }),
    sign: Type.Optional(
      Section(
        {
          issuer: Type.String({ minLength: 1, description: "`iss` of this edge's signatures." }),
          key_id: Type.String({
            minLength: 1,
            description: "`kid`: the key's name in the JWK set that the manager has.",
          }),
          key: Path({ description: "An RSA key of 3,072 bits or more (PEM)." }),
        },
        { description: "Signs answers (PS256)." },
      ),
    ),
  },
  { description: "Orbital's requests over AMQP 1.0, gRPC, or both at once." },
);

export type OrbitalConfiguration = Static<typeof OrbitalSection>;
export type AmqpSettings = NonNullable<OrbitalConfiguration["amqp"]>;
export type GrpcSettings = NonNullable<OrbitalConfiguration["grpc"]>;

/** What no schema can say. @throws {SectionError} */
export function checkOrbital({ amqp, grpc, issuers, require_signature: required, sign }: OrbitalConfiguration): void {
  if (amqp === undefined && grpc === undefined) throw new SectionError([], "give amqp, grpc, or both");
  if (amqp !== undefined) checkAmqp(amqp);
  if (grpc !== undefined) for (const name of ["cert", "key", "client_ca"] as const) readOf(["grpc", name], grpc[name]);
  if (required && issuers.length === 0) {
    throw new SectionError(
      ["issuers"],
      "requests have to be signed, so an issuer has to be trusted: name it, or say require_signature: false",
    );
  }
  const names = issuers.map(({ issuer }) => issuer);
  const twice = names.findIndex((name, index) => names.indexOf(name) !== index);
  if (twice >= 0) throw new SectionError(["issuers", twice, "issuer"], "is there twice");
  for (const [index, { keys, ca }] of issuers.entries()) {
    if (/^http:/i.test(keys))
      throw new SectionError(["issuers", index, "keys"], "keys are fetched over https:// alone");
    if (!isFetched(keys)) readOf(["issuers", index, "keys"], keys);
    if (ca !== undefined) readOf(["issuers", index, "ca"], ca);
  }
  if (sign !== undefined) signerOf(sign);
}

function checkAmqp(amqp: AmqpSettings): void {
  try {
    checkLogin(amqp);
  } catch (error) {
    if (error instanceof SectionError) throw new SectionError(["amqp", ...error.path], error.message);
    throw error;
  }
  if (amqp.login === "plain" && amqp.user === undefined) {
    throw new SectionError(["amqp", "login"], "plain takes user and password: give both");
  }
  if (amqp.login !== "plain" && amqp.user !== undefined) {
    throw new SectionError(["amqp", "login"], "there is a user, so login has to be plain");
  }
  if (amqp.login === "external" && amqp.tls?.cert === undefined) {
    throw new SectionError(["amqp", "login"], "external takes a client certificate: give tls.cert and tls.key");
  }
  if (amqp.tls !== undefined && amqp.server.startsWith("amqp://")) {
    throw new SectionError(["amqp", "server"], "there is a tls section, so the address has to begin with amqps://");
  }
}

export function authoritiesOf({ issuers }: OrbitalConfiguration, { clock, log }: PluginContext): Authority[] {
  return issuers.map(({ issuer, keys, ca, tenants, restores }) => ({
    issuer,
    keys: new IssuerKeys({ place: keys, caFile: ca, clock, log }),
    mayOrder: compileGlobs(tenants),
    restoresByName: restores === "named",
  }));
}

/** @throws {SectionError} */
export function signerOf(sign: OrbitalConfiguration["sign"]): AnswerSigner | undefined {
  if (sign === undefined) return undefined;
  const privateKey = readOf(["sign", "key"], sign.key);
  try {
    return new AnswerSigner({ issuer: sign.issuer, keyId: sign.key_id, privateKey });
  } catch (error) {
    throw new SectionError(["sign", "key"], messageOf(error));
  }
}

function readOf(path: readonly (string | number)[], file: string): string {
  try {
    return readSetting(file);
  } catch (error) {
    throw new SectionError(path, messageOf(error));
  }
}
