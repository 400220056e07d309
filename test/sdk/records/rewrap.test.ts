/** docs/records.md, "After a rotation": a table's records under the new version, and blind indexes that stay. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createRecords, inspectRecord, type RewrapRow } from "../../../src/sdk/records/index.ts";
import { type StaticEdge, startStaticEdge, staticConfiguration } from "../../support/static-edge.ts";
import { keepingEdge } from "../support/edge-that-allows-keeping.ts";

const NAME = { tenant: "tenant-a", service: "billing" };
const version = (number: number, state: "active" | "deprecated") => ({
  ...NAME,
  version: number,
  state,
  key: String(number).repeat(64),
});

let before: StaticEdge;
let after: StaticEdge;
beforeAll(async () => {
  before = await startStaticEdge(staticConfiguration("", [version(1, "active")]));
  after = await startStaticEdge(staticConfiguration("", [version(1, "deprecated"), version(2, "active")]));
});
afterAll(() => Promise.all([before.close(), after.close()]));

const context = (id: number) => ({ table: "t", id: String(id) });

async function table(rows: number): Promise<RewrapRow<number>[]> {
  const records = createRecords(keepingEdge(before.client), { ...NAME, reuse: { records: 7 } });
  const sealed = await records.sealMany(
    Array.from({ length: rows }, (_, id) => ({ value: `value ${id}`, context: context(id) })),
    { keys: "reused" },
  );
  return sealed.map((record, id) => ({ id, record }));
}

test("a rewrap puts every record under the active version, changes no value, and keeps shared keys shared", async () => {
  const rows = await table(50);
  const edge = keepingEdge(after.client);
  const records = createRecords(edge, NAME);
  const stored = new Map(rows.map(({ id, record }) => [id, record]));
  const progress: number[] = [];
  for await (const { changed, unchanged, failed, last, done } of records.rewrapAll(rows, { batch: 20 })) {
    expect([unchanged, failed]).toEqual([0, []]);
    for (const { id, record, was } of changed) {
      expect(stored.get(id)).toEqual(was);
      stored.set(id, record);
    }
    expect(last).toBe(done - 1);
    progress.push(done);
  }
  expect(progress).toEqual([20, 40, 50]);
  const keys = new Set(
    [...stored.values()].map((record) => Buffer.from(inspectRecord(record).wrapped).toString("hex")),
  );
  expect(keys.size).toBe(8);
  for (const [id, record] of stored) {
    expect(inspectRecord(record).version).toBe(2);
    expect(await records.openText(record, context(id))).toBe(`value ${id}`);
    expect(record.subarray(-30)).toEqual(rows[id]!.record.subarray(-30));
  }
});

test("a rewrap that was interrupted goes on where it ended, and leaves alone what is done", async () => {
  const rows = await table(30);
  const records = createRecords(keepingEdge(after.client), NAME);
  const stored = rows.map((row) => ({ ...row }));
  const run = async (from: number, batches: number): Promise<{ last: number; changed: number }> => {
    let last = from - 1;
    let changed = 0;
    for await (const batch of records.rewrapAll(stored.slice(from), { batch: 8 })) {
      for (const { id, record } of batch.changed) stored[id] = { id, record };
      changed += batch.changed.length;
      last = batch.last;
      if (--batches === 0) break;
    }
    return { last, changed };
  };
  const first = await run(0, 2);
  expect(first).toEqual({ last: 15, changed: 16 });
  expect(await run(first.last + 1, 99)).toEqual({ last: 29, changed: 14 });
  expect(await run(0, 99)).toEqual({ last: 29, changed: 0 });
});

test("a rewrap tells what it could not do, row by row", async () => {
  const rows = await table(3);
  const altered = rows[1]!.record.slice();
  altered[60]! ^= 1;
  const records = createRecords(keepingEdge(after.client), NAME);
  const mixed = [rows[0]!, { id: 1, record: altered }, { id: 2, record: new Uint8Array(5) }];
  for await (const { changed, failed } of records.rewrapAll(mixed)) {
    expect(changed.map(({ id }) => id)).toEqual([0]);
    expect(failed.map(({ id, error }) => [id, error.code]).sort()).toEqual([
      [1, "decryption_failed"],
      [2, "invalid_record"],
    ]);
  }
});

test("a blind index finds equal values, says nothing of others, and outlives a rotation", async () => {
  const old = createRecords(keepingEdge(before.client), NAME);
  const indexKey = await old.createIndexKey();
  const email = old.blindIndex(indexKey, { field: "customers.email" });
  const token = await email.token("a@example.org");
  expect(token).toHaveLength(16);
  expect(await email.token("a@example.org")).toEqual(token);
  expect(await email.token("A@example.org")).not.toEqual(token);
  expect(await old.blindIndex(indexKey, { field: "customers.name" }).token("a@example.org")).not.toEqual(token);
  const edge = keepingEdge(after.client);
  const records = createRecords(edge, NAME);
  const { wrapped } = await after.client.rewrapKey({ wrapped: indexKey });
  const renewed = records.blindIndex(wrapped, { field: "customers.email" });
  expect(await renewed.token("a@example.org")).toEqual(token);
  expect(await renewed.token("a@example.org")).toEqual(token);
  expect(edge.calls.decryptKey).toBe(1);
  expect(() => records.blindIndex(wrapped, { field: "f", length: 7 })).toThrow("8 to 32");
  await expect(renewed.token("\ud800")).rejects.toMatchObject({ code: "invalid_request" });
});
