import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { type AdminClient, createAdminClient } from "../../src/core/admin-client.ts";
import { createClient } from "../../src/sdk/client/client.ts";
import { startNatsServer } from "../integration/support/nats-server.ts";
import { RABBIT_USER, startRabbitServer } from "../integration/support/rabbitmq-server.ts";
import { until } from "../support/until.ts";
import { layCable } from "./support/cable.ts";
import { Deployment } from "./support/deployment.ts";

const TENANT = "tenant-a";
const SERVICE = "billing";

interface Readiness {
  readonly ready: boolean;
  readonly revocation: {
    readonly seq: number;
    readonly silent: boolean;
    readonly leaseDrops: number;
    readonly transports: readonly { readonly name: string; readonly connected: boolean }[];
  };
}

async function readiness(deployment: Deployment): Promise<Readiness> {
  return (await (await fetch(`${deployment.edgeUrl}/v1/status`)).json()) as Readiness;
}

/** `ok`, or the problem's code. */
async function outcomeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "ok";
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

/** A Core with one service, an edge connected to it, and a key made there. */
async function startDeployment(deployment: Deployment, edgeExtra = ""): Promise<Uint8Array> {
  await deployment.startCore();
  deployment.admin("service", "create", TENANT, SERVICE);
  await deployment.startEdge(edgeExtra);
  const { wrapped } = await createClient({ url: deployment.edgeUrl }).createKey({ tenant: TENANT, service: SERVICE });
  return wrapped;
}

interface BrokerUse {
  readonly plugin: string;
  readonly use: string;
}

const natsAt = (port: number): BrokerUse => ({
  plugin: resolve(import.meta.dir, "../../plugins/nats"),
  use: `{ use: nats, nats: { servers: ["nats://127.0.0.1:${port}"] } }`,
});

/** The same, where events go over a broker as well; the edge listens to it alone, but for what is named before it. */
function startWithBroker(
  deployment: Deployment,
  { plugin, use }: BrokerUse,
  transportsBefore = "",
  revocationExtra = "",
): Promise<Uint8Array> {
  deployment.coreExtra = `plugins: [${plugin}]\npublishers: [${use}]\n`;
  const revocation = `{ transports: [${transportsBefore}${use}]${revocationExtra} }`;
  return startDeployment(deployment, `plugins: [${plugin}]\nrevocation: ${revocation}\n`);
}

const decrypts = (deployment: Deployment, wrapped: Uint8Array): Promise<string> =>
  outcomeOf(createClient({ url: deployment.edgeUrl }).decryptKey({ wrapped }));

/** Waits until opening the key ends so. */
async function untilDecrypts(deployment: Deployment, wrapped: Uint8Array, outcome: string): Promise<void> {
  await until(async () => (await decrypts(deployment, wrapped)) === outcome);
}

/** Waits until the edge says this of its revocations. */
async function untilRevocation(
  deployment: Deployment,
  holds: (revocation: Readiness["revocation"]) => boolean | undefined,
): Promise<void> {
  await until(async () => holds((await readiness(deployment)).revocation));
}

/** The Core's administration, without the command line, whose start would block this process. */
function adminOf(deployment: Deployment): AdminClient {
  const read = (name: string): string => readFileSync(deployment.file(`pki/${name}`), "utf8");
  return createAdminClient({
    url: `https://127.0.0.1:${deployment.corePort}`,
    certificates: { ca: read("ca.pem"), cert: read("core-admin.pem"), key: read("core-admin.key") },
  });
}

/** When the edge's log says that it had applied a revocation: the acknowledgement. */
function acknowledgedMs(deployment: Deployment, index = 0): number | undefined {
  const lines = deployment
    .edge!.output()
    .split("\n")
    .filter((line) => line.includes("a revocation was applied"));
  const line = lines[index];
  return line === undefined ? undefined : Date.parse((JSON.parse(line) as { time: string }).time);
}

