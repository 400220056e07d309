import { describe, expect, spyOn, test } from "bun:test";
import { OperationError } from "../../../src/base/errors.ts";
import { listResults } from "../../../src/edge/operations/list-results.ts";
import type {
  CreatedKey,
  EncryptedValue,
  EncryptValueRequest,
  MaybePromise,
  Opened,
  OpenRequest,
  Operations,
} from "../../../src/edge/operations/operations.ts";
import { checkReservedNames } from "../../../src/edge/operations/reserved-names.ts";
import { runEach } from "../../../src/edge/operations/slices.ts";
import { ITEMS_OF_SLICE, slowLooks } from "../../support/slow-looks.ts";
import { CALLER, createWorld, isWiped, NAME } from "./world.ts";

const VALUE = new TextEncoder().encode("chosen by the caller");

describe("with the lease to be fetched first", () => {
  test("every operation gives what it gives at once with the lease held", async () => {
    const { operations, lease, recorded } = createWorld();
    const created = operations.createKey(CALLER, { ...NAME, plaintext: true }) as CreatedKey;
    const encrypted = operations.encryptValue(CALLER, { ...NAME, value: VALUE }) as EncryptedValue;
    lease.later = true;
    lease.active = 2;
    recorded.length = 0;
    expect(await operations.createKey(CALLER, { ...NAME, length: 16 })).toMatchObject({
      version: 2,
      plaintext: undefined,
    });
    expect(await operations.createKeys(CALLER, { ...NAME, take() {} }, 2)).toEqual({ version: 2 });
    expect(await operations.encryptValue(CALLER, { ...NAME, value: VALUE })).toMatchObject({ version: 2 });
    expect(await operations.decryptKey(CALLER, created)).toMatchObject({ version: 1, plaintext: created.plaintext });
    expect(await operations.decryptValue(CALLER, encrypted)).toMatchObject({ version: 1, plaintext: VALUE });
    expect(await operations.describeKey(CALLER, NAME)).toMatchObject({ version: 2, versions: [{ version: 1 }] });
    const rewrapped = await operations.rewrap(CALLER, encrypted);
    expect(rewrapped).toMatchObject({ ...NAME, version: 2, wasActive: false });
    expect(await operations.decryptValue(CALLER, rewrapped)).toMatchObject({ version: 2, plaintext: VALUE });
    expect(recorded.filter((line) => line.startsWith("took"))).toEqual(
      ["create", "create_batch", "encrypt", "decrypt", "decrypt", "describe", "rewrap", "decrypt"].map(
        (name) => `took ${name} ok`,
      ),
    );
  });

  test("a failure is recorded with its reason and the version of the blob, and given on", async () => {
    const { operations, lease, recorded } = createWorld();
    lease.later = true;
    lease.fail = new OperationError("lease_unavailable", "The source is down.");
    await expect(operations.createKey(CALLER, NAME) as Promise<unknown>).rejects.toBe(lease.fail);
    expect(recorded).toEqual(["create lease_unavailable v0 x1: The source is down.", "took create lease_unavailable"]);
  });
});

test("that an operation waits is told at once, and of what ends at once nothing is", async () => {
  const { operations, lease, waited } = createWorld();
  const { wrapped } = operations.createKey(CALLER, NAME) as CreatedKey;
  lease.later = true;
  expect(() => operations.decryptKey(CALLER, { wrapped: new Uint8Array(3) })).toThrow();
  expect(waited).toEqual([]);
  const opened = operations.decryptKey(CALLER, { wrapped });
  const created = operations.createKeys(CALLER, { ...NAME, take() {} }, 2);
  expect(waited).toEqual(["decrypt", "create_batch"]);
  await Promise.all([opened, created]);
  expect(waited).toHaveLength(2);
});

test("a batch takes its turns by what it works on: bytes, and 256 for each name of a context", async () => {
  const { operations } = createWorld();
  const context = Object.fromEntries(Array.from({ length: 15 }, (_, index) => [`name-${index}`, "x"]));
  // Each counts 4,096 bytes: two of them are a look at the clock.
  const item = { ...NAME, wrapped: new Uint8Array(256), value: new Uint8Array(256), context };
  const without = { ...item, context: undefined };
  const batches = {
    decryptKeys: (items: (typeof item | typeof without)[]) => decryptKeys(operations, items),
    encryptValues: (items: (typeof item | typeof without)[]) => encryptValues(operations, items),
  };
  using _ = slowLooks();
  for (const run of Object.values(batches)) {
    expect(run(Array.from({ length: 6 }, () => item))).toBeArrayOfSize(6);
    expect(run(Array.from({ length: 7 }, () => without))).toBeArrayOfSize(7);
    const slices = run(Array.from({ length: 7 }, () => item));
    expect(slices).toBeInstanceOf(Promise);
    expect(await slices).toBeArrayOfSize(7);
  }
});

