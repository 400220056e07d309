/** What the adapter over node:crypto draws, refuses, and wipes. */
import { describe, expect, test } from "bun:test";
import { createHmac, hkdfSync } from "node:crypto";
import { createNodeAdapter } from "../../../src/edge/cipher/node-adapter.ts";
import { wipedBy } from "../../support/wiped.ts";

const NO_CONTEXT = new Uint8Array(0);
const SERVICE_KEY = new Uint8Array(32).fill(7);
const reader = { use: <T>(use: (key: Uint8Array) => T): T => use(SERVICE_KEY) };
const SALT = new Uint8Array(16).fill(1);
const INFO = new TextEncoder().encode("info");
const OKM = Buffer.from(hkdfSync("sha256", SERVICE_KEY, SALT, INFO, 64));
const HEADER = new Uint8Array(50).fill(3);
const NONCE_AT = 20;

const keyOf = (adapter = createNodeAdapter()) => adapter.deriveKey(reader, SALT, INFO)!;

describe("what a derivation makes is wiped", () => {
  test("but K: pseudorandom key, blocks, and both halves of the result", () => {
    const wiped = wipedBy(() => keyOf());
    const extracted = createHmac("sha256", SALT).update(SERVICE_KEY).digest();
    expect(wiped).toContain(OKM.toString("hex"));
    expect(wiped).toContain(extracted.toString("hex"));
    // The second block's message begins with the first block; at its wiping it holds the second.
    for (const half of [OKM.subarray(0, 32), OKM.subarray(32)]) expect(wiped).toContain(half.toString("hex"));
    expect(wiped).toContain(Buffer.concat([OKM.subarray(32), INFO, Buffer.of(2)]).toString("hex"));
  });

  test("under another commitment than the expected one as well", () => {
    const other = new Uint8Array(OKM.subarray(32));
    other[31]! ^= 1;
    const wiped = wipedBy(() => expect(createNodeAdapter().deriveKey(reader, SALT, INFO, other)).toBeUndefined());
    expect(wiped).toContain(OKM.toString("hex"));
  });

  test("and K when the key is closed, which then does nothing more", () => {
    const key = keyOf();
    const blob = key.seal(HEADER, NONCE_AT, NO_CONTEXT, SERVICE_KEY);
    expect(wipedBy(() => key.close())).toEqual([OKM.subarray(0, 32).toString("hex")]);
    expect(wipedBy(() => key.close())).toEqual([]);
    expect(() => key.seal(HEADER, NONCE_AT, NO_CONTEXT, SERVICE_KEY)).toThrow("This wrapping key was wiped.");
    expect(() => key.sealRandom(HEADER, NONCE_AT, NO_CONTEXT, 32)).toThrow("This wrapping key was wiped.");
    expect(() => key.open(blob, NONCE_AT, HEADER.length, NO_CONTEXT)).toThrow("This wrapping key was wiped.");
  });
});

describe("a data key that the adapter draws", () => {
  test.each([16, 32, 64])("of %d bytes is another one each time, told and untold", (length) => {
    const key = keyOf();
    const made = new Set<string>();
    for (let time = 0; time < 4; time++) {
      const told: Uint8Array | undefined = time < 2 ? new Uint8Array(length) : undefined;
      const blob = key.sealRandom(HEADER, NONCE_AT, NO_CONTEXT, length, told);
      const opened = key.open(blob, NONCE_AT, HEADER.length, NO_CONTEXT)!;
      expect(opened).toHaveLength(length);
      if (told !== undefined) expect(told).toEqual(opened);
      made.add(Buffer.from(opened).toString("hex"));
    }
    expect(made.size).toBe(4);
    expect(made.has("00".repeat(length))).toBe(false);
  });

  test("is wiped when nobody is told it, and when it does not fit nothing is made", () => {
    const key = keyOf();
    let blob: Uint8Array = NO_CONTEXT;
    const wiped = wipedBy(() => {
      blob = key.sealRandom(HEADER, NONCE_AT, NO_CONTEXT, 32);
    });
    expect(wiped).toEqual([Buffer.from(key.open(blob, NONCE_AT, HEADER.length, NO_CONTEXT)!).toString("hex")]);
    const told = new Uint8Array(32);
    expect(wipedBy(() => key.sealRandom(HEADER, NONCE_AT, NO_CONTEXT, 32, told))).toEqual([]);
    for (const length of [31, 33]) {
      const buffer = new Uint8Array(length);
      expect(() => key.sealRandom(HEADER, NONCE_AT, NO_CONTEXT, 32, buffer)).toThrow(RangeError);
      expect(buffer).toEqual(new Uint8Array(length));
    }
  });
});

