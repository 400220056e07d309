/** Orbital's operator at an edge, driven by a manager: over RabbitMQ with AMQP 1.0, and over gRPC with mutual TLS. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { OrbitalConfiguration } from "../../plugins/orbital/settings.ts";
import { createOrbitalTarget, createOrbitalTransport } from "../../plugins/orbital/transport.ts";
import type { EventPublisher } from "../../src/edge/revocation/event-publisher.ts";
import { checkPlugin } from "../../src/sdk/conformance/check-plugin.ts";
import { printReport, totalsOf } from "../../src/sdk/conformance/report.ts";
import { type CoreWorld, startCoreWorld } from "../support/core-world.ts";
import { freePort } from "../support/free-port.ts";
import { makeSigningKey, type SigningKey } from "../support/orbital-keys.ts";
import {
  type AmqpLaneOptions,
  amqpLane,
  grpcLane,
  isSigned,
  jsonWire,
  Manager,
  type ManagerKey,
  newTask,
  protobufWire,
  signTask,
} from "../support/orbital-manager.ts";
import { eventually } from "../support/until.ts";
import { contextOf, startTestEdge, type TestEdge } from "./support/broker-promises.ts";
import { RABBIT_USER, type RabbitServer, startRabbitServer } from "./support/rabbitmq-server.ts";

const ISSUER = "https://orbital.example";
const REQUESTS = "edge-requests";
const ANSWERS = "orbital-answers";
const TENANT = "tenant-a";

let broker: RabbitServer;
let world: CoreWorld;
let manager: SigningKey;
let answers: SigningKey;
/** The newest events of the Core, signed as a broker gets them. */
const signedEvents: string[] = [];
const edges: TestEdge[] = [];
const managers: Manager[] = [];
let nextService = 0;

const at = (name: string): string => join(broker.folder, name);
const managerKey = (more: Partial<ManagerKey> = {}): ManagerKey => ({
  issuer: ISSUER,
  keyId: "one",
  privateKey: manager.privateKey,
  ...more,
});

beforeAll(async () => {
  broker = await startRabbitServer({ amqp1Queues: [REQUESTS, ANSWERS] });
  manager = makeSigningKey();
  answers = makeSigningKey();
  const recorder: EventPublisher = {
    name: "recorder",
    publish(event, jws) {
      if (event.type !== "heartbeat") signedEvents.push(jws);
    },
  };
  world = await startCoreWorld({ heartbeatMs: 100, publishers: [recorder] });
  writeFileSync(at("jwks.json"), manager.jwks("one"));
  writeFileSync(at("answers.key"), answers.privateKey);
  writeFileSync(at("server.pem"), world.pki.core.cert);
  writeFileSync(at("server.key"), world.pki.core.key);
  writeFileSync(at("ca.pem"), world.pki.authority.certificate);
}, 300_000);

afterEach(async () => {
  for (const edge of edges.splice(0)) await edge.close();
  for (const one of managers.splice(0)) await one.close();
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
  await broker?.[Symbol.asyncDispose]();
});

function amqpSection(codec: "json" | "protobuf" = "json"): NonNullable<OrbitalConfiguration["amqp"]> {
  const server = `amqp://127.0.0.1:${broker.port}`;
  return { server, requests: REQUESTS, answers: ANSWERS, codec, login: "plain", ...RABBIT_USER };
}

function grpcSection(port: number): NonNullable<OrbitalConfiguration["grpc"]> {
  const listen = { host: "127.0.0.1", port };
  return { listen, cert: at("server.pem"), key: at("server.key"), client_ca: at("ca.pem") };
}

