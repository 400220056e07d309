/** Cores over one PostgreSQL whose clocks are minutes and weeks apart: leases, revocations and confirmations are safe all the same. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { createThrowAwayPki, type ThrowAwayPki } from "../../src/base/pki/throw-away.ts";
import type { Clock } from "../../src/base/time/clock.ts";
import { systemClock } from "../../src/base/time/system-clock.ts";
import { ALLOW_EVERY_EDGE } from "../../src/core/allowance.ts";
import { startCore } from "../../src/core/core.ts";
import { Housekeeping } from "../../src/core/housekeeping.ts";
import type { RunningCore } from "../../src/core/running-core.ts";
import { SigningKeys } from "../../src/core/signing-keys.ts";
import type { PostgresqlOptions } from "../../src/core/store/open-store.ts";
import { createCoreClient } from "../../src/edge/key-source/core/core-client.ts";
import type { CoreCommands, CoreTarget } from "../../src/edge/revocation/core-target.ts";
import { openRegistry } from "../core/support/registry.ts";
import { eventually } from "../support/until.ts";
import { type PostgresqlServer, startPostgresql } from "./support/postgresql.ts";

/** For a busy machine. */
setDefaultTimeout(120_000);

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const KEY = { tenant: "tenant-a", service: "billing" };
const masterKey = randomBytes(32);
let server: PostgresqlServer;
let pki: ThrowAwayPki;
let databases = 0;

beforeAll(async () => {
  server = await startPostgresql();
  pki = await createThrowAwayPki("example.org");
}, 300_000);
afterAll(() => server?.[Symbol.asyncDispose](), 120_000);

const apart = (ms: number): Clock => ({ ...systemClock, wallMs: () => systemClock.wallMs() + ms });

interface Started extends AsyncDisposable {
  readonly core: RunningCore;
  readonly commands: CoreCommands;
  readonly warned: string[];
}

async function start(name: string, database: PostgresqlOptions, aheadMs: number): Promise<Started> {
  let commands: CoreCommands | undefined;
  const target: CoreTarget = {
    name: "orders",
    async start(given) {
      commands = given;
    },
    async close() {},
  };
  const warned: string[] = [];
  const core = await startCore({
    listen: { hostname: "127.0.0.1", port: 0 },
    name,
    tls: pki.core,
    database,
    masterKey,
    allow: ALLOW_EVERY_EDGE,
    clock: apart(aheadMs),
    targets: [target],
    log: (_level, message) => void warned.push(message),
  });
  return { core, commands: commands!, warned, [Symbol.asyncDispose]: () => core.close() };
}

const newDatabase = async () => ({ ...(await server.database(`core-${databases++}`)), timeoutMs: 20_000 });

for (const aheadMs of [10 * MINUTE_MS, -10 * MINUTE_MS]) {
  test(`a Core whose clock is ${aheadMs / MINUTE_MS} minutes ahead leases for as long as the others, is told what they revoke, and never says too early that nobody is left`, async () => {
    const database = await newDatabase();
    await using right = await start("right", database, 0);
    await using wrong = await start("wrong", database, aheadMs);
    expect(wrong.warned).toContain("this Core's clock is apart from the database's: have both follow one time server");
    await right.core.admin.createService(KEY.tenant, KEY.service);
    const certificates = await pki.edge("edge-1");
    const clients = [right, wrong].map(({ core }) => createCoreClient({ url: core.url, certificates }));
    try {
      const lives: number[] = [];
      for (const client of clients) {
        const { ttlMs, versions } = await client.lease(KEY);
        lives.push(ttlMs);
        for (const { key } of versions) key.fill(0);
      }
      expect(lives[1]).toBe(lives[0]!);
      // Each takes an order, and is asked of the other's: the edge holds a lease and confirms nothing.
      for (const [taking, asked] of [
        [right, wrong],
        [wrong, right],
      ] as const) {
        const service = `service-${databases}-${taking === right}`;
        await taking.core.admin.createService(KEY.tenant, service);
        const { versions } = await clients[0]!.lease({ tenant: KEY.tenant, service });
        for (const { key } of versions) key.fill(0);
        const scope = { tenant: KEY.tenant, service };
        const order = {
          id: service,
          issuer: "test",
          type: "revoke",
          scope,
          state: "compromised",
          reason: "test",
        } as const;
        const committed = await taking.commands.commit(order);
        await eventually(() => asked.core.lastSeq === taking.core.lastSeq, "the event at the other Core");
        expect(await asked.commands.edgesLeft(committed, scope)).toMatchObject({ left: 1 });
        expect(await taking.commands.edgesLeft(committed, scope)).toMatchObject({ left: 1 });
        for (const client of clients) {
          expect(await client.lease({ tenant: KEY.tenant, service }).catch((error: unknown) => error)).toMatchObject({
            code: "key_revoked",
          });
        }
      }
      // Who was seen when is told alike by both.
      const seen = await Promise.all([right, wrong].map(({ core }) => core.admin.edges()));
      for (const [one] of seen) expect(Math.abs(Date.parse(one!.lastSeenAt) - Date.now())).toBeLessThan(5 * MINUTE_MS);
    } finally {
      for (const client of clients) client.close();
    }
  });
}

test("a Core whose clock is years ahead takes from all no usage that is not old, and no batch's key", async () => {
  const database = await newDatabase();
  await using right = await start("right", database, 0);
  await using wrong = await start("wrong", database, 2_000 * DAY_MS);
  await right.core.admin.createService(KEY.tenant, KEY.service);
  const client = createCoreClient({ url: wrong.core.url, certificates: await pki.edge("edge-1") });
  const now = new Date().toISOString();
  const record = {
    ...KEY,
    version: 1,
    operation: "create",
    outcome: "ok",
    principal: "p",
    count: 3,
    from: now,
    to: now,
  };
  const batch = {
    idempotencyKey: "batch-1",
    gzip: false,
    body: new TextEncoder().encode(`${JSON.stringify(record)}\n`),
  };
  const { store, hierarchy, close } = await openRegistry({ database, masterKey });
  const clock = apart(2_000 * DAY_MS);
  const signingKeys = await SigningKeys.open({ store, hierarchy, now: () => clock.wallMs() });
  const housekeeping = new Housekeeping({ store, signingKeys, hierarchy, clock, log: () => undefined, retention: {} });
  try {
    expect(await client.usage(batch)).toEqual({ accepted: 1, duplicate: false });
    await housekeeping.prune();
    expect(await client.usage(batch)).toEqual({ accepted: 1, duplicate: true });
    expect(await right.core.admin.usage()).toMatchObject([{ edge: "edge-1", count: 3 }]);
  } finally {
    client.close();
    await housekeeping.close();
    await close();
  }
});