test("what was decrypted of a blob is wiped where the library put it, whether it opens or not", () => {
  const key = keyOf();
  const plaintext = new Uint8Array(32).fill(5);
  const blob = key.seal(HEADER, NONCE_AT, NO_CONTEXT, plaintext);
  let opened: Uint8Array | undefined;
  const open = (): void => {
    opened = key.open(blob, NONCE_AT, HEADER.length, NO_CONTEXT);
  };
  expect(wipedBy(open)).toEqual([Buffer.from(plaintext).toString("hex")]);
  expect(opened).toEqual(plaintext);
  blob[blob.length - 1]! ^= 1;
  expect(wipedBy(open)).toEqual([Buffer.from(plaintext).toString("hex")]);
  expect(opened).toBeUndefined();
});

test("the longest header and context are authenticated in whole, and no longer ones are taken", () => {
  const key = keyOf();
  const header = new Uint8Array(10 + 2 * 128 + 16 + 12 + 32).fill(4);
  const context = new Uint8Array(8192).fill(1);
  const blob = key.seal(header, NONCE_AT, context, SERVICE_KEY);
  expect(key.open(blob, NONCE_AT, header.length, context)).toEqual(SERVICE_KEY);
  for (const changed of [blob.length - 49, 0]) {
    const altered = blob.slice();
    altered[changed]! ^= 1;
    expect(key.open(altered, NONCE_AT, header.length, context)).toBeUndefined();
  }
  const other = context.slice();
  other[8191]! ^= 1;
  expect(key.open(blob, NONCE_AT, header.length, other)).toBeUndefined();
  expect(() => key.seal(header, NONCE_AT, new Uint8Array(8193), SERVICE_KEY)).toThrow(RangeError);
});

test.each([511, 512, 513, 65_536])("a value of %d bytes comes back", (length) => {
  const key = keyOf();
  const value = new Uint8Array(length).map((_, index) => index % 251);
  const blob = key.seal(HEADER, NONCE_AT, NO_CONTEXT, value);
  for (let time = 0; time < 2; time++) expect(key.open(blob, NONCE_AT, HEADER.length, NO_CONTEXT)).toEqual(value);
});

test("random bytes drawn ahead are forgotten by a reseed, and their memory is given back with the adapter", () => {
  const bytes = new Uint8Array(new ArrayBuffer(4096));
  let closed = 0;
  const adapter = createNodeAdapter(undefined, (lengthBytes) => {
    expect(lengthBytes).toBe(4096);
    return { bytes, close: () => closed++ };
  });
  adapter.fillRandom(new Uint8Array(16));
  expect(bytes.subarray(0, 16)).toEqual(new Uint8Array(16));
  expect(bytes.some((byte) => byte !== 0)).toBe(true);
  adapter.reseed();
  expect(bytes.every((byte) => byte === 0)).toBe(true);
  adapter.fillRandom(new Uint8Array(16));
  expect(bytes.some((byte) => byte !== 0)).toBe(true);
  adapter.close();
  adapter.close();
  expect([bytes.every((byte) => byte === 0), closed]).toEqual([true, 1]);
});
