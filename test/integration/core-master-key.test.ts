/** The master key is rotated at one of two Cores, which is killed at it: leases go on throughout, and the other ends what was begun. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { type CoreClient, createCoreClient } from "../../src/edge/key-source/core/core-client.ts";
import { openRegistry } from "../core/support/registry.ts";
import { eventually } from "../support/until.ts";
import { type CoreCluster, startCluster } from "./support/core-cluster.ts";

setDefaultTimeout(240_000);

/** Several times what one transaction takes. */
const TENANTS = 1_000;
const [former, current] = [randomBytes(32), randomBytes(32)];
let cluster: CoreCluster;
let clients: CoreClient[];
/** Of some tenants, before anything was rotated. */
const keys = new Map<string, string>();
const tenants = Array.from({ length: 20 }, (_, index) => `tenant-${(index * TENANTS) / 20}`);

beforeAll(async () => {
  cluster = await startCluster(2, {
    masterKey: current,
    formerMasterKey: former,
    async prepare(database) {
      const { registry, close } = await openRegistry({
        database: { ...database, timeoutMs: 60_000 },
        masterKey: former,
      });
      for (let index = 0; index < TENANTS; index++) await registry.createService(`tenant-${index}`, "billing");
      await close();
    },
  });
  const certificates = await cluster.pki.edge("direct");
  clients = cluster.cores.map(({ url }) => createCoreClient({ url, certificates }));
  for (const tenant of tenants) keys.set(tenant, await keyOf(tenant, 0));
}, 300_000);

afterAll(async () => {
  for (const client of clients ?? []) client.close();
  await cluster?.[Symbol.asyncDispose]();
}, 120_000);

async function keyOf(tenant: string, core: number): Promise<string> {
  const { versions } = await clients[core]!.lease({ tenant, service: "billing" });
  return Buffer.from(versions[0]!.key).toString("hex");
}

const rotate = (core: number) =>
  cluster.cores[core]!.admin.call("POST", "master-key", {}) as Promise<{ rewrapped: number; unchanged: number }>;

/** How many tenants' keys open under the new master key alone. */
async function rewrapped(): Promise<number> {
  const { store, hierarchy, close } = await openRegistry({
    database: { ...cluster.database, timeoutMs: 60_000 },
    masterKey: current,
    formerMasterKey: former,
  });
  let count = 0;
  for (let after = ""; ; ) {
    const page = await store.tenantKeys(after, 500);
    for (const { tenant, wrappedKey } of page) {
      if (hierarchy.rewrap(["l2", tenant], wrappedKey) === undefined) count++;
    }
    const last = page.at(-1);
    if (last === undefined) break;
    after = last.tenant;
  }
  await close();
  return count;
}

test("killed in the middle of it, every lease goes on at the other Core, which ends it", async () => {
  const broken = rotate(0).catch((error: unknown) => error);
  const sql = new Bun.SQL({ ...cluster.database, adapter: "postgres", max: 1, tls: false });
  const untouched = await sql.unsafe("SELECT l2 FROM tenants WHERE tenant = 'tenant-0'");
  await eventually(
    async () => !(await sql.unsafe("SELECT l2 FROM tenants WHERE tenant = 'tenant-0'"))[0].l2.equals(untouched[0].l2),
    "the first of them being under the new key",
  );
  await cluster.cores[0]!.kill("SIGKILL");
  await broken;
  await sql.close();
  const before = await rewrapped();
  expect(before).toBeGreaterThan(0);
  console.log(`  killed with ${before} of ${TENANTS} done`);
  for (const tenant of tenants) expect(await keyOf(tenant, 1)).toBe(keys.get(tenant)!);

  const rest = await rotate(1);
  // The signing key too.
  expect(rest.rewrapped + rest.unchanged).toBe(TENANTS + 1);
  expect(rest.unchanged).toBeGreaterThanOrEqual(before);
  expect(await rewrapped()).toBe(TENANTS);
  await cluster.cores[0]!.start();
  for (const tenant of tenants) {
    for (const core of [0, 1]) expect(await keyOf(tenant, core)).toBe(keys.get(tenant)!);
  }
  expect(await rotate(0)).toEqual({ rewrapped: 0, unchanged: TENANTS + 1 });
});
