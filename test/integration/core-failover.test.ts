/** A failover of PostgreSQL to a real standby, by streaming replication: with none of the last commits lost, and with some. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { createCoreClients } from "../../src/edge/key-source/core/core-clients.ts";
import { createClient } from "../../src/sdk/client/client.ts";
import type { Client } from "../../src/sdk/client/operations.ts";
import { eventually } from "../support/until.ts";
import { type CoreCluster, type EdgeProcess, startCluster } from "./support/core-cluster.ts";
import { startCutProxy } from "./support/cut-proxy.ts";
import { startStandby } from "./support/postgresql.ts";

setDefaultTimeout(240_000);

const KEY = { tenant: "t", service: "billing" };
let stack: AsyncDisposableStack;
afterEach(() => stack?.disposeAsync(), 120_000);

interface World {
  readonly cluster: CoreCluster;
  readonly edge: EdgeProcess;
  readonly client: Client;
  readonly wrapped: Uint8Array;
  /** Between the primary and its standby. */
  cut(): void;
  /** The primary ends; the standby takes over, and its address. */
  failOver(): Promise<void>;
}

async function startWorld({ synchronous }: { readonly synchronous: boolean }): Promise<World> {
  stack = new AsyncDisposableStack();
  const cluster = stack.use(await startCluster(2));
  const replication = await startCutProxy(cluster.server.port);
  stack.defer(() => replication.close());
  const standby = stack.use(await startStandby(replication.port, "standby"));
  const sql = new Bun.SQL({ ...cluster.database, adapter: "postgres", max: 1, tls: false });
  if (synchronous) {
    await sql.unsafe("ALTER SYSTEM SET synchronous_standby_names = 'standby'");
    await sql.unsafe("SELECT pg_reload_conf()");
  }
  const state = synchronous ? "sync" : "async";
  await eventually(
    async () =>
      (await sql.unsafe("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = $1", [state]))
        .length === 1,
    "the standby following",
  );
  await sql.close();
  await cluster.cores[0]!.admin.call("POST", "services", KEY);
  const edge = await cluster.edge("one");
  const client = createClient({ url: edge.url, retry: { attempts: 1 } });
  let wrapped: Uint8Array = new Uint8Array();
  await eventually(async () => {
    wrapped = (await client.createKey(KEY).catch(() => undefined))?.wrapped ?? wrapped;
    return wrapped.length > 0;
  }, "a key");
  return {
    cluster,
    edge,
    client,
    wrapped,
    cut: () => replication.cut(),
    async failOver() {
      await cluster.server.kill();
      await standby.promote();
      for (const { way } of cluster.cores) way.leadTo(standby.port);
      for (const { watchUrl } of cluster.cores) {
        await eventually(async () => (await fetch(`${watchUrl}/readyz`)).ok, "a Core being ready");
      }
    },
  };
}

const status = async ({ cluster }: World, core = 0) =>
  (await cluster.cores[core]!.admin.call("GET", "status")) as { log: string; lastSeq: number };
const revoke = ({ cluster }: World, core: number) =>
  cluster.cores[core]!.admin.call("POST", "revoke", { ...KEY, version: 1, reason: "test" });
const outcome = ({ client, wrapped }: World): Promise<string> =>
  client.decryptKey({ wrapped }).then(
    () => "opened",
    (error: { code?: string }) => error.code ?? "failed",
  );
const refused = (world: World) =>
  eventually(async () => (await outcome(world)) === "key_revoked", "the refusal at the edge");

async function leases({ cluster }: World): Promise<unknown> {
  const client = createCoreClients({
    urls: cluster.cores.map(({ url }) => url),
    certificates: await cluster.pki.edge("direct"),
  });
  const answer = await client.lease(KEY).catch((error: { code?: string }) => error);
  client.close();
  if ("versions" in answer) for (const { key } of answer.versions) key.fill(0);
  return "versions" in answer ? answer.versions.map(({ version }) => version) : (answer as { code?: string }).code;
}

test("to a synchronous standby: what was committed is there, under the same log, and every lease and event goes on", async () => {
  const world = await startWorld({ synchronous: true });
  await world.cluster.cores[0]!.admin.call("POST", "rotate", KEY);
  await revoke(world, 0);
  const before = await status(world);
  await world.failOver();
  expect(await status(world)).toMatchObject({ log: before.log, lastSeq: before.lastSeq });
  await refused(world);
  expect(await leases(world)).toEqual([2]);
  // The next change at either follows the last one, without a hole.
  await world.cluster.cores[1]!.admin.call("POST", "rotate", KEY);
  await eventually(async () => (await status(world)).lastSeq === before.lastSeq + 1, "the event at the other Core");
  expect((await status(world, 1)).log).toBe(before.log);
  expect(world.cluster.cores.map((core) => core.log()).join("")).not.toContain("has lost events");
});

test("to a standby that lags: each Core says what was lost, a new log begins, and what is revoked again is refused", async () => {
  const world = await startWorld({ synchronous: false });
  const before = await status(world);
  world.cut();
  await revoke(world, 0);
  await refused(world);
  await world.failOver();
  await eventually(async () => {
    const [one, two] = await Promise.all([status(world), status(world, 1)]);
    return one.log === two.log && one.log !== before.log;
  }, "one new log at both");
  expect(world.cluster.cores.map((core) => core.log()).join("")).toContain("has lost events that were committed");
  // Forgotten, as the page says: until it is revoked again.
  expect(await leases(world)).toEqual([1]);
  await revoke(world, 1);
  await refused(world);
  expect(await leases(world)).toBe("key_revoked");
});