async function startEdge(ways: Pick<OrbitalConfiguration, "amqp" | "grpc">): Promise<TestEdge> {
  const edge = await startTestEdge(world, "edge-1", (context) =>
    createOrbitalTransport(
      {
        ...ways,
        issuers: [{ issuer: ISSUER, keys: at("jwks.json"), tenants: ["tenant-*"], restores: "any" }],
        require_signature: true,
        sign: { issuer: "https://edge-1.example", key_id: "answers", key: at("answers.key") },
      },
      context,
    ),
  );
  edges.push(edge);
  await eventually(() => edge.connected(), "the connection");
  return edge;
}

function startManager(key: ManagerKey | undefined = managerKey()): Manager {
  const one = new Manager({ key, resendMs: 1_500 });
  managers.push(one);
  return one;
}

function overAmqp(codec: "json" | "protobuf" = "json", key?: ManagerKey): Manager {
  const one = startManager(key);
  const wire: AmqpLaneOptions["wire"] = codec === "json" ? jsonWire : protobufWire;
  const { user, password } = RABBIT_USER;
  one.add(amqpLane({ port: broker.port, user, password, requests: REQUESTS, answers: ANSWERS, wire }, one.onAnswer));
  return one;
}

async function overGrpc(port: number, key?: ManagerKey): Promise<Manager> {
  const one = startManager(key);
  one.add(grpcLane(port, await world.pki.admin(), one.onAnswer));
  return one;
}

const newService = (): string => `service-${nextService++}`;
const order = (service: string) => ({ tenant: TENANT, service, reason: "test" });

/** A revocation at the Core, as the Core has signed it. */
async function revokedAtCore(): Promise<{ service: string; jws: string }> {
  const service = newService();
  await world.core.admin.createService(TENANT, service);
  const before = signedEvents.length;
  await world.core.admin.revoke({ tenant: TENANT, service, version: 1 }, { reason: "test" });
  await eventually(() => signedEvents.length > before, "the signed event");
  return { service, jws: signedEvents.at(-1)! };
}

describe.each(["json", "protobuf"] as const)("over AMQP 1.0, in %s", (codec) => {
  test("an authority's revocation is in force when the manager hears DONE, and lifted again", async () => {
    const edge = await startEdge({ amqp: amqpSection(codec) });
    const orbital = overAmqp(codec);
    const service = newService();
    const answer = await orbital.run(
      newTask("crypto-edge.revoke", order(service), { workingState: Buffer.from("kept") }),
    );
    expect(answer).toMatchObject({ status: "DONE", reconcileAfterSec: 0 });
    expect(answer.workingState?.toString()).toBe("kept");
    expect(isSigned(answer, answers.certificate)).toBe(true);
    expect(edge.guard.isBlocked(TENANT, service, 1)).toBe(true);
    expect(edge.control.calls).toContain(`revoke ${TENANT}/${service}`);
    expect(await orbital.run(newTask("crypto-edge.restore", order(service)))).toMatchObject({ status: "DONE" });
    expect(edge.guard.isBlocked(TENANT, service, 1)).toBe(false);
  }, 300_000);

  test("a Core's event is DONE once it is applied; an altered one has failed, and says why", async () => {
    const edge = await startEdge({ amqp: amqpSection(codec) });
    const orbital = overAmqp(codec);
    const { service, jws } = await revokedAtCore();
    expect(await orbital.run(newTask("crypto-edge.event", jws))).toMatchObject({ status: "DONE" });
    expect(edge.guard.isBlocked(TENANT, service, 1)).toBe(true);
    const altered = `${jws.slice(0, -6)}AAAAAA`;
    const refused = await orbital.run(newTask("crypto-edge.event", altered));
    expect(refused).toMatchObject({ status: "FAILED", errorMessage: expect.stringContaining("bad_signature") });
  }, 300_000);
});

