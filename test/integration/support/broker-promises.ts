/** What both broker plugins promise, tried with a real broker, a real Core that publishes, and a real guard. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createThrowAwayPki, type ThrowAwayPki } from "../../../src/base/pki/throw-away.ts";
import { systemClock } from "../../../src/base/time/system-clock.ts";
import type { PluginContext } from "../../../src/edge/plugin-host/plugin.ts";
import { createCoreEvents } from "../../../src/edge/revocation/core-events.ts";
import type { EventPublisher } from "../../../src/edge/revocation/event-publisher.ts";
import { createEventVerifier } from "../../../src/edge/revocation/event-verifier.ts";
import { createRevocationGuard } from "../../../src/edge/revocation/guard.ts";
import type { RevocationGuard } from "../../../src/edge/revocation/revocation-guard.ts";
import type { RevocationTransport } from "../../../src/edge/revocation/revocation-transport.ts";
import { NotingControl, noteTo } from "../../edge/revocation/world.ts";
import { type CoreWorld, startCoreWorld } from "../../support/core-world.ts";
import { eventually } from "../../support/until.ts";
import type { Broker } from "./broker.ts";

export interface BrokerPlugin {
  startBroker(): Promise<Broker>;
  createPublisher(broker: Broker, context: PluginContext): EventPublisher;
  createTransport(broker: Broker, context: PluginContext): RevocationTransport;
  /** Puts any text where events go, or heartbeats, as somebody who has taken over the broker could. */
  inject(broker: Broker, where: "events" | "heartbeats", text: string): Promise<void>;
}

export interface TestEdge {
  readonly guard: RevocationGuard;
  readonly control: NotingControl;
  readonly lines: string[];
  /** How often the Core's stream was asked for missing events. */
  readonly asked: () => number;
  readonly connected: () => boolean;
  /** How many events the broker brought, heartbeats left out. */
  readonly brought: () => number;
  readonly drops: () => Readonly<Record<string, number>>;
  /** Closes the transport, as when the process ends; the guard stays. */
  disconnect(): Promise<void>;
  connect(): Promise<void>;
  close(): Promise<void>;
}

export function contextOf(edgeId: string, lines: string[] = []): PluginContext {
  const nothing = { add() {}, set() {}, observe() {} };
  return {
    log: noteTo(lines),
    clock: systemClock,
    metrics: { counter: () => nothing, gauge: () => nothing, histogram: () => nothing },
    edgeId,
    directory: "/",
    signal: new AbortController().signal,
    attempt: async (_name, run) => run(),
    follow: async ({ take }) => take(),
  };
}

/** An edge whose only transport is the broker's; the Core is asked for keys, and for what is missing. */
export async function startTestEdge(
  world: CoreWorld,
  id: string,
  createTransport: (context: PluginContext) => RevocationTransport | Promise<RevocationTransport>,
): Promise<TestEdge> {
  const client = await world.client(id);
  const control = new NotingControl();
  const lines: string[] = [];
  let asked = 0;
  const events = createCoreEvents(client, () => {});
  const guard = createRevocationGuard({
    clock: systemClock,
    log: noteTo(lines),
    core: {
      follow(lastEventId, onEvent, signal) {
        asked++;
        return events.follow(lastEventId, onEvent, signal);
      },
    },
    verifier: createEventVerifier({
      fetchKeys: (signal) => client.keys(signal),
      clock: systemClock,
      refetchAfterMs: 100,
    }),
    maxSilenceMs: 2_000,
    onSilence: "fail_closed",
  });
  guard.attach(control);
  const sink = guard.sink("broker");
  let transport = await createTransport(contextOf(id, lines));
  guard.start();
  await transport.start(sink);
  const link = () => guard.status().transports[0]!;
  return {
    guard,
    control,
    lines,
    asked: () => asked,
    connected: () => link().connected,
    brought: () => link().events + link().duplicates,
    drops: () => link().drops as Record<string, number>,
    async disconnect() {
      await transport.close();
      sink.disconnected("the test closed it");
    },
    async connect() {
      transport = await createTransport(contextOf(id, lines));
      await transport.start(sink);
    },
    async close() {
      await transport.close();
      guard.close();
    },
  };
}

