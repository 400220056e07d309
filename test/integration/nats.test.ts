import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { createUser } from "@nats-io/nkeys";
import { connect } from "@nats-io/transport-node";
import { createNatsPublisher } from "../../plugins/nats/publisher.ts";
import type { NatsConfiguration } from "../../plugins/nats/settings.ts";
import { consumerName, createNatsTransport } from "../../plugins/nats/transport.ts";
import { createThrowAwayPki } from "../../src/base/pki/throw-away.ts";
import { type PluginContext, SectionError } from "../../src/edge/plugin-host/plugin.ts";
import { startCoreWorld } from "../support/core-world.ts";
import { eventually } from "../support/until.ts";
import type { Broker } from "./support/broker.ts";
import { clientFiles, contextOf, keepsOthersOut, keepsThePromises, startTestEdge } from "./support/broker-promises.ts";
import { startNatsServer } from "./support/nats-server.ts";

function configurationOf(broker: Broker, more: Partial<NatsConfiguration> = {}): NatsConfiguration {
  return {
    servers: [`nats://127.0.0.1:${broker.port}`],
    stream: "REVOCATIONS",
    subject: "crypto-edge.revocations",
    keep: 3_600_000,
    ...more,
  };
}

keepsThePromises("NATS JetStream", {
  startBroker: () => startNatsServer(),
  createPublisher: (broker, context) => createNatsPublisher(configurationOf(broker), context),
  createTransport: (broker, context) => createNatsTransport(configurationOf(broker), context),
  async inject(broker, where, text) {
    const nats = await connect({ servers: `127.0.0.1:${broker.port}` });
    if (where === "events") await jetstream(nats).publish("crypto-edge.revocations.events", text);
    else nats.publish("crypto-edge.revocations.heartbeats", text);
    await nats.drain();
  },
});

keepsOthersOut("NATS", async () => {
  const pki = await createThrowAwayPki("example.org");
  const broker = await startNatsServer({
    files: {
      "ca.pem": pki.authority.certificate,
      "server.pem": pki.core.cert,
      "server.key": pki.core.key,
      ...(await clientFiles(pki)),
    },
    configuration: `
        tls { cert_file: "FOLDER/server.pem", key_file: "FOLDER/server.key", ca_file: "FOLDER/ca.pem", verify: true }
        authorization { users: [
          { user: core, password: core-password }
          { user: edge, password: edge-password, permissions: {
            publish: [
              "$JS.API.INFO", "$JS.API.STREAM.INFO.REVOCATIONS", "$JS.API.CONSUMER.*.REVOCATIONS.>",
              "$JS.API.CONSUMER.*.*.REVOCATIONS.>", "$JS.ACK.REVOCATIONS.>"
            ]
            subscribe: [ "_INBOX.>", "crypto-edge.revocations.heartbeats" ]
          } }
        ] }`,
  });
  const file = (name: string): string => join(broker.folder, name);
  const tls = { ca: file("ca.pem"), cert: file("client.pem"), key: file("client.key") };
  const edge = { tls, user: "edge", password: "edge-password" };
  const transportOf = (more: Partial<NatsConfiguration>) => (context: PluginContext) =>
    createNatsTransport(configurationOf(broker, { ...edge, ...more }), context);
  return {
    broker,
    createPublisher: (context) =>
      createNatsPublisher(configurationOf(broker, { tls, user: "core", password: "core-password" }), context),
    createTransport: transportOf({}),
    wrongTransports: [
      transportOf({ password: "not-the-password" }),
      transportOf({ tls: { ...tls, ca: file("other-ca.pem") } }),
      transportOf({ tls: { ca: tls.ca } }),
    ],
    createTransportBy: (password, context) => {
      const configuration = configurationOf(broker, edge);
      Object.defineProperty(configuration, "password", { get: () => password(edge.password) });
      return createNatsTransport(configuration, context);
    },
  };
});

describe("NATS whose stream was deleted under living connections", () => {
  test("the Core makes it again, an edge listens to it again, and what was published meanwhile comes", async () => {
    await using broker = await startNatsServer();
    await using world = await startCoreWorld({
      heartbeatMs: 100,
      publishers: [createNatsPublisher(configurationOf(broker), contextOf("core"))],
    });
    const edge = await startTestEdge(world, "one", (context) => createNatsTransport(configurationOf(broker), context));
    await eventually(() => edge.connected() && edge.guard.status().log !== undefined, "the place in the log");
    const nats = await connect({ servers: `127.0.0.1:${broker.port}` });
    const { streams } = await jetstreamManager(nats);
    await streams.delete("REVOCATIONS");
    await eventually(() => edge.guard.status().transports[0]!.disconnections > 0, "the edge's noticing");
    await world.core.admin.createService("t", "s");
    await world.core.admin.revoke({ tenant: "t", service: "s", version: 1 }, { reason: "test" });
    await eventually(() => edge.guard.isBlocked("t", "s", 1), "the block");
    await eventually(() => edge.connected(), "the edge's connection");
    expect((await streams.info("REVOCATIONS")).state.messages).toBe(1);
    expect(edge.control.count("dropAll")).toBe(0);
    await edge.close();
    await nats.close();
  }, 300_000);
});

describe("NATS with a credentials file", () => {
  test("an edge signs in with its NKey", async () => {
    // The server of this test knows the user by its public key alone, as decentralised accounts do.
    const key = createUser();
    await using broker = await startNatsServer({
      configuration: `authorization { users: [ { nkey: ${key.getPublicKey()} } ] }`,
      files: {
        "edge.creds": `-----BEGIN NATS USER JWT-----\n${unsignedJwt(key.getPublicKey())}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n${new TextDecoder().decode(key.getSeed())}\n------END USER NKEY SEED------\n`,
      },
    });
    const credentials = join(broker.folder, "edge.creds");
    const lines: string[] = [];
    const publisher = createNatsPublisher(configurationOf(broker, { credentials }), contextOf("core", lines));
    await eventually(() => lines.some((line) => line.includes("publishing revocations to NATS")), "the connection");
    await publisher.close?.();
  });
});

describe("the section", () => {
  const base: NatsConfiguration = { servers: ["nats://h:1"], stream: "S", subject: "s", keep: 60_000 };

  test("that can never work is refused at the start, with its place", () => {
    const wrong: Partial<NatsConfiguration>[] = [
      { user: "a" },
      { password: "a" },
      { user: "a", password: "b", token: "c" },
      { tls: { cert: "/x" } },
      { tls: { ca: "/does/not/exist.pem" } },
      { credentials: "/does/not/exist.creds" },
      { servers: ["nats://a:b@h:1"] },
    ];
    for (const configuration of wrong) {
      expect(() => createNatsTransport({ ...base, ...configuration }, contextOf("e"))).toThrow(SectionError);
    }
  });

  test("an edge id that NATS takes as no name becomes one of its own", () => {
    expect(consumerName("edge-1")).toBe("edge-edge-1");
    expect(consumerName("a.b")).toMatch(/^edge-a_b--[0-9a-f]{16}$/);
    expect(consumerName("a.b")).not.toBe(consumerName("a>b"));
  });
});

function unsignedJwt(subject: string): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ typ: "JWT", alg: "ed25519-nkey" })}.${part({ sub: subject, nats: {} })}.AAAA`;
}