describe("over AMQP 1.0", () => {
  test("a request whose signature does not hold has no answer, and does nothing; the next one is answered", async () => {
    const edge = await startEdge({ amqp: amqpSection() });
    const orbital = overAmqp("json", undefined);
    const elsewhere = overAmqp("json", managerKey({ issuer: "https://elsewhere.example" }));
    const forged = overAmqp("json", managerKey({ privateKey: answers.privateKey }));
    const [first, second, third] = [newService(), newService(), newService()];
    for (const [one, service] of [
      [elsewhere, first],
      [forged, second],
    ] as const) {
      const task = newTask("crypto-edge.revoke", order(service));
      await expect(one.run(task, 2_000)).rejects.toThrow("no end");
    }
    const unsigned = new Manager({ resendMs: 500 });
    managers.push(unsigned);
    const { user, password } = RABBIT_USER;
    unsigned.add(
      amqpLane(
        { port: broker.port, user, password, requests: REQUESTS, answers: ANSWERS, wire: jsonWire },
        unsigned.onAnswer,
      ),
    );
    await expect(unsigned.run(newTask("crypto-edge.revoke", order(first)), 1_000)).rejects.toThrow("no end");
    for (const one of managers.splice(0).filter((each) => each !== orbital)) await one.close();
    managers.push(orbital);
    expect(await orbital.run(newTask("crypto-edge.revoke", order(third)))).toMatchObject({ status: "DONE" });
    expect([first, second, third].map((service) => edge.guard.isBlocked(TENANT, service))).toEqual([
      false,
      false,
      true,
    ]);
    expect(edge.lines.some((line) => line.includes("its signature does not hold"))).toBe(true);
  }, 300_000);

  test("a queue of a thousand is worked off in order, each task once", async () => {
    const orbital = overAmqp();
    const services = Array.from({ length: 500 }, newService);
    const { user, password } = RABBIT_USER;
    const options = { port: broker.port, user, password, requests: REQUESTS, answers: ANSWERS, wire: jsonWire };
    const lane = amqpLane(options, () => {});
    // Before the edge is there: a revocation each, and of every other one its restoration.
    for (const [index, service] of services.entries()) {
      await lane.send(signTask(newTask("crypto-edge.revoke", order(service)), managerKey()));
      const next = index % 2 === 0 ? "crypto-edge.restore" : "crypto-edge.event";
      await lane.send(signTask(newTask(next, index % 2 === 0 ? order(service) : "x"), managerKey()));
    }
    await Bun.sleep(200);
    await lane.close();
    const edge = await startEdge({ amqp: amqpSection() });
    expect(await orbital.run(newTask("crypto-edge.revoke", order(newService())))).toMatchObject({ status: "DONE" });
    const blocked = services.map((service) => edge.guard.isBlocked(TENANT, service));
    expect(blocked).toEqual(services.map((_, index) => index % 2 === 1));
  }, 300_000);

  test("an edge that dies in the middle of a task is asked again, and the next one does it", async () => {
    const edge = await startEdge({ amqp: amqpSection() });
    const orbital = overAmqp();
    const service = newService();
    await edge.close();
    edges.splice(0);
    const asked = orbital.run(newTask("crypto-edge.revoke", order(service)));
    await Bun.sleep(2_000);
    const next = await startEdge({ amqp: amqpSection() });
    expect(await asked).toMatchObject({ status: "DONE" });
    expect(next.guard.isBlocked(TENANT, service)).toBe(true);
  }, 300_000);

  test("a broker that dies costs no task: edge and manager come back, and it ends", async () => {
    const edge = await startEdge({ amqp: amqpSection() });
    const orbital = overAmqp();
    expect(await orbital.run(newTask("crypto-edge.revoke", order(newService())))).toMatchObject({ status: "DONE" });
    await broker.kill();
    await eventually(() => !edge.connected(), "the disconnection");
    const service = newService();
    const asked = orbital.run(newTask("crypto-edge.revoke", order(service)), 120_000);
    await broker.start();
    expect(await asked).toMatchObject({ status: "DONE" });
    expect(edge.guard.isBlocked(TENANT, service)).toBe(true);
    expect(edge.connected()).toBe(true);
  }, 300_000);
});

