import { describe, expect, test } from "bun:test";
import { OperationError } from "../../../src/base/errors.ts";
import type { LeaseCache, LeasedVersion } from "../../../src/edge/cache/lease-cache.ts";
import { listResults } from "../../../src/edge/operations/list-results.ts";
import type {
  Caller,
  CreatedKey,
  CreateKeyRequest,
  EncryptedValue,
  Opened,
  OpenRequest,
  Operations,
  Rewrapped,
  TakeKey,
} from "../../../src/edge/operations/operations.ts";
import { createOperations } from "../../../src/edge/operations/pipeline.ts";
import { nodeCipher } from "../../support/ciphers.ts";
import { ITEMS_OF_SLICE, slowLooks } from "../../support/slow-looks.ts";

const CALLER: Caller = { principal: { kind: "listener", name: "local" }, door: "native", requestId: undefined };
const KEY: CreateKeyRequest = { tenant: "tenant-a", service: "billing", plaintext: true };

const ignore: TakeKey = () => {};

/** The lease as the cache would hold it: it can end, and the active version can move on, between two turns. */
function leaseThatChanges() {
  const dataKeys: Uint8Array[] = [];
  const asked: (number | "active")[] = [];
  let revoked = false;
  const version = (number: number): LeasedVersion => {
    const identity = { tenant: "tenant-a", service: "billing", version: number };
    const serviceKey = new Uint8Array(32).fill(number);
    const session = nodeCipher().begin(identity, { use: (reader) => reader(serviceKey) });
    const createKey = session.createKey.bind(session);
    const createKeyTo = session.createKeyTo.bind(session);
    return {
      ...identity,
      state: "active",
      session: Object.assign(session, {
        createKey(...[length, context, plaintext]: Parameters<typeof createKey>) {
          const wrapped = createKey(length, context, plaintext);
          if (plaintext !== undefined) dataKeys.push(plaintext);
          return wrapped;
        },
        createKeyTo: (...[length, context, isTold, take]: Parameters<typeof createKeyTo>) =>
          createKeyTo(length, context, isTold, (blob, dataKey) => {
            if (dataKey !== undefined) dataKeys.push(dataKey);
            take(blob, dataKey);
          }),
      }),
    };
  };
  const leases: LeaseCache = {
    active() {
      asked.push("active");
      return version(1);
    },
    version(_tenant, _service, number) {
      asked.push(number);
      if (revoked) throw new OperationError("key_revoked", "It was revoked.");
      return version(number);
    },
    versions: () => [{ version: 1, state: "active" }],
    close() {},
  };
  const revoke = (): void => {
    revoked = true;
  };
  return { leases, dataKeys, asked, revoke };
}

function operationsOn(leases: LeaseCache) {
  const authorized: number[] = [];
  const recorded: string[] = [];
  const operations = createOperations({
    access: {
      authorize: (_principal, _operation, _tenant, _service, count = 1) => void authorized.push(count),
      authorizeAny: () => void authorized.push(0),
      namedServices: () => [],
    },
    leases,
    recorder: {
      now: () => 0,
      record: ({ operation }, _caller, { tenant }, version, count, outcome) =>
        void recorded.push(`${operation} ${tenant} ${outcome} v${version} x${count}`),
      took: ({ name }, { door }, outcome) => void recorded.push(`took ${door} ${name} ${outcome}`),
    },
  });
  return { operations, authorized, recorded };
}

