/** The plugin's section of the configuration, the same for an edge and for a Core, and how to connect by it. */
import { isIP } from "node:net";
import { type ChannelModel, connect } from "amqplib";
import {
  BrokerTls,
  checkLogin,
  Duration,
  PasswordLogin,
  readTls,
  Section,
  SectionError,
  type Static,
  Type,
} from "crypto-edge/plugin";

export const AmqpSection = Section(
  {
    servers: Type.Array(
      Type.String({
        pattern: "^amqps?://[^/@\\s]+$",
        expected: "an address such as amqp://127.0.0.1:5672, or amqps://… for TLS",
      }),
      { minItems: 1, description: "The nodes of one cluster; any of them will do." },
    ),
    vhost: Type.String({ default: "/", minLength: 1, description: "The virtual host." }),
    exchange: Type.String({
      pattern: "^[A-Za-z0-9._:-]{1,100}$",
      expected: "an exchange's name: letters, digits and . _ : -",
      default: "crypto-edge.revocations",
      description:
        "The fanout exchange for events; heartbeats, which no queue keeps, go to `<exchange>.heartbeats`. A Core makes both.",
    }),
    keep: Duration({
      default: "1d",
      minimumMs: 60_000,
      description: "How long the queue of an edge that is away is kept.",
    }),
    ...PasswordLogin,
    tls: Type.Optional(BrokerTls("For amqps:// addresses.")),
  },
  { description: "Revocation events over RabbitMQ (AMQP 0-9-1)." },
);

export type AmqpConfiguration = Static<typeof AmqpSection>;

/** Seconds: two of them missed, and the connection is dead. */
const HEARTBEAT_SECONDS = 5;
const CONNECT_TIMEOUT_MS = 5_000;

/** What no schema can say. @throws {SectionError} */
export function checkAmqp(configuration: AmqpConfiguration): void {
  const { tls, servers } = configuration;
  checkLogin(configuration);
  const plain = servers.findIndex((server) => server.startsWith("amqp://"));
  if (tls !== undefined && plain >= 0) {
    throw new SectionError(["servers", plain], "there is a tls section, so the address must begin with amqps://");
  }
}

/** One connection to any of the servers. Files are read anew each time, so that a rotated certificate is taken up. */
export async function connectAmqp(configuration: AmqpConfiguration, name: string): Promise<ChannelModel> {
  const { servers, vhost, user, password, tls } = configuration;
  const url = new URL(servers[Math.floor(Math.random() * servers.length)]!);
  const isTls = url.protocol === "amqps:";
  const hostname = url.hostname.replace(/^\[|\]$/g, "");
  return connect(
    {
      protocol: isTls ? "amqps" : "amqp",
      hostname,
      port: url.port === "" ? (isTls ? 5671 : 5672) : Number(url.port),
      username: user ?? "guest",
      password: password ?? "guest",
      vhost: encodeURIComponent(vhost),
      heartbeat: HEARTBEAT_SECONDS,
    },
    {
      timeout: CONNECT_TIMEOUT_MS,
      clientProperties: { connection_name: name },
      ...(isTls && isIP(hostname) === 0 ? { servername: hostname } : {}),
      ...readTls(tls),
    },
  );
}

export function exchanges({ exchange }: AmqpConfiguration): { events: string; heartbeats: string } {
  return { events: exchange, heartbeats: `${exchange}.heartbeats` };
}
