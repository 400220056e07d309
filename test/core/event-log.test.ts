/** What a Core believes of its store's log: never less than it has told, and never two events of one number. */
import { expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { EventLog, type LostEvents } from "../../src/core/event-log.ts";
import type { LoggedEvent } from "../../src/core/protocol/events.ts";
import type { Store } from "../../src/core/store/store.ts";
import { openRegistry } from "./support/registry.ts";

async function open(change: (store: Store) => Store = (store) => store) {
  const { store, registry, close } = await openRegistry({ database: ":memory:", masterKey: randomBytes(32) });
  await registry.createService("tenant-a", "billing");
  const told: LoggedEvent[] = [];
  const lost: LostEvents[] = [];
  let histories = 0;
  const log = await EventLog.open(change(store), 1_000, {
    event: (event) => void told.push(event),
    newHistory: () => void histories++,
    lostEvents: (one) => void lost.push(one),
  });
  return { store, registry, log, told, lost, histories: () => histories, close };
}

test("an answer of the store from before a commit of this Core is no history that goes back", async () => {
  const answered = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  let holding = false;
  const opened = await open(
    (store) =>
      new Proxy(store, {
        get(target, name) {
          if (name !== "position" || !holding) {
            const value = Reflect.get(target, name);
            return typeof value === "function" ? value.bind(target) : value;
          }
          return async (seq?: number) => {
            const found = await target.position(seq);
            answered.resolve();
            await goOn.promise;
            return found;
          };
        },
      }),
  );
  holding = true;
  const reading = opened.log.refresh();
  await answered.promise;
  const event = await opened.registry.rotate("tenant-a", "billing");
  await opened.log.committed([event]);
  goOn.resolve();
  await reading;
  expect(opened.told).toEqual([event]);
  expect([opened.histories(), opened.lost.length]).toEqual([0, 0]);
  await opened.close();
});

test("events that the store has lost begin a new log, and no version's number is given twice", async () => {
  const { log, store, registry, told, lost, histories, close } = await open();
  const before = log.log;
  for (let index = 0; index < 3; index++) await log.committed([await registry.rotate("tenant-a", "billing")]);
  // As a standby takes over that had not got the last two.
  await store.change(async (change) => {
    const { sql } = change as unknown as { sql: { run(text: string): Promise<void> } };
    await sql.run("DELETE FROM events WHERE seq > 1");
    await sql.run("UPDATE event_log SET last_seq = 1");
    await sql.run("DELETE FROM service_keys WHERE version > 2");
    await sql.run("UPDATE service_keys SET state = 'active' WHERE version = 2");
  });
  await log.refresh();
  expect(lost).toEqual([{ told: 3, found: 1 }]);
  expect(histories()).toBe(1);
  expect(log.log).not.toBe(before);
  expect((await store.position()).log).toBe(log.log);
  // 3 and 4 were granted.
  const next = await registry.rotate("tenant-a", "billing");
  expect((next as { version: number }).version).toBeGreaterThan(4);
  await log.committed([next]);
  expect(told.at(-1)).toEqual(next);
  await close();
});

test("another event under a number that was told is a lost one too, though the log is as long again", async () => {
  for (const found of ["by asking", "by a commit of its own"]) {
    const { log, store, registry, lost, close } = await open();
    const before = log.log;
    await log.committed([await registry.rotate("tenant-a", "billing")]);
    await store.change(async (change) => {
      const { sql } = change as unknown as { sql: { run(text: string): Promise<void> } };
      await sql.run("DELETE FROM events");
      await sql.run("UPDATE event_log SET last_seq = 0");
    });
    const other = await registry.revoke({ tenant: "tenant-a" }, "compromised", "test");
    if (found === "by asking") await log.refresh();
    else await log.committed(other);
    expect(lost).toEqual([{ told: 1, found: 1 }]);
    expect(log.log).not.toBe(before);
    await close();
  }
});