describe("over gRPC with mutual TLS", () => {
  test("tasks end as over AMQP, and a certificate of another CA is not let in", async () => {
    const port = await freePort();
    const edge = await startEdge({ grpc: grpcSection(port) });
    const orbital = await overGrpc(port);
    const service = newService();
    const answer = await orbital.run(newTask("crypto-edge.revoke", order(service)));
    expect(answer).toMatchObject({ status: "DONE" });
    expect(isSigned(answer, answers.certificate)).toBe(true);
    expect(edge.guard.isBlocked(TENANT, service)).toBe(true);
    const { jws } = await revokedAtCore();
    expect(await orbital.run(newTask("crypto-edge.event", jws))).toMatchObject({ status: "DONE" });

    const stranger = grpcLane(
      port,
      { ca: world.pki.authority.certificate, cert: answers.certificate, key: answers.privateKey },
      () => {},
    );
    await expect(stranger.call(protobufWire.encode(newTask("crypto-edge.revoke", order(service))))).rejects.toThrow();
    await stranger.close();
  }, 300_000);

  test("a bad request is InvalidArgument, a bad signature Unauthenticated", async () => {
    const port = await freePort();
    await startEdge({ grpc: grpcSection(port) });
    const lane = grpcLane(port, await world.pki.admin(), () => {});
    await expect(lane.call(Buffer.from([0xff, 0xff]))).rejects.toMatchObject({ code: 3 });
    await expect(lane.call(protobufWire.encode(newTask("x", "", { taskId: "no uuid" })))).rejects.toMatchObject({
      code: 3,
    });
    const task = newTask("crypto-edge.revoke", order(newService()));
    await expect(lane.call(protobufWire.encode(task))).rejects.toMatchObject({ code: 16 });
    const forged = signTask(task, managerKey({ privateKey: answers.privateKey }));
    await expect(lane.call(protobufWire.encode(forged))).rejects.toMatchObject({ code: 16 });
    await lane.close();
  }, 300_000);
});

test("lane 0: by both ways at once a task is done once, and with one way down by the other", async () => {
  const port = await freePort();
  const edge = await startEdge({ amqp: amqpSection(), grpc: grpcSection(port) });
  const orbital = overAmqp();
  orbital.add(grpcLane(port, await world.pki.admin(), orbital.onAnswer));
  const service = newService();
  expect(await orbital.run(newTask("crypto-edge.revoke", order(service)))).toMatchObject({ status: "DONE" });
  await eventually(() => orbital.answers.length >= 2, "the answer by the other way");
  expect(new Set(orbital.answers.map(({ status }) => status))).toEqual(new Set(["DONE"]));
  expect(edge.control.calls.filter((call) => call === `revoke ${TENANT}/${service}`)).toHaveLength(1);

  await broker.kill();
  const another = newService();
  expect(await orbital.run(newTask("crypto-edge.revoke", order(another)))).toMatchObject({ status: "DONE" });
  expect(edge.guard.isBlocked(TENANT, another)).toBe(true);
  expect(edge.connected()).toBe(true);
  await broker.start();
}, 300_000);

