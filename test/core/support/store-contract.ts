/** The text of `Store` (src/core/store/store.ts) as tests, and of the keys over it: the same for every adapter. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { rotateMasterKey } from "../../../src/core/keys/rotate-master-key.ts";
import type { KeyState } from "../../../src/core/protocol/key-state.ts";
import type { StoreOptions } from "../../../src/core/store/open-store.ts";
import { CHANGES, contentsOf, MASTER_KEY_ROTATION, prepare } from "./changes.ts";
import { type OpenedRegistry, openRegistry } from "./registry.ts";

export interface StoreUnderTest {
  readonly name: string;
  /** Before all tests. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** A database of its own, empty at first, for each name. */
  database(name: string): Promise<StoreOptions["database"]>;
  /** Whether several Cores share one database. */
  readonly shared: boolean;
}

const scope = { tenant: "tenant-a", service: "billing" };

export function testStore(store: StoreUnderTest): void {
  const masterKey = randomBytes(32);
  const open = async (name: string, options: Partial<Parameters<typeof openRegistry>[0]> = {}) =>
    openRegistry({ database: await store.database(name), masterKey, ...options });
  const within = async <T>(name: string, body: (opened: OpenedRegistry) => Promise<T>): Promise<T> => {
    const opened = await open(name);
    try {
      return await body(opened);
    } finally {
      await opened.close();
    }
  };

  describe(`the Core's keys in ${store.name}`, () => {
    beforeAll(() => store.start(), 120_000);
    afterAll(() => store.stop(), 60_000);

    test("are the same after a restart, with their states, the log and its numbers", async () => {
      const before = await within("restart", async ({ registry, store: opened }) => {
        await registry.createService("tenant-a", "billing");
        await registry.rotate("tenant-a", "billing");
        await registry.revoke({ ...scope, version: 1 }, "compromised", "test");
        return {
          position: await opened.position(),
          lease: await registry.openVersions("tenant-a", "billing", undefined, 0),
          services: await registry.services("tenant-a"),
        };
      });
      expect(before.position).toMatchObject({ lastSeq: 2, oldestSeq: 1 });
      await within("restart", async ({ registry, store: opened }) => {
        expect(await opened.position()).toEqual(before.position);
        expect(await registry.services("tenant-a")).toEqual(before.services);
        expect(await registry.openVersions("tenant-a", "billing", undefined, 0)).toEqual(before.lease);
        expect((await registry.rotate("tenant-a", "billing")).seq).toBe(3);
        expect((await opened.eventsAfter(0, 10)).map((event) => event.seq)).toEqual([1, 2, 3]);
        expect((await opened.eventsAfter(1, 1)).map((event) => event.seq)).toEqual([2]);
      });
    });

    test("do not open under another master key, and the error says what to do", async () => {
      await within("other-key", ({ registry }) => registry.createService("tenant-a", "billing"));
      expect(open("other-key", { masterKey: randomBytes(32) })).rejects.toThrow("the key that it was made with");
      await open("other-key", { masterKey: randomBytes(32) }).catch(() => undefined);
    });

    test("do not open in another row or for another name", async () => {
      await within("swap", async ({ registry, store: opened }) => {
        await registry.createService("tenant-a", "billing");
        await registry.createService("tenant-b", "billing");
        const keys = await opened.tenantKeys("", 10);
        expect(keys.map(({ tenant }) => tenant)).toEqual(["tenant-a", "tenant-b"]);
        await opened.change((change) => change.setTenantKey("tenant-a", keys[1]!.wrappedKey));
        expect(registry.openVersions("tenant-a", "billing", undefined, 0)).rejects.toThrow();
        await registry.openVersions("tenant-a", "billing", undefined, 0).catch(() => undefined);
        await opened.change((change) => change.setTenantKey("tenant-a", keys[0]!.wrappedKey));
        expect((await registry.openVersions("tenant-a", "billing", undefined, 0)).versions).toHaveLength(1);
      });
    });

    test("keep only as many events as are to be retained, and count on", async () => {
      const first = await open("retained", { retainedEvents: 5 });
      await first.registry.createService("tenant-a", "billing");
      for (let index = 0; index < 12; index++) await first.registry.rotate("tenant-a", "billing");
      expect(await first.store.position()).toMatchObject({ oldestSeq: 8, lastSeq: 12 });
      await first.close();
      const again = await open("retained", { retainedEvents: 5 });
      expect((await again.store.eventsAfter(0, 100)).map((event) => event.seq)).toEqual([8, 9, 10, 11, 12]);
      await again.close();
    });

    test("go back to the state they had when restored, and never to two active versions", async () => {
      await within("states", async ({ registry }) => {
        const states = async () => (await registry.services("tenant-a"))[0]!.versions.map(({ state }) => state);
        await registry.createService("tenant-a", "billing");
        await registry.rotate("tenant-a", "billing");
        await registry.revoke({ ...scope, version: 2 }, "compromised", "test");
        expect(await states()).toEqual(["deprecated", "compromised"]);
        await registry.restore({ ...scope, version: 2 });
        expect(await states()).toEqual(["deprecated", "active"]);
        await registry.revoke({ ...scope, version: 2 }, "compromised", "test", { rotate: true });
        expect(await states()).toEqual(["deprecated", "compromised", "active"]);
        await registry.restore({ ...scope, version: 2 });
        expect(await states()).toEqual(["deprecated", "deprecated", "active"]);
        await refused(registry.restore({ ...scope, version: 2 }), "not compromised");
        await registry.revoke({ ...scope, version: 1 }, "destroyed", "test");
        await refused(registry.revoke({ ...scope, version: 1 }, "compromised", "test"), "destroyed already");
        await registry.revoke(scope, "compromised", "test");
        await refused(registry.rotate("tenant-a", "billing"), "restore it first");
        await registry.restore(scope);
        await registry.revoke({ tenant: "tenant-a" }, "destroyed", "test");
        await refused(registry.restore({ tenant: "tenant-a" }), "gone for good");
        expect(await states()).toEqual(["destroyed", "destroyed", "destroyed"]);
      });
    });

    test("refuse what can't be: unknown names, bad names, a version without its service; nothing changes then", async () => {
      await within("refuse", async ({ registry, store: opened }) => {
        await registry.createService("tenant-a", "billing");
        await refused(registry.createService("tenant-a", "billing"), "exists already");
        await refused(registry.createTenant("tenant-a"), "exists already");
        await refused(registry.createService("../x", "billing"), "must have 1 to 128");
        await refused(registry.rotate("tenant-b", "billing"), "there is no");
        await refused(registry.revoke({ tenant: "tenant-a", version: 1 }, "compromised", "x"), "name the service too");
        await refused(registry.revoke({ ...scope, service: "x" }, "compromised", "x"), "there is no");
        await refused(
          registry.revoke(scope, "compromised", "x", { rotate: true }),
          "only the revocation of one version",
        );
        expect((await registry.services("tenant-a"))[0]!.state).toBe("active");
        expect((await opened.position()).lastSeq).toBe(0);
      });
    });

    test("change together with their event or not at all: a change that fails uses up no number", async () => {
      await within("atomic", async ({ registry, store: opened }) => {
        await registry.createService("tenant-a", "billing");
        const failed = opened.change(async (change) => {
          await change.setServiceState("tenant-a", "billing", "compromised");
          await change.appendEvent((log, seq) => ({ type: "restore", log, seq, at: "", tenant: "tenant-a" }));
          throw new Error("stop");
        });
        await refused(failed, "stop");
        expect(await opened.position()).toMatchObject({ lastSeq: 0, oldestSeq: 1 });
        expect((await opened.service("tenant-a", "billing"))?.state).toBe("active");
        expect((await registry.rotate("tenant-a", "billing")).seq).toBe(1);
      });
    });

    test("are seen by no reader while a change is under way, and by every reader after it", async () => {
      await within("isolation", async ({ registry, store: opened }) => {
        await registry.createService("tenant-a", "billing");
        const { promise: hold, resolve: letGo } = Promise.withResolvers<void>();
        const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
        let committed = false;
        const change = opened
          .change(async (one) => {
            await one.setServiceState("tenant-a", "billing", "compromised");
            begin();
            await hold;
          })
          .then(() => {
            committed = true;
          });
        await begun;
        const read = opened.service("tenant-a", "billing").then((row) => ({ row, committed }));
        setTimeout(letGo, 20);
        const { row, committed: after } = await read;
        expect(row?.state).toBe(after ? "compromised" : "active");
        await change;
        expect((await opened.service("tenant-a", "billing"))?.state).toBe("compromised");
      });
    });

    test("change in one order, however many change at once: no number twice, none left out", async () => {
      await within("order", async ({ registry, store: opened }) => {
        const services = Array.from({ length: 10 }, (_, index) => `service-${index}`);
        for (const service of services) await registry.createService("tenant-a", service);
        await Promise.all(services.flatMap((service) => [1, 2, 3].map(() => registry.rotate("tenant-a", service))));
        const events = await opened.eventsAfter(0, 100);
        expect(events.map((event) => event.seq)).toEqual(Array.from({ length: 30 }, (_, index) => index + 1));
      });
    });

    test("a lease's number counts every revocation that its states show, and no other", async () => {
      await within("snapshot", async ({ registry }) => {
        await registry.createService("tenant-a", "billing");
        let changing = true;
        const changes = (async () => {
          for (let index = 0; index < 60; index++) await registry.rotate("tenant-a", "billing");
          changing = false;
        })();
        let leases = 0;
        while (changing) {
          const { revocationSeq, versions } = await registry.openVersions("tenant-a", "billing", undefined, 0);
          // Version 1 was active at number 0, version 2 from number 1 on.
          expect(versions[0]!.version).toBe(revocationSeq + 1);
          leases++;
          await new Promise((resolve) => setImmediate(resolve));
        }
        await changes;
        expect(leases).toBeGreaterThan(0);
      });
    });

    test("go on under a new master key, with either while it is being rotated; broken off, it goes on", async () => {
      const next = randomBytes(32);
      const lease = await within("master", async ({ registry }) => {
        for (let index = 0; index < 150; index++) await registry.createTenant(`t-${index}`);
        await registry.createService("tenant-a", "billing");
        return registry.openVersions("tenant-a", "billing", undefined, 0);
      });
      const both = await open("master", { masterKey: next, formerMasterKey: masterKey });
      expect(await both.registry.openVersions("tenant-a", "billing", undefined, 0)).toEqual(lease);
      // As if it had ended after the first tenants.
      const [first] = await both.store.tenantKeys("", 1);
      const rewrapped = both.hierarchy.rewrap(["l2", first!.tenant], first!.wrappedKey)!;
      await both.store.change((change) => change.setTenantKey(first!.tenant, rewrapped));
      expect(await rotateMasterKey(both.store, both.hierarchy)).toEqual({ rewrapped: 150, unchanged: 1 });
      await both.registry.createService("tenant-b", "billing");
      expect(await rotateMasterKey(both.store, both.hierarchy)).toEqual({ rewrapped: 0, unchanged: 152 });
      await both.close();
      await refused(open("master"), "the key that it was made with");
      const after = await open("master", { masterKey: next });
      expect(await after.registry.openVersions("tenant-a", "billing", undefined, 0)).toEqual(lease);
      expect((await after.registry.openVersions("tenant-b", "billing", undefined, 0)).versions).toHaveLength(1);
      await after.close();
    });

    test("a restored history has another log and versions beyond the margin; the lost ones are named", async () => {
      await within("history", async ({ registry, store: opened }) => {
        await registry.createService("tenant-a", "billing");
        await registry.rotate("tenant-a", "billing");
        const before = await opened.position();
        await opened.change((change) => change.beginHistory("another", 100));
        const position = await opened.position();
        expect(position).toMatchObject({ log: "another", lastSeq: before.lastSeq, oldestSeq: before.lastSeq + 1 });
        expect(await registry.rotate("tenant-a", "billing")).toMatchObject({ version: 103, seq: before.lastSeq + 1 });
        for (const version of [3, 102]) {
          await refused(registry.openVersions("tenant-a", "billing", version, 0), "is lost");
        }
        await refused(registry.openVersions("tenant-a", "billing", 104, 0), "there is no version 104");
        expect((await registry.openVersions("tenant-a", "billing", 2, 0)).versions).toHaveLength(1);
        // Once more: the margin counts from what may have been used.
        await opened.change((change) => change.beginHistory("third", 10));
        expect(await registry.rotate("tenant-a", "billing")).toMatchObject({ version: 114 });
        await refused(registry.openVersions("tenant-a", "billing", 3, 0), "is lost");
      });
    });

    test("usage counts once a batch, and what is too old or too much goes", async () => {
      await within("usage", async ({ store: { usage } }) => {
        const at = "2026-01-01T00:00:00.000Z";
        const names = { tenant: "t", service: "s", version: 1, operation: "create", outcome: "ok", principal: "p" };
        const batch = {
          edge: "edge-1",
          idempotencyKey: "a",
          digest: randomBytes(32),
          records: 2,
          at,
          counts: [{ ...names, count: Number.MAX_SAFE_INTEGER, from: at, to: at }],
          auditEvents: [JSON.stringify({ edge: "edge-2", outcome: "ok", text: "ü".repeat(100) })],
        };
        expect(await usage.take(batch)).toBeUndefined();
        expect(await usage.take(batch)).toEqual({ digest: new Uint8Array(batch.digest), records: 2 } as never);
        await usage.take({ ...batch, idempotencyKey: "b", auditEvents: [] });
        expect((await usage.totals(10)).map(({ edge, count }) => [edge, count])).toEqual([
          ["edge-1", Number.MAX_SAFE_INTEGER],
        ]);
        // The certificate's name, not the record's.
        expect((await usage.auditEvents({ limit: 10 })).map((event) => event.edge)).toEqual(["edge-1"]);
        const many = Array.from({ length: 300 }, (_, index) => JSON.stringify({ index, text: "x".repeat(1_000) }));
        await usage.take({ ...batch, idempotencyKey: "c", at: "2026-02-01T00:00:00.000Z", auditEvents: many });
        const keep = {
          batchesSince: "",
          countsSince: "",
          auditSince: "",
          edgesSince: "",
          auditBytes: 100_000,
          nowMs: 0,
        };
        await usage.prune(keep);
        const left = await usage.auditEvents({ limit: 1_000 });
        expect(left.length).toBeWithin(80, 110);
        expect(left[0]).toMatchObject({ index: 299 });
        expect(await usage.prune({ ...keep, auditSince: "2026-03-01" })).toBe(left.length);
        expect(await usage.auditEvents({ limit: 10 })).toEqual([]);
        await usage.prune({ ...keep, countsSince: "2026-03-01" });
        expect(await usage.totals(10)).toEqual([]);
      });
    });

    test("long lists are whole and in order, though they are read in parts", async () => {
      await within("long lists", async ({ registry, store: opened }) => {
        const names = (what: string, count: number) =>
          Array.from({ length: count }, (_, index) => `${what}-${index}`).toSorted();
        const [tenants, services] = [names("t", 1_001), names("s", 600)];
        const key = randomBytes(60);
        const at = "2026-01-01T00:00:00.000Z";
        await opened.change(async (change) => {
          for (const tenant of tenants) await change.insertTenant(tenant, key, at);
          for (const service of services) {
            await change.insertService("t-0", service, at);
            const versions = service === "s-7" ? 1_100 : service === "s-8" ? 0 : 1;
            for (let version = 1; version <= versions; version++) {
              await change.insertVersion("t-0", service, version, key, at);
            }
          }
          for (let count = 0; count < 1_001; count++) {
            await change.appendEvent((log, seq) => ({ type: "rotate", log, seq, at, ...scope, version: seq }));
          }
        });
        expect((await opened.tenants()).map(({ tenant }) => tenant)).toEqual(tenants);
        const listed = await opened.services("t-0");
        expect(listed.map(({ service }) => service)).toEqual(services);
        const versionsOf = (sought: string): number[] =>
          listed.find(({ service }) => service === sought)!.versions.map(({ version }) => version);
        expect(versionsOf("s-7")).toEqual(Array.from({ length: 1_100 }, (_, index) => index + 1));
        expect([versionsOf("s-8"), versionsOf("s-9")]).toEqual([[], [1]]);
        expect(await opened.newestStates("t-0", "s-7", 2)).toEqual([
          { version: 1_099, state: "deprecated" },
          { version: 1_100, state: "active" },
        ]);
        const seqs = async (after: number, limit: number) =>
          (await opened.eventsAfter(after, limit)).map(({ seq }) => seq);
        const all = Array.from({ length: 1_001 }, (_, index) => index + 1);
        expect(await seqs(0, 2_000)).toEqual(all);
        expect(await seqs(1, 600)).toEqual(all.slice(1, 601));
        await registry.revoke({ tenant: "t-0" }, "destroyed", "test");
        const destroyed = await opened.services("t-0");
        expect(
          destroyed.every(({ state, versions }) =>
            [state, ...versions.map((one) => one.state)].every((one) => one === "destroyed"),
          ),
        ).toBe(true);
        expect(await opened.version("t-0", "s-7", 1_000)).toEqual({
          version: 1_000,
          state: "destroyed",
          wrappedKey: null,
        });
      });
    }, 60_000);

    test("audit events are found however far back they are, the newest first", async () => {
      await within("audit far back", async ({ store: { usage } }) => {
        const batch = { idempotencyKey: "a", digest: randomBytes(32), records: 1, counts: [] };
        const events = (count: number, from = 0) =>
          Array.from({ length: count }, (_, index) => JSON.stringify({ index: from + index }));
        await usage.take({ ...batch, edge: "rare", at: "2026-01-01T00:00:00.000Z", auditEvents: events(2) });
        await usage.take({ ...batch, edge: "busy", at: "2026-01-02T00:00:00.000Z", auditEvents: events(2_500) });
        const found = async (filter: Partial<Parameters<typeof usage.auditEvents>[0]>) =>
          (await usage.auditEvents({ limit: 10_000, ...filter })).map(({ index }) => index as number);
        expect(await found({ edge: "rare" })).toEqual([1, 0]);
        expect(await found({ edge: "rare", since: "2026-01-01T12:00:00.000Z" })).toEqual([]);
        expect(await found({ edge: "nobody" })).toEqual([]);
        const all = Array.from({ length: 2_500 }, (_, index) => 2_499 - index);
        expect(await found({ edge: "busy" })).toEqual(all);
        expect(await found({})).toEqual([...all, 1, 0]);
        expect(await found({ limit: 1_500 })).toEqual(all.slice(0, 1_500));
        expect(await found({ since: "2026-01-02T00:00:00.000Z" })).toEqual(all);
      });
    });

    test("what was used of late is told by scope, for as long as it is kept", async () => {
      await within("impact", async ({ store: { usage } }) => {
        const at = (minute: number) => new Date(Date.UTC(2026, 0, 1, 12, minute)).toISOString();
        const names = {
          tenant: "t",
          service: "s",
          operation: "create",
          outcome: "ok",
          principal: "p",
          from: at(0),
          to: at(0),
        };
        const report = (key: string, minute: number, counts: object[]) =>
          usage.take({
            edge: "edge-1",
            idempotencyKey: key,
            digest: randomBytes(32),
            records: counts.length,
            at: at(minute),
            counts: counts.map((one) => ({ ...names, ...one })) as never,
            auditEvents: [],
          });
        await report("a", 1, [{ version: 1, count: 2 }]);
        await report("b", 4, [
          { version: 1, count: 3 },
          { version: 2, count: 7 },
          { version: 2, count: 1, outcome: "access_denied" },
        ]);
        await report("c", 31, [{ version: 1, count: 10, operation: "decrypt" }]);
        const used = async (scope: object, minute: number) =>
          (await usage.usedWithin({ tenant: "t", ...scope } as never, at(minute))).toSorted(
            (one, other) => one.version - other.version,
          );
        expect(await used({}, 0)).toEqual([
          { edge: "edge-1", version: 1, count: 15 },
          { edge: "edge-1", version: 2, count: 7 },
        ]);
        expect(await used({ service: "s", version: 1 }, 5)).toEqual([{ edge: "edge-1", version: 1, count: 10 }]);
        expect(await used({ service: "other" }, 0)).toEqual([]);
        const keep = { batchesSince: "", countsSince: "", auditSince: "", edgesSince: "", auditBytes: 1_000 };
        await usage.prune({ ...keep, nowMs: Date.parse(at(6)) });
        await usage.prune({ ...keep, nowMs: Date.parse(at(31)) + 3 * 3_600_000 });
        expect(await used({}, 0)).toEqual([]);
        // More than are read at once.
        const versions = Array.from({ length: 1_200 }, (_, index) => index + 1);
        const once = versions.map((version) => ({ version, count: 1 }));
        await report("d", 35, once);
        await report("e", 45, once.slice(0, 700));
        expect((await used({}, 0)).map(({ version, count }) => [version, count])).toEqual(
          versions.map((version) => [version, version <= 700 ? 2 : 1]),
        );
      });
    });

    test("an order is remembered with its change, or not at all; old ones are forgotten, but for those to be kept", async () => {
      await within("orders", async ({ store: opened }) => {
        const done = { at: "2026-01-01T00:00:00.000Z", seqs: [1, 2] };
        const failing = opened.change(async (change) => {
          await change.insertDoneOrder("failed", done, false);
          throw new Error("undone");
        });
        await expect(failing).rejects.toThrow("undone");
        await opened.change(async (change) => {
          expect(await change.doneOrder("failed")).toBeUndefined();
          await change.insertDoneOrder("old", done, false);
          await change.insertDoneOrder("kept", { ...done, seqs: [] }, true);
          await change.insertDoneOrder("new", { ...done, at: "2026-02-01T00:00:00.000Z" }, false);
        });
        // Once: another Core that carries it out at the same time is refused by the store itself.
        await expect(opened.change((change) => change.insertDoneOrder("old", done, false))).rejects.toThrow();
        await opened.change((change) => change.forgetDoneOrders("2026-01-15T00:00:00.000Z"));
        await opened.change(async (change) => {
          expect(await change.doneOrder("old")).toBeUndefined();
          expect(await change.doneOrder("kept")).toEqual({ ...done, seqs: [] });
          expect(await change.doneOrder("new")).toMatchObject({ seqs: [1, 2] });
        });
      });
    });

    test("Cores and edges that were seen are told to whoever asks", async () => {
      await within("presence", async ({ store: { usage } }) => {
        const core = { core: "one", seenAt: "2026-01-01T00:00:00.000Z", version: "1", masterKeys: ["a", "b"], seq: 9 };
        const edge = {
          edge: "edge-1",
          core: "one",
          lastSeenAt: core.seenAt,
          leaseCalls: 5,
          recentCalls: 4,
          usageBatches: 1,
          streams: 1,
          seq: undefined,
          version: "1.0",
          certificateEndsAt: undefined,
          instances: [
            { id: "a", seenAt: core.seenAt, applied: { log: "log-a", seq: 7 }, leases: "AAAAAQ" },
            { id: "b", seenAt: core.seenAt },
          ],
        };
        await usage.seen(core, [edge]);
        await usage.seen(core, [edge]);
        const elsewhere = { ...edge, core: "two", seq: 7, instances: undefined };
        await usage.seen({ ...core, core: "two", seq: undefined }, [elsewhere]);
        expect(await usage.cores("2026-01-01")).toEqual([core, { ...core, core: "two", seq: undefined }]);
        expect(await usage.cores("2026-01-02")).toEqual([]);
        expect(await usage.edges()).toEqual([edge, elsewhere]);
        expect(await usage.callsElsewhere("one", "2025", 4)).toEqual([{ edge: "edge-1", calls: 4 }]);
        expect(await usage.callsElsewhere("one", "2025", 5)).toEqual([]);
        const many = Array.from({ length: 700 }, (_, index) => ({ ...edge, edge: `many-${index}` }));
        await usage.seen(core, many);
        await usage.seen(
          { ...core, core: "two" },
          many.map((each) => ({ ...each, core: "two" })),
        );
        const told = (await usage.edges()).map((each) => `${each.edge} ${each.core}`);
        expect(told).toHaveLength(1_402);
        expect(new Set(told).size).toBe(1_402);
      });
    });

    test("kill -9 in the middle of changes leaves keys and events consistent, with every change that was told", async () => {
      const database = await store.database("killed");
      await within("killed", ({ registry }) => registry.createService("tenant-a", "billing"));
      let changes = 0;
      for (let round = 0; round < 10; round++) {
        changes = await killed(database, round);
      }
      expect(changes).toBeGreaterThan(10);
    }, 120_000);

    describe("kill -9 after each call of the store within", () => {
      const newMasterKey = randomBytes(32);
      const openBoth = (database: StoreOptions["database"]) =>
        openRegistry({ database, masterKey: newMasterKey, formerMasterKey: masterKey });
      const prepared = async (name: string) => {
        const database = await store.database(name);
        const opened = await openRegistry({ database, masterKey });
        await prepare(opened);
        await opened.close();
        return database;
      };
      const contents = async (database: StoreOptions["database"]): Promise<unknown> => {
        const opened = await openBoth(database);
        try {
          return await contentsOf(opened);
        } finally {
          await opened.close();
        }
      };
      /** Returns whether it was killed there; else it has made the change. */
      const killedAt = async (database: StoreOptions["database"], change: string, step: number): Promise<boolean> => {
        const keys = { masterKey: newMasterKey.toString("hex"), formerMasterKey: masterKey.toString("hex") };
        const child = Bun.spawn(
          [
            process.execPath,
            join(import.meta.dir, "kill-at-step.ts"),
            JSON.stringify({ database, change, step, ...keys }),
          ],
          { stdout: "ignore", stderr: "pipe" },
        );
        expect(await new Response(child.stderr).text()).toBe("");
        const exitCode = await child.exited;
        if (child.signalCode === "SIGKILL") return true;
        expect(exitCode).toBe(0);
        return false;
      };

      test.each(Object.keys(CHANGES))(
        "%s leaves all of it or nothing",
        async (change) => {
          const database = await prepared(`steps of ${change}`.replaceAll(/\W+/g, "-").slice(0, 60));
          const before = await contents(database);
          let step = 1;
          for (; await killedAt(database, change, step); step++) expect(await contents(database)).toEqual(before);
          expect(step).toBeGreaterThan(1);
          const after = await contents(database);
          expect(after).not.toEqual(before);
          const other = await prepared(`end of ${change}`.replaceAll(/\W+/g, "-").slice(0, 60));
          const untouched = await contents(other);
          // After the commit, before anybody was told: it is there.
          expect(await killedAt(other, change, 0)).toBe(true);
          expect(await contents(other)).not.toEqual(untouched);
        },
        300_000,
      );

      test("a rotation of the master key leaves every key to be opened, and it goes on", async () => {
        const database = await prepared("steps-of-master-key");
        const before = await contents(database);
        let step = 1;
        for (; await killedAt(database, MASTER_KEY_ROTATION, step); step++) {
          expect(await contents(database)).toEqual(before);
          if (step > 20) throw new Error("it never comes to its end");
        }
        expect(step).toBeGreaterThan(3);
        // Nothing is under the former key any more.
        const alone = await openRegistry({ database, masterKey: newMasterKey });
        expect(await contentsOf(alone)).toEqual(before);
        await alone.close();
      }, 300_000);
    });

    if (store.shared) {
      test("two processes that are killed in turn, over one database, leave one log without a hole", async () => {
        const database = await store.database("killed-two");
        await within("killed-two", ({ registry }) => registry.createService("tenant-a", "billing"));
        const other = start(database);
        for (let round = 0; round < 4; round++) await killed(database, round, "others change too");
        other.child.kill("SIGKILL");
        await other.child.exited;
        expect(await killed(database, 5)).toBeGreaterThan(10);
      }, 120_000);
    }
  });

  function start(database: StoreOptions["database"]) {
    const text = typeof database === "string" ? database : JSON.stringify(database);
    const child = Bun.spawn(
      [process.execPath, join(import.meta.dir, "change-until-killed.ts"), text, masterKey.toString("hex")],
      { stdout: "pipe", stderr: "pipe" },
    );
    const output = { text: "" };
    const reading = (async () => {
      for await (const chunk of child.stdout) output.text += Buffer.from(chunk).toString("latin1");
    })();
    return { child, output, reading };
  }

  /** One process, killed at some moment of its changes. Returns how many changes there are. */
  async function killed(database: StoreOptions["database"], round: number, others?: string): Promise<number> {
    const { child, output, reading } = start(database);
    while (!/ready\n\d/.test(output.text) && child.exitCode === null) await Bun.sleep(2);
    await Bun.sleep((round * 7) % 40);
    child.kill("SIGKILL");
    await child.exited;
    await reading;
    expect(await new Response(child.stderr).text()).toBe("");
    // A last line may be cut; what is whole was told.
    const told = output.text
      .split("\n")
      .slice(0, -1)
      .filter((line) => /^\d+$/.test(line))
      .map(Number);
    const opened = await openRegistry({ database, masterKey });
    try {
      const { lastSeq } = await opened.store.position();
      expect(lastSeq).toBeGreaterThanOrEqual(Math.max(0, ...told));
      const events = (await opened.store.eventsAfter(0, 1_000_000)).filter((event) => event.seq <= lastSeq);
      expect(events.map((event) => event.seq)).toEqual(events.map((_, index) => index + 1));
      expect(events).toHaveLength(lastSeq);
      if (others !== undefined) return lastSeq;
      const { versions } = (await opened.registry.services("tenant-a"))[0]!;
      // Exactly the versions that the log made, in exactly the states that it says.
      const states = new Map<number, KeyState>([[1, "active"]]);
      for (const event of events) {
        if (event.type === "rotate") {
          for (const [version, state] of states) if (state === "active") states.set(version, "deprecated");
          states.set(event.version, "active");
        } else if (event.version !== undefined) {
          states.set(event.version, event.type === "revoke" ? event.state : "deprecated");
        }
      }
      expect(versions.map(({ version, state }) => [version, state])).toEqual([...states]);
      expect(versions.filter(({ state }) => state === "active").length).toBe(1);
      for (const { key } of (await opened.registry.openVersions("tenant-a", "billing", undefined, 100)).versions) {
        expect(key).toHaveLength(32);
      }
      return lastSeq;
    } finally {
      await opened.close();
    }
  }
}

async function refused(call: Promise<unknown>, message: string): Promise<void> {
  const failure: unknown = await call.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(String((failure as Error | undefined)?.message)).toContain(message);
}