describe("a batch of more keys than one turn makes", () => {
  test("is judged and counted once, and has one version", async () => {
    using _ = slowLooks();
    const lease = leaseThatChanges();
    const { operations, authorized, recorded } = operationsOn(lease.leases);
    const versions: number[] = [];
    const take: TakeKey = (_wrapped, _plaintext, version) => void versions.push(version);
    expect(await operations.createKeys(CALLER, { ...KEY, take }, 2_600)).toEqual({ version: 1 });
    expect(versions).toEqual(Array<number>(2_600).fill(1));
    expect(authorized).toEqual([2_600]);
    expect(recorded).toEqual(["create tenant-a ok v1 x2600", "took native create_batch ok"]);
    // The lease is looked up anew at each turn, by its version.
    expect(lease.asked).toEqual(["active", ...Array<number>(Math.floor(2_600 / ITEMS_OF_SLICE)).fill(1)]);
  });

  test("gives each key as it is made, its plaintext where it is asked for, and wipes that after", async () => {
    const lease = leaseThatChanges();
    const { operations } = operationsOn(lease.leases);
    const made: { wrapped: Uint8Array; plaintext: Uint8Array | undefined }[] = [];
    const take: TakeKey = (wrapped, plaintext) =>
      void made.push({ wrapped: wrapped.slice(), plaintext: plaintext?.slice() });
    await operations.createKeys(CALLER, { ...KEY, length: 16, take }, 3);
    await operations.createKeys(CALLER, { ...KEY, plaintext: undefined, take }, 2);
    expect(made.map(({ plaintext }) => plaintext?.length)).toEqual([16, 16, 16, undefined, undefined]);
    for (const { wrapped, plaintext } of made.slice(0, 3)) {
      expect(operations.decryptKey(CALLER, { wrapped })).toMatchObject({ plaintext, version: 1 });
    }
    expect((operations.decryptKey(CALLER, made[4]!) as Opened).plaintext).toHaveLength(32);
    expect(lease.dataKeys).toHaveLength(3);
    for (const dataKey of lease.dataKeys) expect(dataKey.every((byte) => byte === 0)).toBe(true);
  });

  test("ends when the version is revoked between two turns, and the keys made are wiped", async () => {
    using _ = slowLooks();
    const lease = leaseThatChanges();
    const { operations, recorded } = operationsOn(lease.leases);
    const batch = operations.createKeys(CALLER, { ...KEY, take: ignore }, 2_500);
    lease.revoke();
    expect(batch).toBeInstanceOf(Promise);
    await expect(batch as Promise<unknown>).rejects.toMatchObject({ code: "key_revoked" });
    expect(recorded).toEqual(["create tenant-a key_revoked v0 x2500", "took native create_batch key_revoked"]);
    expect(lease.dataKeys).toHaveLength(ITEMS_OF_SLICE);
    for (const dataKey of lease.dataKeys) expect(dataKey.every((byte) => byte === 0)).toBe(true);
  });

  test("keys that a slice makes are made at once, without a promise; one more, with another turn", async () => {
    const made = (count: number) => {
      using _ = slowLooks();
      return operationsOn(leaseThatChanges().leases).operations.createKeys(CALLER, { ...KEY, take: ignore }, count);
    };
    expect(made(ITEMS_OF_SLICE)).toEqual({ version: 1 });
    const more = made(ITEMS_OF_SLICE + 1);
    expect(more).toBeInstanceOf(Promise);
    expect(await more).toEqual({ version: 1 });
  });

  test("wipes the keys that were made when the next can't be", async () => {
    const lease = leaseThatChanges();
    let left = 0;
    const leases: LeaseCache = { ...lease.leases, active: () => failing(lease.leases.active("", "")) };
    const failing = (leased: LeasedVersion | Promise<LeasedVersion>): LeasedVersion => {
      const { session, ...rest } = leased as LeasedVersion;
      const createKeyTo: typeof session.createKeyTo = (...given) => {
        if (left-- === 0) throw new TypeError("a defect");
        session.createKeyTo(...given);
      };
      return { ...rest, session: Object.assign(Object.create(session), { createKeyTo }) };
    };
    left = 3;
    expect(() => operationsOn(leases).operations.createKeys(CALLER, { ...KEY, take: ignore }, 10)).toThrow("a defect");
    expect(lease.dataKeys).toHaveLength(3);
    for (const dataKey of lease.dataKeys) expect(dataKey.every((byte) => byte === 0)).toBe(true);
  });
});

describe("a batch whose items are judged each by itself", () => {
  test("gives every item its own result or error, in the order asked, and records each", () => {
    const { operations, authorized, recorded } = operationsOn(leaseThatChanges().leases);
    const { wrapped, plaintext } = operations.createKey(CALLER, KEY) as CreatedKey;
    const altered = wrapped.slice();
    altered[altered.length - 1]! ^= 1;
    recorded.length = authorized.length = 0;
    const results = decryptKeys(operations, [{ wrapped: altered }, { wrapped }, { wrapped: new Uint8Array(3) }]);
    expect(results).toMatchObject([{ code: "decryption_failed" }, { plaintext }, { code: "invalid_blob" }]);
    expect(authorized).toEqual([1, 1]);
    expect(recorded).toEqual([
      "decrypt tenant-a decryption_failed v1 x1",
      "decrypt tenant-a ok v1 x1",
      "decrypt  invalid_blob v0 x1",
      "took native decrypt_batch ok",
    ]);
  });

  test("yields to the event loop, by items and by bytes", async () => {
    using _ = slowLooks();
    const { operations } = operationsOn(leaseThatChanges().leases);
    const { wrapped } = operations.createKey(CALLER, KEY) as CreatedKey;
    const few = Array.from({ length: 16 }, () => ({ wrapped }));
    expect(rewrapMany(operations, few)).toBeArrayOfSize(16);
    const many = Array.from({ length: 2_500 }, () => ({ wrapped }));
    let turns = 0;
    let over = false;
    const count = (): void => {
      turns++;
      if (!over) setImmediate(count);
    };
    setImmediate(count);
    expect(await rewrapMany(operations, many)).toBeArrayOfSize(2_500);
    over = true;
    expect(turns).toBeGreaterThanOrEqual(2);
    const large = Array.from({ length: 20 }, () => ({ wrapped: new Uint8Array(65_536) }));
    const results = decryptKeys(operations, large);
    expect(results).toBeInstanceOf(Promise);
    expect(await results).toBeArrayOfSize(20);
  });

  test("ends by a defect of one item, as a defect, and wipes what the others gave", async () => {
    const lease = leaseThatChanges();
    const opened: Uint8Array[] = [];
    let defect = false;
    const leases: LeaseCache = {
      ...lease.leases,
      version(tenant, service, version) {
        if (opened.length === 2 && defect) throw new TypeError("a defect");
        const leased = lease.leases.version(tenant, service, version) as LeasedVersion;
        const { session } = leased;
        return {
          ...leased,
          session: {
            createKey: (...given) => session.createKey(...given),
            createKeyTo: (...given) => session.createKeyTo(...given),
            wrap: (...given) => session.wrap(...given),
            unwrap(...given) {
              const dataKey = session.unwrap(...given);
              opened.push(dataKey);
              return dataKey;
            },
            wipe: () => session.wipe(),
          },
        };
      },
    };
    const { operations } = operationsOn(leases);
    const { wrapped } = operations.createKey(CALLER, KEY) as CreatedKey;
    defect = true;
    expect(() => decryptKeys(operations, [{ wrapped }, { wrapped }, { wrapped }])).toThrow("a defect");
    expect(opened).toHaveLength(2);
    for (const dataKey of opened) expect(dataKey.every((byte) => byte === 0)).toBe(true);
  });
});