test("a Core as a target commits what it is ordered, once, and waits for its edges where it is asked to", async () => {
  const port = await freePort();
  const target = await createOrbitalTarget(
    {
      grpc: grpcSection(port),
      issuers: [{ issuer: ISSUER, keys: at("jwks.json"), tenants: ["tenant-*"], restores: "any" }],
      require_signature: true,
      sign: { issuer: "https://core.example", key_id: "answers", key: at("answers.key") },
    },
    contextOf("core"),
  );
  const lease = { ttlSeconds: 3, refreshAfterSeconds: 2 };
  const other = await startCoreWorld({ heartbeatMs: 100, targets: [target], lease });
  try {
    const orbital = await overGrpc(port);
    const scope = { tenant: TENANT, service: "ordered" };
    expect(await orbital.run(newTask("crypto-edge.create-tenant-context", scope))).toMatchObject({ status: "DONE" });
    expect(await orbital.run(newTask("crypto-edge.rotate", scope))).toMatchObject({ status: "DONE" });
    const edge = await other.client("edge-1");
    await edge.lease(scope, new AbortController().signal);

    const revocation = newTask("crypto-edge.revoke", { ...scope, reason: "test", wait_for_edges: true });
    const answer = await orbital.run(revocation);
    expect(answer).toMatchObject({ status: "DONE" });
    expect(isSigned(answer, answers.certificate)).toBe(true);
    // The edge had no stream, so the end of its lease was waited for, and the manager was told how many were left.
    const progress = orbital.answers.filter(({ status }) => status === "PROCESSING");
    expect(progress.length).toBeGreaterThan(0);
    expect(JSON.parse(progress[0]!.workingState!.toString())).toEqual({
      committed: [2],
      edges: 1,
      edges_left: 1,
      waiting_for: ["edge-1"],
    });
    expect(JSON.parse(answer.workingState!.toString())).toMatchObject({ edges_left: 0 });
    // Nobody holds a lease of another scope: it is not waited for.
    await orbital.run(newTask("crypto-edge.create-tenant-context", { ...scope, service: "other" }));
    const before = orbital.answers.length;
    const elsewhere = newTask("crypto-edge.rotate", { ...scope, service: "other", wait_for_edges: true });
    expect(await orbital.run(elsewhere)).toMatchObject({ status: "DONE" });
    expect(orbital.answers).toHaveLength(before + 1);
    // Every edge's restore names what it lifts; a Core has one revocation of a scope.
    const named = await orbital.run(newTask("crypto-edge.restore", { ...scope, lifts: [revocation.taskId] }));
    expect(named).toMatchObject({ status: "FAILED", errorMessage: expect.stringContaining("lifts is for an edge") });
    const events = await other.core.admin.eventsAfter(0);
    expect(events.map(({ type }) => type)).toEqual(["rotate", "revoke", "rotate"]);

    expect(await orbital.run(newTask("crypto-edge.restore", scope))).toMatchObject({ status: "DONE" });
    const foreign = await orbital.run(newTask("crypto-edge.rotate", { tenant: "other", service: "x" }));
    expect(foreign).toMatchObject({ status: "FAILED", errorMessage: expect.stringContaining("may not order") });
    expect(await orbital.run(newTask("crypto-edge.destroy-tenant-context", { tenant: TENANT }))).toMatchObject({
      status: "DONE",
    });
    await expect(edge.lease(scope, new AbortController().signal)).rejects.toMatchObject({ code: "key_revoked" });
  } finally {
    await other[Symbol.asyncDispose]();
  }
}, 300_000);

test("the plugin keeps the rules of the conformance kit", async () => {
  const path = join(import.meta.dir, "../../plugins/orbital");
  const file = (name: string, port: number): string => {
    const amqp = { ...amqpSection(), server: `amqp://127.0.0.1:${port}` };
    writeFileSync(
      at(name),
      // JSON is YAML too.
      JSON.stringify({
        edge: { id: "check" },
        key_source: { use: "static", static: { keys: [{ tenant: "tenant-a", version: 1, key: "ab".repeat(32) }] } },
        revocation: {
          transports: [{ use: "orbital", orbital: { amqp, issuers: [{ issuer: ISSUER, keys: at("jwks.json") }] } }],
        },
        listeners: [{ http: "127.0.0.1:0", principal: "local" }],
        plugins: [path, join(import.meta.dir, "../../plugins/static")],
      }),
    );
    return at(name);
  };
  const report = await checkPlugin(path, {
    config: file("check.yaml", broker.port),
    away: file("away.yaml", await freePort()),
  });
  console.log(printReport(report));
  expect(totalsOf(report).broken).toBe(0);
}, 300_000);