const TENANT = "tenant-a";

export function keepsThePromises(name: string, plugin: BrokerPlugin): void {
  describe(`${name}, with a Core that publishes to it`, () => {
    let broker: Broker;
    let world: CoreWorld;
    let edges: TestEdge[] = [];
    let nextService = 0;

    beforeAll(async () => {
      broker = await plugin.startBroker();
      world = await startCoreWorld({
        heartbeatMs: 100,
        publishers: [plugin.createPublisher(broker, contextOf("core"))],
      });
    });

    afterAll(async () => {
      for (const edge of edges) await edge.close();
      await world?.[Symbol.asyncDispose]();
      await broker?.[Symbol.asyncDispose]();
    });

    /** An edge that has its place in the log. */
    async function edgeInPlace(id: string): Promise<TestEdge> {
      const edge = await startTestEdge(world, id, (context) => plugin.createTransport(broker, context));
      edges = [...edges, edge];
      await eventually(
        () => edge.connected() && edge.guard.status().log !== undefined,
        `the place of ${id} in the log`,
      );
      return edge;
    }

    async function newService(): Promise<string> {
      const service = `service-${nextService++}`;
      await world.core.admin.createService(TENANT, service);
      return service;
    }

    async function revoke(service: string): Promise<void> {
      await world.core.admin.revoke({ tenant: TENANT, service, version: 1 }, { reason: "test" });
    }

    test("a revocation reaches every edge by the broker alone", async () => {
      const service = await newService();
      const [one, two] = [await edgeInPlace("one"), await edgeInPlace("two")];
      await revoke(service);
      await eventually(() => one.guard.isBlocked(TENANT, service, 1), "the block at the first edge");
      await eventually(() => two.guard.isBlocked(TENANT, service, 1), "the block at the second edge");
      expect(one.control.calls).toContain(`revoke ${TENANT}/${service}/1`);
      await eventually(() => one.brought() > 0 && two.brought() > 0, "the event, by the broker itself");
      expect(one.control.count("dropAll")).toBe(0);
    });

    test("what was published while an edge was away is played to it when it is back", async () => {
      const services = [await newService(), await newService(), await newService()];
      const edge = await edgeInPlace("sleeper");
      await edge.disconnect();
      const before = edge.brought();
      for (const service of services) await revoke(service);
      // Enough for the Core's heartbeats to show the hole first, if they came by another way than the events.
      await edge.connect();
      await eventually(() => services.every((service) => edge.guard.isBlocked(TENANT, service, 1)), "every block");
      await eventually(() => edge.brought() >= before + services.length, "every event, by the broker itself");
      expect(edge.control.count("dropAll")).toBe(0);
    });

    test("heartbeats show that the broker is alive", async () => {
      const edge = await edgeInPlace("listener");
      await Bun.sleep(500);
      await eventually(() => (edge.guard.status().transports[0]?.lastHeardMs ?? 1_000) < 500, "a heartbeat");
      expect(edge.guard.isOpen()).toBe(true);
    });

    test("what the Core did not sign is dropped, counted, and told of once", async () => {
      const edge = await edgeInPlace("target");
      const forged = [
        "not a jws",
        `${Buffer.from('{"alg":"none"}').toString("base64url")}.e30.`,
        `${Buffer.from('{"alg":"EdDSA","kid":"mine","typ":"crypto-edge-event"}').toString("base64url")}.e30.AAAA`,
        "x".repeat(100_000),
      ];
      for (const text of forged) {
        await plugin.inject(broker, "events", text);
        await plugin.inject(broker, "heartbeats", text);
      }
      await eventually(() => (edge.drops().malformed ?? 0) >= 6 && (edge.drops().no_key ?? 0) >= 2, "the drops");
      expect(edge.lines.filter((line) => line.includes('"reason":"malformed"'))).toHaveLength(1);
      const service = await newService();
      await revoke(service);
      await eventually(() => edge.guard.isBlocked(TENANT, service, 1), "the next true event");
      expect(edge.control.count("dropAll")).toBe(0);
    });

    test("a Core that signs with a new key is believed at once", async () => {
      const edge = await edgeInPlace("roller");
      await world.core.admin.rollSigningKey();
      const service = await newService();
      await revoke(service);
      await eventually(() => edge.guard.isBlocked(TENANT, service, 1), "the block");
      expect(edge.control.count("dropAll")).toBe(0);
    });

    test("a broker that dies is silence; when it is back, so is everything published meanwhile", async () => {
      const edge = await edgeInPlace("survivor");
      const service = await newService();
      await broker.kill();
      await eventually(() => !edge.connected(), "the disconnection");
      const before = edge.brought();
      await revoke(service);
      await eventually(() => !edge.guard.isOpen(), "the silence");
      expect(edge.guard.isBlocked(TENANT, service, 1)).toBe(false);
      await broker.start();
      await eventually(() => edge.guard.isBlocked(TENANT, service, 1), "the block");
      await eventually(() => edge.connected() && edge.guard.isOpen(), "the connection");
      await eventually(() => edge.brought() > before, "the event, by the broker itself");
      expect(edge.control.count("dropAll")).toBe(0);
    }, 180_000);
  });
}

