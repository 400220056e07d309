import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { jetstream } from "@nats-io/jetstream";
import { createUser } from "@nats-io/nkeys";
import { connect } from "@nats-io/transport-node";
import { createNatsPublisher } from "../../plugins/nats/publisher.ts";
import type { NatsConfiguration } from "../../plugins/nats/settings.ts";
import { consumerName, createNatsTransport } from "../../plugins/nats/transport.ts";
import { createThrowAwayPki } from "../../src/pki/throw-away.ts";
import { SectionError } from "../../src/plugin/plugin.ts";
import { type CoreWorld, startCoreWorld } from "../support/core-world.ts";
import { type Broker, eventually } from "./support/broker.ts";
import { contextOf, keepsThePromises, startTestEdge } from "./support/broker-promises.ts";
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

describe("NATS with TLS and credentials", () => {
  let broker: Broker;
  let world: CoreWorld;
  let tls: NonNullable<NatsConfiguration["tls"]>;
  const user = { user: "edge", password: "edge-password" };

  beforeAll(async () => {
    const pki = await createThrowAwayPki("example.org");
    const client = await pki.edge("one");
    broker = await startNatsServer({
      files: {
        "ca.pem": pki.authority.certificate,
        "server.pem": pki.core.cert,
        "server.key": pki.core.key,
        "client.pem": client.cert,
        "client.key": client.key,
        "other-ca.pem": (await createThrowAwayPki("example.org")).authority.certificate,
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
    tls = { ca: file("ca.pem"), cert: file("client.pem"), key: file("client.key") };
    world = await startCoreWorld({
      heartbeatMs: 100,
      publishers: [
        createNatsPublisher(
          configurationOf(broker, { tls, user: "core", password: "core-password" }),
          contextOf("core"),
        ),
      ],
    });
  });

  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
    await broker?.[Symbol.asyncDispose]();
  });

  test("a revocation travels under both, to an edge that may publish nothing", async () => {
    const edge = await startTestEdge(world, "one", (context) =>
      createNatsTransport(configurationOf(broker, { tls, ...user }), context),
    );
    await eventually(() => edge.connected() && edge.guard.status().log !== undefined, "the place");
    world.core.admin.createService("t", "s");
    world.core.admin.revoke({ tenant: "t", service: "s", version: 1 }, { reason: "test" });
    await eventually(() => edge.guard.isBlocked("t", "s", 1), "the block");
    await edge.close();
  });

  test("a wrong password, a server of another CA, or no client certificate connects to nothing, and says why", async () => {
    const wrong: Partial<NatsConfiguration>[] = [
      { tls, user: "edge", password: "wrong" },
      { tls: { ...tls, ca: join(broker.folder, "other-ca.pem") }, ...user },
      { tls: { ca: tls.ca! }, ...user },
    ];
    for (const configuration of wrong) {
      const edge = await startTestEdge(world, "two", (context) =>
        createNatsTransport(configurationOf(broker, configuration), context),
      );
      await eventually(() => edge.lines.some((line) => line.includes("a revocation transport is down")), "the reason");
      expect(edge.connected()).toBe(false);
      expect(edge.lines.join("\n")).not.toContain('wrong"');
      await edge.close();
    }
  });
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