describe("a revocation, with real processes", () => {
  test("under load: no request that was sent after the acknowledgement succeeds", async () => {
    await using deployment = new Deployment();
    const wrapped = await startDeployment(deployment);
    const client = createClient({ url: deployment.edgeUrl });
    const calls: { sentMs: number; outcome: string }[] = [];
    let stopped = false;
    const load = Array.from({ length: 16 }, async (_, index) => {
      while (!stopped) {
        const sentMs = performance.timeOrigin + performance.now();
        const call =
          index % 2 === 0 ? client.decryptKey({ wrapped }) : client.createKey({ tenant: TENANT, service: SERVICE });
        calls.push({ sentMs, outcome: await outcomeOf(call) });
      }
    });
    await until(() => calls.length > 500 || undefined);
    const admin = adminOf(deployment);
    await admin.call("POST", "revoke", { tenant: TENANT, service: SERVICE, reason: "test" });
    admin.close();
    const ackMs = await until(() => acknowledgedMs(deployment));
    const before = calls.length;
    await until(() => calls.length > before + 500 || undefined);
    stopped = true;
    await Promise.all(load);
    const outcomes = (after: boolean) =>
      new Set(calls.filter(({ sentMs }) => sentMs > ackMs + 1 === after).map(({ outcome }) => outcome));
    expect([...outcomes(true)]).toEqual(["key_revoked"]);
    expect(outcomes(false).has("ok")).toBe(true);
    // The edge knows it by itself: there is nobody to ask any more.
    await deployment.core!.stop("SIGKILL");
    const refused = await fetch(`${deployment.edgeUrl}/v1/keys/decrypt`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ wrapped: Buffer.from(wrapped).toString("base64url") }),
    });
    expect(refused.status).toBe(410);
  }, 300_000);

  test("that the Core committed just before it was killed is learnt from the log when it is back", async () => {
    await using deployment = new Deployment();
    const cable = await layCable(() => deployment.corePort);
    deployment.portForEdge = cable.port;
    const wrapped = await startDeployment(deployment);
    cable.cut();
    deployment.admin("revoke", TENANT, SERVICE);
    await deployment.core!.stop("SIGKILL");
    expect(await decrypts(deployment, wrapped)).toBe("ok");
    await deployment.startCore();
    cable.heal();
    await untilDecrypts(deployment, wrapped, "key_revoked");
    expect((await readiness(deployment)).revocation.leaseDrops).toBe(0);
    await cable.close();
  }, 300_000);

  test("behind a partition comes with the connection; meanwhile the edge says that it hears nothing", async () => {
    await using deployment = new Deployment();
    const cable = await layCable(() => deployment.corePort);
    deployment.portForEdge = cable.port;
    const wrapped = await startDeployment(deployment, "revocation: { max_silence: 5s }\n");
    cable.cut();
    deployment.admin("revoke", TENANT, SERVICE);
    await untilRevocation(deployment, ({ silent }) => silent);
    expect((await readiness(deployment)).revocation.transports).toMatchObject([{ name: "core", connected: false }]);
    expect(await decrypts(deployment, wrapped)).toBe("ok");
    cable.heal();
    await untilDecrypts(deployment, wrapped, "key_revoked");
    await untilRevocation(deployment, ({ silent }) => !silent);
    await cable.close();
  }, 300_000);

  test("under fail_closed a partition stops the edge, and its end starts it again", async () => {
    await using deployment = new Deployment();
    const cable = await layCable(() => deployment.corePort);
    deployment.portForEdge = cable.port;
    const wrapped = await startDeployment(deployment, "revocation: { max_silence: 2s, on_silence: fail_closed }\n");
    cable.cut();
    await untilDecrypts(deployment, wrapped, "lease_unavailable");
    expect((await readiness(deployment)).ready).toBe(false);
    cable.heal();
    await untilDecrypts(deployment, wrapped, "ok");
    await cable.close();
  }, 300_000);

  test("at the end of 10,000 events that an edge slept through is applied when it wakes", async () => {
    await using deployment = new Deployment();
    const wrapped = await startDeployment(deployment);
    deployment.admin("service", "create", TENANT, "noise");
    const before = (await readiness(deployment)).revocation.seq;
    deployment.edge!.process.kill("SIGSTOP");
    const admin = adminOf(deployment);
    const noise = { tenant: TENANT, service: "noise" };
    for (let index = 0; index < 9_999; index++) await admin.call("POST", "rotate", noise);
    await admin.call("POST", "revoke", { tenant: TENANT, service: SERVICE, reason: "test" });
    admin.close();
    deployment.edge!.process.kill("SIGCONT");
    await untilDecrypts(deployment, wrapped, "key_revoked");
    await untilRevocation(deployment, ({ seq }) => seq === before + 10_000);
    expect((await readiness(deployment)).revocation.leaseDrops).toBe(0);
  }, 240_000);
});

describe("a revocation over NATS, with real processes", () => {
  test("reaches the edge; the broker's death is seen, leaves the other transport, and its return too", async () => {
    await using broker = await startNatsServer();
    await using deployment = new Deployment();
    const wrapped = await startWithBroker(deployment, natsAt(broker.port), "{ use: core }, ");
    const untilConnected = (names: string): Promise<void> =>
      untilRevocation(deployment, ({ transports }) => {
        const connected = transports.filter((transport) => transport.connected);
        return connected.map(({ name }) => name).join() === names;
      });
    await untilConnected("core,nats");
    await broker.kill();
    await untilConnected("core");
    deployment.admin("revoke", TENANT, SERVICE);
    await untilDecrypts(deployment, wrapped, "key_revoked");
    await broker.start();
    await untilConnected("core,nats");
    expect((await readiness(deployment)).revocation.leaseDrops).toBe(0);
  }, 300_000);

  test("by the broker alone, with the Core's direct stream not even configured", async () => {
    await using broker = await startNatsServer();
    await using deployment = new Deployment();
    const wrapped = await startWithBroker(deployment, natsAt(broker.port));
    await untilRevocation(deployment, ({ transports }) => transports[0]?.connected);
    deployment.admin("revoke", TENANT, SERVICE);
    await untilDecrypts(deployment, wrapped, "key_revoked");
    expect((await readiness(deployment)).revocation.leaseDrops).toBe(0);
  }, 300_000);

  test("is found by asking, within max_silence, when the only broker is dead", async () => {
    await using broker = await startNatsServer();
    await using deployment = new Deployment();
    const wrapped = await startWithBroker(deployment, natsAt(broker.port), "", ", max_silence: 2s");
    await untilRevocation(deployment, ({ transports }) => transports[0]?.connected);
    await broker.kill();
    deployment.admin("revoke", TENANT, SERVICE);
    await untilDecrypts(deployment, wrapped, "key_revoked");
  }, 300_000);
});

describe("a revocation over RabbitMQ, with real processes", () => {
  test("reaches the edge by the broker alone", async () => {
    await using broker = await startRabbitServer();
    await using deployment = new Deployment();
    const { user, password } = RABBIT_USER;
    const wrapped = await startWithBroker(deployment, {
      plugin: resolve(import.meta.dir, "../../plugins/amqp"),
      use: `{ use: amqp, amqp: { servers: ["amqp://127.0.0.1:${broker.port}"], user: ${user}, password: ${password} } }`,
    });
    await untilRevocation(deployment, ({ transports }) => transports[0]?.connected);
    deployment.admin("revoke", TENANT, SERVICE);
    await untilDecrypts(deployment, wrapped, "key_revoked");
    expect((await readiness(deployment)).revocation.leaseDrops).toBe(0);
  }, 300_000);
});
