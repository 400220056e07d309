import { Database } from "bun:sqlite";
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compactVerify, createLocalJWKSet, decodeProtectedHeader } from "jose";
import type { Clock } from "../../src/base/time/clock.ts";
import { systemClock } from "../../src/base/time/system-clock.ts";
import type { CoreEvent } from "../../src/core/protocol/events.ts";
import type { EventPublisher } from "../../src/edge/revocation/event-publisher.ts";
import { startCoreWorld } from "../support/core-world.ts";
import { until } from "../support/until.ts";

/** For a busy machine. */
setDefaultTimeout(30_000);

function collect(): EventPublisher & { readonly sent: { event: CoreEvent; jws: string }[] } {
  const sent: { event: CoreEvent; jws: string }[] = [];
  return { name: "collect", sent, publish: (event, jws) => void sent.push({ event, jws }) };
}

describe("events for brokers", () => {
  test("are signed by the key that the Core serves, in the log's order, heartbeats too", async () => {
    const publisher = collect();
    await using world = await startCoreWorld({ publishers: [publisher], heartbeatMs: 20 });
    const { admin, log } = world.core;
    await admin.createService("tenant-a", "billing");
    for (let index = 0; index < 20; index++) await admin.rotate("tenant-a", "billing");
    await admin.revoke({ tenant: "tenant-a", service: "billing", version: 1 });
    await until(() => publisher.sent.some(({ event }) => event.type === "heartbeat" && event.seq === 21));
    const keys = await (await world.client()).keys();
    expect(JSON.stringify(keys)).not.toContain('"d"');
    const keySet = createLocalJWKSet(keys);
    for (const { event, jws } of publisher.sent) {
      const { payload, protectedHeader } = await compactVerify(jws, keySet, { algorithms: ["EdDSA"] });
      expect(JSON.parse(new TextDecoder().decode(payload))).toEqual(event);
      expect(protectedHeader).toMatchObject({ alg: "EdDSA", typ: "crypto-edge-event" });
      expect(event.log).toBe(log);
    }
    const logged = publisher.sent.filter(({ event }) => event.type !== "heartbeat").map(({ event }) => event.seq);
    expect(logged).toEqual(Array.from({ length: 21 }, (_, index) => index + 1));
  });

  test("a rolled key signs from then on; what the old one signed still verifies, after a restart too", async () => {
    const directory = mkdtempSync(join(tmpdir(), "signing-"));
    try {
      const publisher = collect();
      const world = await startCoreWorld({
        publishers: [publisher],
        database: join(directory, "core.db"),
        heartbeatMs: 3_600_000,
      });
      const { admin } = world.core;
      await admin.createService("tenant-a", "billing");
      await admin.rotate("tenant-a", "billing");
      await until(() => publisher.sent.length === 1);
      const kid = await admin.rollSigningKey();
      await admin.rotate("tenant-a", "billing");
      await until(() => publisher.sent.length === 2);
      await world[Symbol.asyncDispose]();
      const [before, after] = publisher.sent.map(({ jws }) => jws);
      expect(decodeProtectedHeader(after!).kid).toBe(kid);
      expect(decodeProtectedHeader(before!).kid).not.toBe(kid);

      await using again = await startCoreWorld({ ...world.options, listen: { hostname: "127.0.0.1", port: 0 } });
      const keySet = createLocalJWKSet(await (await again.client()).keys());
      for (const jws of [before!, after!]) await compactVerify(jws, keySet);
      await again.core.admin.rotate("tenant-a", "billing");
      await until(() => publisher.sent.length === 3);
      expect(decodeProtectedHeader(publisher.sent[2]!.jws).kid).toBe(kid);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  test("a key that is withdrawn is out of the set at once; one that is rolled, after a day", async () => {
    let aheadMs = 0;
    const clock: Clock = { ...systemClock, wallMs: () => systemClock.wallMs() + aheadMs };
    await using world = await startCoreWorld({ clock });
    const { admin } = world.core;
    const client = await world.client();
    const served = async (): Promise<(string | undefined)[]> => {
      aheadMs += 2_000;
      return (await client.keys()).keys.map(({ kid }) => kid).sort();
    };
    const [first] = await served();
    const second = await admin.rollSigningKey();
    expect(await served()).toEqual([first, second].sort());
    aheadMs += 25 * 3_600_000;
    expect(await served()).toEqual([second]);
    const third = await admin.rollSigningKey();
    expect(await served()).toEqual([second, third].sort());
    const fourth = await admin.rollSigningKey({ withdraw: true });
    expect(await served()).toEqual([fourth]);
  });

  test("a key that somebody put into the database is not served as the Core's", async () => {
    const directory = mkdtempSync(join(tmpdir(), "signing-"));
    try {
      const file = join(directory, "core.db");
      const world = await startCoreWorld({ database: file });
      const own = (await (await world.client()).keys()).keys.map(({ kid }) => kid);
      await world[Symbol.asyncDispose]();
      const { publicKey } = generateKeyPairSync("ed25519");
      const database = new Database(file);
      database
        .query("INSERT INTO signing_keys (kid, public_key, private_key, created_at) VALUES (?, ?, ?, ?)")
        .run(
          "planted",
          publicKey.export({ format: "der", type: "spki" }),
          new Uint8Array(80),
          "2000-01-01T00:00:00.000Z",
        );
      database.query("UPDATE signing_keys SET retired_at = '2999-01-01T00:00:00.000Z' WHERE kid = 'planted'").run();
      database.close();
      await using again = await startCoreWorld({ ...world.options, listen: { hostname: "127.0.0.1", port: 0 } });
      expect((await (await again.client()).keys()).keys.map(({ kid }) => kid)).toEqual(own);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  test("a publisher that fails, at once or later, costs neither the change nor the other publishers", async () => {
    const publisher = collect();
    await using world = await startCoreWorld({
      publishers: [
        {
          name: "throws",
          publish: () => {
            throw new Error("broken");
          },
        },
        { name: "rejects", publish: () => Promise.reject(new Error("broken")) },
        publisher,
      ],
      heartbeatMs: 3_600_000,
    });
    await world.core.admin.createService("tenant-a", "billing");
    await world.core.admin.rotate("tenant-a", "billing");
    await until(() => publisher.sent.length === 1 && world.core.counters.publishFailures === 2);
  });
});
