import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { connect } from "amqplib";
import { createAmqpPublisher } from "../../plugins/amqp/publisher.ts";
import type { AmqpConfiguration } from "../../plugins/amqp/settings.ts";
import { createAmqpTransport } from "../../plugins/amqp/transport.ts";
import { createThrowAwayPki } from "../../src/pki/throw-away.ts";
import { SectionError } from "../../src/plugin/plugin.ts";
import { type CoreWorld, startCoreWorld } from "../support/core-world.ts";
import { type Broker, eventually } from "./support/broker.ts";
import { contextOf, keepsThePromises, startTestEdge } from "./support/broker-promises.ts";
import { RABBIT_READER, RABBIT_USER, type RabbitServer, startRabbitServer } from "./support/rabbitmq-server.ts";

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

describe("RabbitMQ with TLS and credentials", () => {
  let broker: RabbitServer;
  let world: CoreWorld;
  let tls: NonNullable<AmqpConfiguration["tls"]>;
  let servers: string[];

  beforeAll(async () => {
    const pki = await createThrowAwayPki("example.org");
    const client = await pki.edge("one");
    broker = await startRabbitServer({
      tls: { ca: pki.authority.certificate, cert: pki.core.cert, key: pki.core.key },
      files: {
        "client.pem": client.cert,
        "client.key": client.key,
        "other-ca.pem": (await createThrowAwayPki("example.org")).authority.certificate,
      },
    });
    const file = (name: string): string => join(broker.folder, name);
    tls = { ca: file("ca.pem"), cert: file("client.pem"), key: file("client.key") };
    servers = [`amqps://127.0.0.1:${broker.tlsPort}`];
    world = await startCoreWorld({
      heartbeatMs: 100,
      publishers: [createAmqpPublisher(configurationOf(broker, { tls, servers }), contextOf("core"))],
    });
  }, 120_000);

  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
    await broker?.[Symbol.asyncDispose]();
  });

  test("a revocation travels under both, to an edge that may publish nothing", async () => {
    const edge = await startTestEdge(world, "one", (context) =>
      createAmqpTransport(configurationOf(broker, { tls, servers, ...RABBIT_READER }), context),
    );
    await eventually(() => edge.connected() && edge.guard.status().log !== undefined, "the place");
    world.core.admin.createService("t", "s");
    world.core.admin.revoke({ tenant: "t", service: "s", version: 1 }, { reason: "test" });
    await eventually(() => edge.guard.isBlocked("t", "s", 1), "the block");
    await edge.close();
  });

  test("a wrong password, a server of another CA, or no client certificate connects to nothing, and says why", async () => {
    const wrong: Partial<AmqpConfiguration>[] = [
      { tls, servers, password: "not-the-password" },
      { tls: { ...tls, ca: join(broker.folder, "other-ca.pem") }, servers },
      { tls: { ca: tls.ca! }, servers },
    ];
    for (const configuration of wrong) {
      const edge = await startTestEdge(world, "two", (context) =>
        createAmqpTransport(configurationOf(broker, configuration), context),
      );
      await eventually(() => edge.lines.some((line) => line.includes("a revocation transport is down")), "the reason");
      expect(edge.connected()).toBe(false);
      expect(edge.lines.join("\n")).not.toContain("not-the-password");
      await edge.close();
    }
  });
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
