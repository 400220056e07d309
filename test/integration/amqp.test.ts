import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { connect } from "amqplib";
import { createAmqpPublisher } from "../../plugins/amqp/publisher.ts";
import type { AmqpConfiguration } from "../../plugins/amqp/settings.ts";
import { createAmqpTransport } from "../../plugins/amqp/transport.ts";
import { createThrowAwayPki } from "../../src/base/pki/throw-away.ts";
import { type PluginContext, SectionError } from "../../src/edge/plugin-host/plugin.ts";
import type { Broker } from "./support/broker.ts";
import { clientFiles, contextOf, keepsOthersOut, keepsThePromises } from "./support/broker-promises.ts";
import { RABBIT_READER, RABBIT_USER, startRabbitServer } from "./support/rabbitmq-server.ts";

const EXCHANGE = "crypto-edge.revocations";

function configurationOf(broker: Broker, more: Partial<AmqpConfiguration> = {}): AmqpConfiguration {
  return {
    servers: [`amqp://127.0.0.1:${broker.port}`],
    vhost: "/",
    exchange: EXCHANGE,
    keep: 3_600_000,
    ...RABBIT_USER,
    ...more,
  };
}

keepsThePromises("RabbitMQ", {
  startBroker: () => startRabbitServer(),
  createPublisher: (broker, context) => createAmqpPublisher(configurationOf(broker), context),
  createTransport: (broker, context) => createAmqpTransport(configurationOf(broker), context),
  async inject(broker, where, text) {
    const connection = await connect({
      hostname: "127.0.0.1",
      port: broker.port,
      username: RABBIT_USER.user,
      password: RABBIT_USER.password,
    });
    const channel = await connection.createConfirmChannel();
    channel.publish(where === "events" ? EXCHANGE : `${EXCHANGE}.heartbeats`, "", Buffer.from(text));
    await channel.waitForConfirms();
    await connection.close();
  },
});

keepsOthersOut("RabbitMQ", async () => {
  const pki = await createThrowAwayPki("example.org");
  const broker = await startRabbitServer({
    tls: { ca: pki.authority.certificate, cert: pki.core.cert, key: pki.core.key },
    files: await clientFiles(pki),
  });
  const file = (name: string): string => join(broker.folder, name);
  const tls = { ca: file("ca.pem"), cert: file("client.pem"), key: file("client.key") };
  const servers = [`amqps://127.0.0.1:${broker.tlsPort}`];
  const transportOf = (more: Partial<AmqpConfiguration>) => (context: PluginContext) =>
    createAmqpTransport(configurationOf(broker, { tls, servers, ...RABBIT_READER, ...more }), context);
  return {
    broker,
    createPublisher: (context) => createAmqpPublisher(configurationOf(broker, { tls, servers }), context),
    createTransport: transportOf({}),
    wrongTransports: [
      transportOf({ password: "not-the-password" }),
      transportOf({ tls: { ...tls, ca: file("other-ca.pem") } }),
      transportOf({ tls: { ca: tls.ca } }),
    ],
    createTransportBy: (password, context) => {
      const configuration = configurationOf(broker, { tls, servers, ...RABBIT_READER });
      Object.defineProperty(configuration, "password", { get: () => password(RABBIT_READER.password) });
      return createAmqpTransport(configuration, context);
    },
  };
});

describe("the section", () => {
  const base: AmqpConfiguration = { servers: ["amqp://h:1"], vhost: "/", exchange: "e", keep: 60_000 };

  test("that can never work is refused at the start, with its place", () => {
    const wrong: Partial<AmqpConfiguration>[] = [
      { user: "a" },
      { password: "a" },
      { tls: { cert: "/x" }, servers: ["amqps://h:1"] },
      { tls: { ca: "/does/not/exist.pem" }, servers: ["amqps://h:1"] },
      { tls: {} },
    ];
    for (const configuration of wrong) {
      expect(() => createAmqpTransport({ ...base, ...configuration }, contextOf("e"))).toThrow(SectionError);
    }
  });
});
