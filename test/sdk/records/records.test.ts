/** docs/records.md: what records promise, against a real edge. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { CryptoEdgeError } from "../../../src/sdk/client/index.ts";
import {
  createRecords,
  inspectRecord,
  type RecordsOptions,
  recordToText,
  type SealedRecord,
} from "../../../src/sdk/records/index.ts";
import { fc } from "../../support/properties.ts";
import { type StaticEdge, startStaticEdge, staticConfiguration } from "../../support/static-edge.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { type KeepingEdge, keepingEdge } from "../support/edge-that-allows-keeping.ts";

const NAME = { tenant: "tenant-a", service: "billing" };
const KEYS = ["tenant-a/billing", "tenant-b/billing"].map((name, index) => ({
  tenant: name.split("/")[0]!,
  service: "billing",
  version: 1,
  state: "active" as const,
  key: String(index + 1).repeat(64),
}));

let real: StaticEdge;
beforeAll(async () => {
  real = await startStaticEdge(staticConfiguration("", KEYS));
});
afterAll(() => real.close());

interface World {
  readonly edge: KeepingEdge;
  readonly clock: VirtualClock;
  readonly records: ReturnType<typeof createRecords>;
}

function world(options: Partial<RecordsOptions> = {}, cacheSeconds: number | undefined = 60): World {
  const edge = keepingEdge(real.client, cacheSeconds);
  const clock = new VirtualClock();
  return { edge, clock, records: createRecords(edge, { ...NAME, clock, ...options }) };
}

const keyOf = (record: Uint8Array): string => Buffer.from(inspectRecord(record).wrapped).toString("hex");
const distinct = (records: readonly Uint8Array[]): number => new Set(records.map(keyOf)).size;

describe("what was sealed", () => {
  test("opens to the same bytes, with its own context alone", async () => {
    const { records } = world();
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 300 }),
        fc.dictionary(fc.string({ minLength: 1, unit: "grapheme" }), fc.string({ unit: "grapheme" }), { maxKeys: 4 }),
        async (value, context) => {
          const sealed = await records.seal(value, context);
          expect(Buffer.from(await records.open(sealed, context)).equals(value)).toBe(true);
          await expect(records.open(sealed, { ...context, other: "row" })).rejects.toMatchObject({
            code: "decryption_failed",
          });
        },
      ),
      { numRuns: 60 },
    );
  });

  test("opens as the kind of value that it was, from bytes and from text", async () => {
    const { records } = world();
    const text = await records.seal("grün \u{1f512}", { id: "1" });
    expect(await records.openText(text, { id: "1" })).toBe("grün \u{1f512}");
    expect(await records.openText(recordToText(text), { id: "1" })).toBe("grün \u{1f512}");
    const json = await records.sealJson({ a: [1, null, "x"] });
    expect(await records.openJson<{ a: unknown[] }>(json)).toEqual({ a: [1, null, "x"] });
    const bytes = await records.seal(Uint8Array.of(0xff, 0xfe));
    await expect(records.openText(bytes)).rejects.toMatchObject({ code: "invalid_record" });
  });

  test("does not open when any of its bytes is another", async () => {
    const { records } = world();
    const sealed = await records.seal("short", { id: "1" });
    for (let index = 0; index < sealed.length; index++) {
      const altered = sealed.slice();
      altered[index]! ^= 1;
      const end = await records.open(altered, { id: "1" }).catch((error: unknown) => error);
      expect(end).toBeInstanceOf(CryptoEdgeError);
    }
  });

  test("of another tenant does not open here, even when the edge would open it", async () => {
    const { edge, records } = world();
    const other = createRecords(edge, { tenant: "tenant-b", service: "billing" });
    const stolen = await other.seal("b's", { id: "1" });
    expect(await other.openText(stolen, { id: "1" })).toBe("b's");
    await expect(records.open(stolen, { id: "1" })).rejects.toMatchObject({ code: "decryption_failed" });
    expect(await records.openMany([{ record: stolen, context: { id: "1" } }])).toMatchObject([
      { code: "decryption_failed" },
    ]);
  });

  test("is no record when it is anything else", async () => {
    const { records } = world();
    for (const nonsense of ["", "a b", new Uint8Array(500), 7 as never, undefined as never] as SealedRecord[]) {
      await expect(records.open(nonsense)).rejects.toMatchObject({ code: "invalid_record" });
    }
    for (const value of ["\ud800", 7 as never, undefined as never]) {
      await expect(records.seal(value)).rejects.toMatchObject({ code: "invalid_request" });
    }
    await expect(records.sealJson(undefined as never)).rejects.toMatchObject({ code: "invalid_request" });
    await expect(records.seal("x", { "": "empty key" })).rejects.toMatchObject({ code: "invalid_request" });
  });
});

describe("a data key that seals", () => {
  test("is reused up to so many records, bytes and seconds, and no further", async () => {
    const many = world({ reuse: { records: 3 } });
    const sealed: Uint8Array[] = [];
    for (let index = 0; index < 7; index++) sealed.push(await many.records.seal("x"));
    expect(distinct(sealed)).toBe(3);

    const large = world({ reuse: { bytes: 100 } });
    const kept = [await large.records.seal("x".repeat(60)), await large.records.seal("x".repeat(40))];
    expect(distinct(kept)).toBe(1);
    expect(distinct([...kept, await large.records.seal("x")])).toBe(2);
    expect(await large.records.seal("x".repeat(1000))).toBeInstanceOf(Uint8Array);

    const long = world({ reuse: { seconds: 10 } });
    const early = await long.records.seal("x");
    await long.clock.advance(9_999);
    expect(distinct([early, await long.records.seal("x")])).toBe(1);
    await long.clock.advance(1);
    expect(distinct([early, await long.records.seal("x")])).toBe(2);
  });

  test("is reused no longer than the edge lets it be kept", async () => {
    const { clock, records } = world({}, 5);
    const early = await records.seal("x");
    await clock.advance(5_000);
    expect(distinct([early, await records.seal("x")])).toBe(2);
  });

  test("is not kept at all where the edge says so, or says nothing", async () => {
    for (const cacheSeconds of [0, -1]) {
      const { edge, records } = world({}, cacheSeconds === -1 ? undefined : cacheSeconds);
      if (cacheSeconds === -1) edge.cacheSeconds = undefined;
      const sealed = await Promise.all(Array.from({ length: 5 }, () => records.seal("x")));
      expect(distinct(sealed)).toBe(5);
      expect(records.status()).toEqual({ keys: 0, revocations: "not_needed" });
      for (const record of sealed) expect(await records.openText(record)).toBe("x");
      expect(edge.calls.decryptKey).toBe(5);
    }
  });

  test("is asked for once, however many wait for it", async () => {
    const { edge, records } = world();
    const sealed = await Promise.all(Array.from({ length: 500 }, (_, index) => records.seal(String(index))));
    expect(distinct(sealed)).toBe(1);
    expect(edge.calls).toEqual({ createKey: 1 });
    expect(await Promise.all(sealed.map((record) => records.openText(record)))).toEqual(
      sealed.map((_, index) => `${index}`),
    );
    expect(edge.calls).toEqual({ createKey: 1, decryptKey: 1 });
  });

  test("is another after a failure to get one", async () => {
    const { edge, records } = world();
    let fails = true;
    edge.beforeAnswer = () => {
      if (fails) throw new CryptoEdgeError("lease_unavailable", "not now");
    };
    await expect(records.seal("x")).rejects.toMatchObject({ code: "lease_unavailable" });
    fails = false;
    expect(await records.openText(await records.seal("x"))).toBe("x");
  });
});

describe("a data key that opens", () => {
  test("is kept for as long as the edge says, or the application if that is less", async () => {
    for (const [cache, keptMs] of [
      [{}, 60_000],
      [{ seconds: 7 }, 7_000],
      [{ seconds: 1_000 }, 60_000],
    ] as const) {
      const { edge, clock, records } = world({ cache });
      const sealed = await records.seal("x");
      await records.open(sealed);
      await clock.advance(keptMs - 1);
      await records.open(sealed);
      expect(edge.calls.decryptKey).toBe(1);
      await clock.advance(1);
      await records.open(sealed);
      expect(edge.calls.decryptKey).toBe(2);
    }
  });

  test("is over when the machine slept, and when its clock was set back", async () => {
    for (const jump of [61_000, -5_000]) {
      const { edge, clock, records } = world();
      const sealed = await records.seal("x");
      await records.open(sealed);
      clock.jumpWall(jump);
      await records.open(sealed);
      expect(edge.calls.decryptKey).toBe(2);
    }
  });

  test("is wiped soon after its time without being asked for", async () => {
    const { clock, records } = world();
    await records.open(await records.seal("x"));
    expect(records.status().keys).toBe(2);
    await clock.advance(62_000);
    expect(records.status().keys).toBe(1);
  });

  test("makes room when there are too many, the one used longest ago first", async () => {
    const { edge, records } = world({ cache: { keys: 2 }, reuse: { records: 1 } });
    const [a, b, c] = await records.sealMany([{ value: "a" }, { value: "b" }, { value: "c" }]);
    for (const record of [a!, b!, a!, c!, a!]) await records.open(record);
    expect(edge.calls.decryptKey).toBe(3);
    await records.open(b!);
    expect(edge.calls.decryptKey).toBe(4);
  });

  test("is none where none shall be kept", async () => {
    const { edge, records } = world({ cache: { keys: 0 } });
    const sealed = await records.seal("x");
    for (let index = 0; index < 3; index++) await records.open(sealed);
    expect(edge.calls.decryptKey).toBe(3);
  });
});

test("a real edge says how long a key may be kept, alone and in lists, and is listened to", async () => {
  const records = createRecords(real.client, NAME);
  const other = createRecords(real.client, { ...NAME, reuse: { records: 1 } });
  const sealed = await records.seal("x");
  expect(records.status().keys).toBe(1);
  expect(await records.openText(sealed)).toBe("x");
  expect(records.status().keys).toBe(2);
  const many = await other.sealMany([{ value: "a" }, { value: "b" }, { value: "c" }]);
  await records.openMany(many.map((record) => ({ record })));
  expect(records.status().keys).toBe(5);
  for (let tries = 0; records.status().revocations !== "heard"; tries++) {
    if (tries > 3_000) throw new Error("revocations are not heard");
    await Bun.sleep(10);
  }
  records.close();
  other.close();
  expect(records.status()).toEqual({ keys: 0, revocations: "not_needed" });
});

describe("a revocation", () => {
  test("ends every kept key at once, of this tenant and service alone", async () => {
    const { edge, records } = world();
    const sealed = await records.seal("x");
    await records.open(sealed);
    expect([edge.listeners.size, records.status()]).toEqual([1, { keys: 2, revocations: "heard" }]);
    const [listener] = edge.listeners;
    listener!.changed({ tenant: "tenant-b", service: "billing" });
    listener!.changed({ tenant: "tenant-a", service: "other" });
    expect(records.status().keys).toBe(2);
    for (const scope of [{ ...NAME }, { tenant: "tenant-a", service: undefined }, undefined]) {
      await records.open(sealed);
      await records.seal("y");
      expect(records.status().keys).toBe(2);
      listener!.changed(scope);
      expect(records.status().keys).toBe(0);
    }
    records.close();
    expect(edge.listeners.size).toBe(0);
  });

  test("that comes while a key is on its way keeps it from being kept", async () => {
    const { edge, records } = world();
    const sealed = await records.seal("x");
    edge.beforeAnswer = () => [...edge.listeners][0]!.changed(undefined);
    expect(await records.openText(sealed)).toBe("x");
    expect(await records.openMany([{ record: sealed }])).toHaveLength(1);
    expect(distinct([await records.seal("y"), await records.seal("y")])).toBe(2);
    expect(records.status().keys).toBe(0);
  });

  test("is not listened for where the application does not want it", async () => {
    const { edge, records } = world({ hearRevocations: false });
    await records.open(await records.seal("x"));
    expect(edge.listeners.size).toBe(0);
  });
});

describe("lists", () => {
  test("are sealed under a data key for each record, or under reused ones", async () => {
    const { edge, records } = world();
    const items = Array.from({ length: 10_050 }, (_, index) => ({ value: `v${index}`, context: { id: `${index}` } }));
    const own = await records.sealMany(items);
    expect(distinct(own)).toBe(items.length);
    const reused = await records.sealMany(items.slice(0, 50), { keys: "reused" });
    expect(distinct(reused)).toBe(1);
    const opened = await records.openMany(
      [...own, ...reused].map((record, index) => ({ record, context: { id: `${index % items.length}` } })),
    );
    expect(opened.map((value) => Buffer.from(value as Uint8Array).toString())).toEqual(
      [...items, ...items.slice(0, 50)].map(({ value }) => value),
    );
    expect(edge.calls.decryptKeys).toBe(2);
  });

  test("open to a value or its own error each, in their order", async () => {
    const { records } = world();
    const [good, bad] = await records.sealMany([{ value: "good" }, { value: "bad" }]);
    bad![bad!.length - 1]! ^= 1;
    const results = await records.openMany([
      { record: bad! },
      { record: good! },
      { record: new Uint8Array(7) },
      { record: good!, context: { other: "row" } },
    ]);
    expect(
      results.map((result) => (result instanceof CryptoEdgeError ? result.code : Buffer.from(result).toString())),
    ).toEqual(["decryption_failed", "good", "invalid_record", "decryption_failed"]);
    expect(await records.openMany([])).toEqual([]);
    expect(await records.sealMany([])).toEqual([]);
  });
});