describe("rewrap", () => {
  test("tells whether the blob was under the active version already", () => {
    const { operations, lease } = createWorld();
    const { wrapped } = operations.createKey(CALLER, NAME) as CreatedKey;
    expect(operations.rewrap(CALLER, { wrapped })).toMatchObject({ version: 1, wasActive: true });
    lease.active = 2;
    expect(operations.rewrap(CALLER, { wrapped })).toMatchObject({ version: 2, wasActive: false });
  });

  for (const later of [false, true]) {
    test(`wipes the data key that it opened, whether it ends well or fails, ${later ? "later" : "at once"}`, async () => {
      const { operations, lease, plaintexts } = createWorld();
      const { wrapped } = operations.createKey(CALLER, NAME) as CreatedKey;
      lease.later = later;
      const rewrap = async () => operations.rewrap(CALLER, { wrapped });
      await rewrap();
      lease.fail = new OperationError("lease_unavailable", "The source is down.");
      await expect(rewrap()).rejects.toBe(lease.fail);
      expect(plaintexts).toHaveLength(2);
      for (const plaintext of plaintexts) expect(isWiped(plaintext)).toBe(true);
    });
  }
});

describe("what is recorded", () => {
  test("of a call is how long it took, by the recorder's clock; of a batch the whole, not its items", () => {
    const { operations, tookMs } = createWorld();
    const { wrapped } = operations.createKey(CALLER, NAME) as CreatedKey;
    decryptKeys(operations, [{ wrapped }, { wrapped }]);
    encryptValues(operations, [{ ...NAME, value: VALUE }]);
    expect(() => operations.decryptKey(CALLER, { wrapped: new Uint8Array(3) })).toThrow();
    expect(tookMs).toEqual([7, 7, 7, 7]);
  });

  test("of a defect is that it was one", () => {
    const { operations, lease, recorded } = createWorld();
    lease.fail = new TypeError("a defect");
    expect(() => operations.createKey(CALLER, NAME)).toThrow("a defect");
    expect(() => encryptValues(operations, [{ ...NAME, value: VALUE }])).toThrow("a defect");
    expect(recorded.filter((line) => line.startsWith("took"))).toEqual([
      "took create internal_error",
      "took encrypt_batch internal_error",
    ]);
  });
});

test("a data key has the length asked for, 32 bytes where none is, and no plaintext unless it is asked for", () => {
  const { operations } = createWorld();
  for (const length of [16, 32, 64] as const) {
    expect((operations.createKey(CALLER, { ...NAME, length, plaintext: true }) as CreatedKey).plaintext).toHaveLength(
      length,
    );
  }
  expect((operations.createKey(CALLER, { ...NAME, plaintext: true }) as CreatedKey).plaintext).toHaveLength(32);
  for (const plaintext of [undefined, false]) {
    expect((operations.createKey(CALLER, { ...NAME, plaintext }) as CreatedKey).plaintext).toBeUndefined();
  }
});

test("the bounds themselves are inside: 1 and 10,000 items, 1 and 65,536 bytes", async () => {
  const { operations } = createWorld();
  for (const count of [1, 10_000]) {
    let made = 0;
    await operations.createKeys(CALLER, { ...NAME, take: () => void made++ }, count);
    expect(made).toBe(count);
  }
  for (const length of [1, 65_536]) {
    expect(operations.encryptValue(CALLER, { ...NAME, value: new Uint8Array(length) })).toMatchObject({ version: 1 });
  }
});

test("plaintexts are cached nowhere unless it is said for how long; services are those that the policy names", () => {
  const { operations } = createWorld();
  expect(operations.cacheSeconds(CALLER, NAME)).toBe(0);
  expect(operations.namedServices(CALLER, "tenant-a")).toEqual(["billing"]);
  expect(createWorld({ cacheSeconds: () => 9 }).operations.cacheSeconds(CALLER, NAME)).toBe(9);
});

test("every reserved name is looked for, not the first alone, up to its colon", () => {
  expect(() => checkReservedNames({ plain: "x", "app:y": "x", "kmip:object": "x" }, "native")).toThrow(
    'begins with "kmip:", which only the front door kmip may give',
  );
  expect(() => checkReservedNames({ kmip: "x", "x-kmip:": "x", "toString:": "x" }, "native")).not.toThrow();
  expect(() => checkReservedNames({ "kmip:a": "x", "kes:b": "x" }, "kmip")).toThrow("kes");
});

test("a slice ends for the time that it takes, and is looked at after each sixteen items", async () => {
  let nowMs = 0;
  let lookMs = 0;
  using _ = spyOn(performance, "now").mockImplementation(() => (nowMs += lookMs));
  const sliceOf = async (itemMs: number): Promise<number> => {
    let ran = 0;
    const run = (item: number): number => {
      ran++;
      nowMs += itemMs;
      return item;
    };
    const items = Array.from({ length: 100 }, (_, index) => index);
    const results = resultsOf(
      items,
      () => 0,
      run,
      () => {},
    );
    const inSlice = ran;
    expect(await results).toEqual(items);
    return inSlice;
  };
  expect(await sliceOf(0.1)).toBe(16);
  // A quarter of a millisecond, when it is over.
  expect(await sliceOf(1 / 128)).toBe(32);
  expect(await sliceOf(0)).toBe(100);
  // A slice goes on by sixteen at least, however slow the machine is.
  lookMs = 1;
  expect(await sliceOf(0)).toBe(16);
});

