/** The plugin's section of the configuration, the same for an edge and for a Core, and how to connect by it. */
import { readFileSync } from "node:fs";
import { type ConnectionOptions, connect, credsAuthenticator, type NatsConnection } from "@nats-io/transport-node";
import {
  BrokerTls,
  checkLogin,
  Duration,
  PasswordLogin,
  Path,
  readSetting,
  readTls,
  Secret,
  Section,
  SectionError,
  type Static,
  Type,
} from "crypto-edge/plugin";

/** A subject, or a part of one: no wildcards, no spaces. */
const SUBJECT = "^[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)*$";

export const NatsSection = Section(
  {
    servers: Type.Array(
      Type.String({
        pattern: "^(nats|tls)://[^/\\s]+$",
        expected: "an address such as nats://127.0.0.1:4222, or tls://… for TLS only",
      }),
      { minItems: 1, description: "The servers of one cluster; any of them will do." },
    ),
    stream: Type.String({
      pattern: "^[A-Za-z0-9_-]{1,64}$",
      expected: "a stream's name: letters, digits, - and _",
      default: "REVOCATIONS",
      description: "The JetStream stream that keeps the events. A Core makes it; an edge waits for it.",
    }),
    subject: Type.String({
      pattern: SUBJECT,
      expected: "a subject such as crypto-edge.revocations",
      default: "crypto-edge.revocations",
      description: "Events go to `<subject>.events`, heartbeats (which no stream keeps) to `<subject>.heartbeats`.",
    }),
    keep: Duration({
      default: "1d",
      minimumMs: 60_000,
      maximumMs: 3_650 * 86_400_000,
      description: "How long events are kept (by a Core), and the place of an edge that is away (by an edge).",
    }),
    ...PasswordLogin,
    token: Type.Optional(Secret({ description: "Instead of user and password." })),
    credentials: Type.Optional(Path({ description: "A `.creds` file (JWT and NKey), instead of user and password." })),
    tls: Type.Optional(BrokerTls("Requires TLS, even where the server would do without.")),
  },
  { description: "Revocation events over NATS JetStream." },
);

export type NatsConfiguration = Static<typeof NatsSection>;

/** What no schema can say. @throws {SectionError} */
export function checkNats(configuration: NatsConfiguration): void {
  const { user, token, credentials, servers } = configuration;
  checkLogin(configuration);
  if ([user, token, credentials].filter((one) => one !== undefined).length > 1) {
    throw new SectionError([], "give one of user and password, token, credentials");
  }
  if (servers.some((server) => server.includes("@"))) {
    throw new SectionError(["servers"], "credentials don't belong in an address: use user and password");
  }
  if (credentials !== undefined) readSetting(credentials);
}

/**
 * One connection, not renewed by the library: the edge does that, with everything that hangs on it. Files are read
 * anew each time, so that a rotated certificate is taken up.
 */
export async function connectNats(configuration: NatsConfiguration, name: string): Promise<NatsConnection> {
  const { servers, user, password, token, credentials, tls } = configuration;
  const options: ConnectionOptions = {
    servers,
    name,
    reconnect: false,
    timeout: 5_000,
    pingInterval: 2_000,
    maxPingOut: 2,
    noEcho: true,
    ignoreClusterUpdates: true,
  };
  if (user !== undefined && password !== undefined) Object.assign(options, { user, pass: password });
  if (token !== undefined) options.token = token;
  if (credentials !== undefined) options.authenticator = credsAuthenticator(readFileSync(credentials));
  if (tls !== undefined || servers.some((server) => server.startsWith("tls://"))) {
    options.tls = readTls(tls);
  }
  return connect(options);
}

export function subjects({ subject }: NatsConfiguration): { events: string; heartbeats: string } {
  return { events: `${subject}.events`, heartbeats: `${subject}.heartbeats` };
}