describe("every operation", () => {
  test("refuses a context name that is a front door's own to all other doors", () => {
    const { operations } = operationsOn(leaseThatChanges().leases);
    const vault: Caller = { ...CALLER, door: "vault-transit" };
    for (const name of ["vault:context", "kmip:object", "kes:context", "kubernetes-kms:uid"]) {
      const context = { [name]: "x" };
      expect(() => operations.createKey(CALLER, { ...KEY, context })).toThrow("which only the front door");
    }
    const bound = { "vault:context": "x" };
    const { wrapped } = operations.createKey(vault, { ...KEY, context: bound }) as CreatedKey;
    expect(() => operations.decryptKey(CALLER, { wrapped, context: bound })).toThrow("vault-transit");
    expect(operations.decryptKey(vault, { wrapped, context: bound })).toMatchObject({ version: 1 });
    expect(operations.createKey(CALLER, { ...KEY, context: { "app:vault:x": "y", constructor: "z" } })).toMatchObject({
      version: 1,
    });
  });

  test("on values makes and opens suite 2 alone; rewrap and open take both", () => {
    const { operations } = operationsOn(leaseThatChanges().leases);
    const { tenant, service } = KEY;
    const value = new TextEncoder().encode("chosen by the caller");
    const encrypted = operations.encryptValue(CALLER, { tenant, service, value }) as EncryptedValue;
    const created = operations.createKey(CALLER, KEY) as CreatedKey;
    expect(operations.decryptValue(CALLER, encrypted)).toMatchObject({ plaintext: value, tenant, version: 1 });
    expect(() => operations.decryptKey(CALLER, encrypted)).toThrow("operation for values");
    expect(() => operations.decryptValue(CALLER, created)).toThrow("operation for keys");
    const rewrapped = operations.rewrap(CALLER, encrypted) as Rewrapped;
    expect(operations.open(CALLER, rewrapped)).toMatchObject({ plaintext: value });
    expect(operations.open(CALLER, created)).toMatchObject({ plaintext: created.plaintext });
  });

  test("that describes a key needs any permission at all, and takes none of its rate", () => {
    const { operations, authorized, recorded } = operationsOn(leaseThatChanges().leases);
    expect(operations.describeKey(CALLER, { tenant: "tenant-a", service: "billing" })).toEqual({
      tenant: "tenant-a",
      service: "billing",
      version: 1,
      versions: [{ version: 1, state: "active" }],
    });
    expect(authorized).toEqual([0]);
    expect(recorded).toEqual(["describe tenant-a ok v1 x1", "took native describe ok"]);
  });

  test("takes no more than its bounds, whoever calls", () => {
    const { operations } = operationsOn(leaseThatChanges().leases);
    for (const count of [0, 10_001, 1.5, Number.NaN]) {
      expect(() => operations.createKeys(CALLER, { ...KEY, take: ignore }, count)).toThrow("1 to 10000 items");
    }
    expect(() => decryptKeys(operations, [])).toThrow("1 to 10000 items");
    const { tenant, service } = KEY;
    for (const length of [0, 65_537]) {
      const value = new Uint8Array(length);
      expect(() => operations.encryptValue(CALLER, { tenant, service, value })).toThrow("1 to 65536 bytes");
    }
  });
});

const decryptKeys = (operations: Operations, requests: OpenRequest[]) =>
  listResults<Opened>((take) => operations.decryptKeys(CALLER, requests, take));
const rewrapMany = (operations: Operations, requests: OpenRequest[]) =>
  listResults<Rewrapped>((take) => operations.rewrapMany(CALLER, requests, take));