describe("a run over many items", () => {
  const run = (item: number) => item * 2;
  const ignore = (): void => {};

  test("ends at once up to a slice, and takes another turn beyond; bytes count as items", () => {
    using _ = slowLooks();
    const items = (count: number) => Array.from({ length: count }, (_, index) => index);
    expect(resultsOf(items(ITEMS_OF_SLICE), () => 0, run, ignore)).toHaveLength(ITEMS_OF_SLICE);
    expect(resultsOf(items(ITEMS_OF_SLICE + 1), () => 0, run, ignore)).toBeInstanceOf(Promise);
    // Each stands for sixteen: one look.
    expect(resultsOf(items(3), () => 8_192, run, ignore)).toEqual([0, 2, 4]);
    expect(resultsOf(items(4), () => 8_192, run, ignore)).toBeInstanceOf(Promise);
  });

  test("keeps the order when some items end later, over several slices", async () => {
    const items = Array.from({ length: 2 * ITEMS_OF_SLICE + 1 }, (_, index) => index);
    const results = await resultsOf(
      items,
      () => 0,
      (item) => (item % 3 === 0 ? Promise.resolve(run(item)) : run(item)),
      ignore,
    );
    expect(results).toEqual(items.map(run));
  });

  test("waits for the only one that ends later, wherever it is in its slice", async () => {
    using _ = slowLooks();
    const items = Array.from({ length: 2 * ITEMS_OF_SLICE }, (_, index) => index);
    for (const late of [0, 1, ITEMS_OF_SLICE - 1, ITEMS_OF_SLICE, 2 * ITEMS_OF_SLICE - 1]) {
      const results = await resultsOf(
        items,
        () => 0,
        (item) => (item === late ? Promise.resolve(run(item)) : run(item)),
        ignore,
      );
      expect(results).toEqual(items.map(run));
    }
  });

  test("gives an item its own error, at once or later", async () => {
    const failure = new OperationError("key_not_found", "There is none.");
    const results = await resultsOf(
      [0, 1, 2],
      () => 0,
      (item) => {
        if (item === 0) return failure;
        return item === 1 ? Promise.resolve(failure) : run(item);
      },
      ignore,
    );
    expect(results).toEqual([failure, failure, 4]);
  });

  test("that a defect ends discards once every result that was not taken, those that come later too", async () => {
    for (const defect of ["at once", "later"] as const) {
      const discarded: number[] = [];
      const ends = async () =>
        resultsOf(
          [1, 2, 3, 4],
          () => 0,
          (item): MaybePromise<number | OperationError> => {
            if (item === 1) return run(item);
            if (item === 2) return Promise.resolve(run(item));
            if (item === 3) return Promise.resolve(new OperationError("key_not_found", "There is none."));
            if (defect === "at once") throw new TypeError("a defect");
            return Promise.reject(new TypeError("a defect"));
          },
          (result) => void discarded.push(result),
        );
      await expect(ends()).rejects.toThrow("a defect");
      await Promise.resolve();
      expect(discarded).toEqual([4]);
    }
  });

  test("discards what its taker fails at and all that comes after, and gives nothing more", async () => {
    for (const isLater of [false, true]) {
      const discarded: number[] = [];
      const taken: unknown[] = [];
      const take = (result: unknown): void => {
        if (taken.push(result) === 2) throw new TypeError("a defect");
      };
      const ends = async () =>
        runEach(
          [1, 2, 3, 4],
          () => 0,
          (item) => (isLater && item < 3 ? Promise.resolve(run(item)) : run(item)),
          take,
          (result) => void discarded.push(result),
        );
      await expect(ends()).rejects.toThrow("a defect");
      expect(taken).toEqual([2, 4]);
      // What had not been run yet has given nothing.
      expect(discarded).toEqual(isLater ? [4, 6, 8] : [4]);
    }
  });

  test("gives each result as it comes, not when all of them are there", async () => {
    const taken: number[] = [];
    let atLast = 0;
    const run = (item: number): number => {
      atLast = taken.length;
      return item;
    };
    runEach(
      [1, 2, 3],
      () => 0,
      run,
      (result) => void taken.push(result as number),
      ignore,
    );
    expect(atLast).toBe(2);
  });
});

/** As a list. */
function resultsOf<Item, Result>(
  items: readonly Item[],
  bytesOf: (item: Item) => number,
  run: (item: Item) => MaybePromise<Result | OperationError>,
  discard: (result: Result) => void,
): MaybePromise<(Result | OperationError)[]> {
  const results: (Result | OperationError)[] = [];
  const ran = runEach(items, bytesOf, run, (result) => void results.push(result), discard);
  return ran instanceof Promise ? ran.then(() => results) : results;
}

const decryptKeys = (operations: Operations, requests: OpenRequest[]) =>
  listResults<Opened>((take) => operations.decryptKeys(CALLER, requests, take));
const encryptValues = (operations: Operations, requests: EncryptValueRequest[]) =>
  listResults<EncryptedValue>((take) => operations.encryptValues(CALLER, requests, take));