/** A broker with TLS, client certificates and passwords, where an edge may publish nothing. */
export interface SecuredBroker {
  readonly broker: Broker;
  createPublisher(context: PluginContext): EventPublisher;
  createTransport(context: PluginContext): RevocationTransport;
  /** Transports that must not get in: a wrong password (`not-the-password`), a server of another CA, no client certificate. */
  readonly wrongTransports: readonly ((context: PluginContext) => RevocationTransport)[];
  /** One whose section gives, at each connection, what `password` gives for the right one. */
  createTransportBy(password: (right: string) => string, context: PluginContext): RevocationTransport;
}

/** A client's files for a secured broker; one CA of them has signed nothing there. */
export async function clientFiles(pki: ThrowAwayPki): Promise<Record<string, string>> {
  const { cert, key } = await pki.edge("one");
  const { authority } = await createThrowAwayPki("example.org");
  return { "client.pem": cert, "client.key": key, "other-ca.pem": authority.certificate };
}

export function keepsOthersOut(title: string, open: () => Promise<SecuredBroker>): void {
  describe(`${title} with TLS and credentials`, () => {
    let secured: SecuredBroker;
    let world: CoreWorld;

    beforeAll(async () => {
      secured = await open();
      world = await startCoreWorld({ heartbeatMs: 100, publishers: [secured.createPublisher(contextOf("core"))] });
    }, 120_000);

    afterAll(async () => {
      await world?.[Symbol.asyncDispose]();
      await secured?.broker[Symbol.asyncDispose]();
    });

    test("a revocation travels under both, to an edge that may publish nothing", async () => {
      const edge = await startTestEdge(world, "one", secured.createTransport);
      await eventually(() => edge.connected() && edge.guard.status().log !== undefined, "the place");
      await world.core.admin.createService("t", "s");
      await world.core.admin.revoke({ tenant: "t", service: "s", version: 1 }, { reason: "test" });
      await eventually(() => edge.guard.isBlocked("t", "s", 1), "the block");
      await edge.close();
    });

    test("a wrong password, a server of another CA, or no client certificate connects to nothing, and says why", async () => {
      expect(secured.wrongTransports).toHaveLength(3);
      for (const createTransport of secured.wrongTransports) {
        const edge = await startTestEdge(world, "two", createTransport);
        await eventually(
          () => edge.lines.some((line) => line.includes("a revocation transport is down")),
          "the reason",
        );
        expect(edge.connected()).toBe(false);
        expect(edge.lines.join("\n")).not.toContain("not-the-password");
        await edge.close();
      }
    });

    test("each connection is made by the password of the time: a section's secrets follow their files", async () => {
      let isRight = false;
      const edge = await startTestEdge(world, "three", (context) =>
        secured.createTransportBy((right) => (isRight ? right : "not-the-password"), context),
      );
      await eventually(() => edge.lines.some((line) => line.includes("a revocation transport is down")), "the reason");
      isRight = true;
      await eventually(() => edge.connected(), "the connection");
      await edge.close();
    });
  });
}
