import { describe, expect, test } from "bun:test";
import { parseBlob } from "../../../src/edge/cipher/blob.ts";
import type { CipherAdapter } from "../../../src/edge/cipher/cipher.ts";
import { createNodeAdapter } from "../../../src/edge/cipher/node-adapter.ts";
import { ReadyKey, ReadyKeys } from "../../../src/edge/cipher/ready-keys.ts";
import { createCipher } from "../../../src/edge/cipher/sessions.ts";
import { fc } from "../../support/properties.ts";

class Key extends ReadyKey {
  gone = false;
  giveWay(): void {
    this.gone = true;
  }
}

function entered(keys: ReadyKeys, tenant: string, count: number): Key[] {
  return Array.from({ length: count }, () => {
    const key = new Key();
    keys.enter(key, tenant);
    return key;
  });
}

const left = (keys: readonly Key[]): number => keys.filter(({ gone }) => !gone).length;

describe("ready keys", () => {
  test("give way in the order of their last use", () => {
    const keys = new ReadyKeys(3);
    const [a, b, c] = entered(keys, "tenant-a", 3) as [Key, Key, Key];
    keys.touch(a);
    const [d] = entered(keys, "tenant-a", 1) as [Key];
    expect([a.gone, b.gone, c.gone, d.gone]).toEqual([false, true, false, false]);
    keys.leave(c);
    expect(keys.size).toBe(2);
    entered(keys, "tenant-a", 1);
    expect([a.gone, d.gone]).toEqual([false, false]);
  });

  test("of a tenant that uses few are not pushed out by one that uses many", () => {
    const keys = new ReadyKeys(100);
    const few = entered(keys, "few", 10);
    const many = entered(keys, "many", 10_000);
    expect(left(few)).toBe(10);
    expect(left(many)).toBe(90);
    // Those who come later get their share from the same one.
    const later = entered(keys, "later", 40);
    expect([left(few), left(later), left(many)]).toEqual([10, 40, 50]);
    const last = entered(keys, "last", 1_000);
    expect([left(few), left(later) + left(last) + left(many)]).toEqual([10, 90]);
    expect(left(later)).toBeGreaterThanOrEqual(30);
    expect(left(many)).toBeGreaterThanOrEqual(30);
    expect(keys.size).toBe(100);
  });

  test("are bounded whatever the tenants do", () => {
    const keys = new ReadyKeys(50);
    const all: Key[] = [];
    for (let round = 0; round < 2_000; round++) {
      all.push(...entered(keys, `tenant-${(round * 7) % 83}`, 1 + (round % 3)));
      if (round % 5 === 0) keys.leave(all[(round * 31) % all.length]!);
      if (round % 3 === 0) keys.touch(all[(round * 17) % all.length]!);
    }
    expect(keys.size).toBe(50);
    expect(left(all)).toBeGreaterThanOrEqual(50);
  });
});

test("the key that gives way is the one used longest ago of the tenant that holds most, of the one that asks where it holds as many", () => {
  const tenant = fc.constantFrom("a", "b", "c", "d");
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ does: fc.constant("enter" as const), tenant }) },
    { weight: 2, arbitrary: fc.record({ does: fc.constant("touch" as const), key: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ does: fc.constant("leave" as const), key: fc.nat() }) },
  );
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 7 }), fc.array(step, { maxLength: 200 }), (max, steps) => {
      const keys = new ReadyKeys(max);
      const all: Key[] = [];
      /** By tenant, from the key used longest ago on. */
      const ready = new Map<string, Key[]>();
      const held = (name: string): Key[] => ready.get(name) ?? [];
      const size = (): number => [...ready.values()].flat().length;
      const takeOut = (key: Key): string | undefined => {
        for (const [name, list] of ready) {
          if (!list.includes(key)) continue;
          ready.set(
            name,
            list.filter((other) => other !== key),
          );
          return name;
        }
        return undefined;
      };
      for (const taken of steps) {
        if (taken.does === "enter") {
          const most = Math.max(...[...ready.values()].map(({ length }) => length), 0);
          const mayGive = held(taken.tenant).length === most ? [taken.tenant] : [...ready.keys()];
          const victims = mayGive.filter((name) => held(name).length === most).map((name) => held(name)[0]!);
          const isFull = size() === max;
          const goneBefore = all.filter(({ gone }) => gone);
          const [key] = entered(keys, taken.tenant, 1) as [Key];
          const gone = all.filter((each) => each.gone && !goneBefore.includes(each));
          expect(gone).toHaveLength(isFull ? 1 : 0);
          for (const victim of gone) {
            expect(victims).toContain(victim);
            expect(victim.share).toBeUndefined();
            takeOut(victim);
          }
          ready.set(taken.tenant, [...held(taken.tenant), key]);
          all.push(key);
        } else if (all.length > 0) {
          const key = all[taken.key % all.length]!;
          keys[taken.does](key);
          const name = takeOut(key);
          if (taken.does === "touch" && name !== undefined) ready.set(name, [...held(name), key]);
        }
        expect(keys.size).toBe(size());
      }
    }),
    { numRuns: 300 },
  );
});

test("a tenant that has no key ready is forgotten", () => {
  const keys = new ReadyKeys(1);
  const [first] = entered(keys, "a", 1) as [Key];
  const { share } = first;
  keys.leave(first);
  keys.enter(first, "a");
  expect(first.share).toBeDefined();
  expect(first.share).not.toBe(share);
});

test("tenants that have no key ready take no memory", () => {
  const keys = new ReadyKeys(1);
  const shares = Array.from({ length: 200 }, (_, index) => {
    const [key] = entered(keys, `tenant-${index}`, 1) as [Key];
    const share = new WeakRef(key.share!);
    keys.leave(key);
    return share;
  });
  Bun.gc(true);
  expect(shares.filter((share) => share.deref() === undefined).length).toBeGreaterThan(100);
  expect(keys.size).toBe(0);
});

test("eight thousand keys are ready unless told otherwise", () => {
  const keys = new ReadyKeys();
  const all = entered(keys, "tenant-a", 8_192);
  expect([keys.size, left(all)]).toEqual([8_192, 8_192]);
  const [first] = all as [Key];
  entered(keys, "tenant-b", 1);
  expect([keys.size, left(all), first.gone]).toEqual([8_192, 8_191, true]);
});

test("a tenant with thousands of salts costs another tenant no derivation", () => {
  const node = createNodeAdapter();
  let derivations = 0;
  const adapter: CipherAdapter = {
    name: "counting",
    library: "node",
    fips: false,
    fillRandom: (target) => node.fillRandom(target),
    deriveKey(...given) {
      derivations++;
      return node.deriveKey(...given);
    },
    reseed() {},
    close() {},
  };
  const cipher = createCipher({ adapter, readyKeysMax: 64, blobsPerSalt: 1 });
  const reader = (fill: number) => ({
    use: <T>(read: (key: Uint8Array) => T): T => read(new Uint8Array(32).fill(fill)),
  });
  const [quiet, loud] = ["quiet", "loud"].map((tenant, index) =>
    cipher.begin({ tenant, service: "billing", version: 1 }, reader(index)),
  );
  const blobs = (session: typeof quiet, count: number) =>
    Array.from({ length: count }, () => parseBlob(session!.wrap(new Uint8Array(32), new Uint8Array(0))));
  const few = blobs(quiet, 8);
  const many = blobs(loud, 500);
  for (const blob of few) quiet!.unwrap(blob, new Uint8Array(0));
  for (const blob of many) loud!.unwrap(blob, new Uint8Array(0));
  derivations = 0;
  for (const blob of few) quiet!.unwrap(blob, new Uint8Array(0));
  expect(derivations).toBe(0);
});

test("a renewal makes every session draw another salt, and what was made before still opens", () => {
  const cipher = createCipher({ adapter: createNodeAdapter() });
  const serviceKey = { use: <T>(read: (key: Uint8Array) => T): T => read(new Uint8Array(32)) };
  const session = cipher.begin({ tenant: "a", service: "b", version: 1 }, serviceKey);
  const salt = (blob: ReturnType<typeof parseBlob>): string =>
    Buffer.from(blob.bytes.subarray(blob.saltOffset, blob.nonceOffset)).toString("hex");
  const make = () =>
    [1, 2].map((suite) => parseBlob(session.wrap(new Uint8Array(32), new Uint8Array(0), suite as 1 | 2)));
  const before = make();
  expect(make().map(salt)).toEqual(before.map(salt));
  cipher.renew();
  const after = make();
  expect(new Set([...before, ...after].map(salt)).size).toBe(4);
  for (const blob of [...before, ...after]) expect(session.unwrap(blob, new Uint8Array(0))).toHaveLength(32);
});
