/** What the adapter over libcrypto leaves of what it derived and drew. */
import { describe, expect, test } from "bun:test";
import { createHmac, hkdfSync } from "node:crypto";
import { DERIVED, POOL } from "../../../../src/edge/cipher/openssl/scratch.ts";
import { opensslParts } from "../../../support/openssl-parts.ts";

/** Drawn ahead. */
const POOL_LENGTH = 4096;
const SERVICE_KEY = new Uint8Array(32).fill(7);
const reader = { use: <T>(use: (key: Uint8Array) => T): T => use(SERVICE_KEY) };
const SALT = new Uint8Array(16).fill(1);
const INFO = new TextEncoder().encode("info");
const OKM = new Uint8Array(hkdfSync("sha256", SERVICE_KEY, SALT, INFO, 64));

const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);

describe("a derivation", () => {
  test("gives HKDF's second half, and leaves nothing of the first", () => {
    const { adapter, parts, counts } = opensslParts();
    const key = adapter.deriveKey(reader, SALT, INFO)!;
    expect(key.commitment).toEqual(OKM.slice(32));
    expect(isZero(parts.scratch.bytes.subarray(DERIVED, DERIVED + 64))).toBe(true);
    const memory = Buffer.from(parts.scratch.bytes);
    const extracted = createHmac("sha256", SALT).update(SERVICE_KEY).digest();
    for (const secret of [OKM.subarray(0, 32), SERVICE_KEY, extracted]) expect(memory.indexOf(secret)).toBe(-1);
    expect(counts.EVP_KDF_CTX_reset).toBe(1);
  });

  test("under another commitment than the expected one makes no context of AES, and leaves nothing", () => {
    const { adapter, parts, counts } = opensslParts();
    for (let at = 0; at < 32; at++) {
      const expected = OKM.slice(32);
      expected[at]! ^= 0x80;
      expect(adapter.deriveKey(reader, SALT, INFO, expected)).toBeUndefined();
    }
    for (const length of [0, 31])
      expect(adapter.deriveKey(reader, SALT, INFO, OKM.slice(32, 32 + length))).toBeUndefined();
    expect(counts.EVP_CIPHER_CTX_new).toBeUndefined();
    expect(isZero(parts.scratch.bytes.subarray(DERIVED, DERIVED + 64))).toBe(true);
    expect(adapter.deriveKey(reader, SALT, INFO, OKM.slice(32))).toBeDefined();
    expect(counts.EVP_CIPHER_CTX_new).toBe(1);
  });

  test("that the library fails at is an error, and its copy of the key is wiped all the same", () => {
    const { adapter, parts, counts } = opensslParts({ EVP_KDF_derive: () => 0 });
    parts.scratch.bytes.fill(1, DERIVED, DERIVED + 64);
    expect(() => adapter.deriveKey(reader, SALT, INFO)).toThrow("OpenSSL did not do its work");
    expect(counts.EVP_KDF_CTX_reset).toBe(1);
    expect(isZero(parts.scratch.bytes.subarray(DERIVED, DERIVED + 64))).toBe(true);
  });

  test("takes salts up to 64 bytes and infos up to 512, and no longer ones", () => {
    const { adapter } = opensslParts();
    const [salt, info] = [new Uint8Array(64).fill(2), new Uint8Array(512).fill(3)];
    const expected = new Uint8Array(hkdfSync("sha256", SERVICE_KEY, salt, info, 64)).slice(32);
    expect(adapter.deriveKey(reader, salt, info)!.commitment).toEqual(expected);
    // Shorter ones after it are taken for what they are.
    expect(adapter.deriveKey(reader, SALT, INFO)!.commitment).toEqual(OKM.slice(32));
    expect(() => adapter.deriveKey(reader, new Uint8Array(65), info)).toThrow(RangeError);
    expect(() => adapter.deriveKey(reader, salt, new Uint8Array(513))).toThrow(RangeError);
  });
});

test("a key that is given is wiped from the cipher's memory, whether the library takes it or not", () => {
  for (const changes of [{}, { EVP_EncryptInit_ex2: () => 0 }]) {
    const { adapter, parts } = opensslParts(changes);
    const key = (): unknown => adapter.keyOf(SERVICE_KEY, new Uint8Array(0));
    if ("EVP_EncryptInit_ex2" in changes) expect(key).toThrow();
    else key();
    expect(isZero(parts.scratch.bytes.subarray(DERIVED, DERIVED + 64))).toBe(true);
  }
});

describe("random bytes", () => {
  test("are given once, of any length, and wiped where they were drawn", () => {
    const { adapter, parts, counts } = opensslParts();
    const drawn = [1, 16, 33, POOL_LENGTH - 4, POOL_LENGTH, POOL_LENGTH + 1, 3 * POOL_LENGTH].map((length) => {
      const target = new Uint8Array(length);
      adapter.fillRandom(target);
      if (length > 8) expect(Buffer.from(parts.scratch.bytes).indexOf(target.subarray(-8))).toBe(-1);
      return target;
    });
    const longEnough = drawn.filter(({ length }) => length > 8);
    const parts8 = longEnough.flatMap((bytes) =>
      Array.from({ length: bytes.length >> 3 }, (_, index) =>
        Buffer.from(bytes.subarray(8 * index, 8 * index + 8)).toString("hex"),
      ),
    );
    expect(new Set(parts8).size).toBe(parts8.length);
    expect(counts.RAND_bytes_ex).toBeGreaterThan(5);
  });

  test("are drawn 4 KiB ahead: as many as fit cost one call", () => {
    const { parts, counts } = opensslParts();
    const places = Array.from({ length: POOL_LENGTH / 16 }, () => parts.random.draw(16));
    expect(new Set(places).size).toBe(places.length);
    expect([Math.min(...places), Math.max(...places)]).toEqual([POOL, POOL + POOL_LENGTH - 16]);
    expect(counts.RAND_bytes_ex).toBe(1);
    expect(parts.random.draw(16)).toBe(POOL);
    expect(counts.RAND_bytes_ex).toBe(2);
    // Each begins at a word, so that it can be wiped by words.
    expect([parts.random.draw(13), parts.random.draw(1), parts.random.draw(4)]).toEqual([
      POOL + 16,
      POOL + 32,
      POOL + 36,
    ]);
  });

  test("that were drawn ahead are forgotten when the generator is seeded anew", () => {
    const { adapter, parts, counts } = opensslParts();
    const target = new Uint8Array(8);
    adapter.fillRandom(target);
    expect(isZero(parts.scratch.bytes.subarray(POOL, POOL + POOL_LENGTH))).toBe(false);
    adapter.reseed();
    expect(isZero(parts.scratch.bytes.subarray(POOL, POOL + POOL_LENGTH))).toBe(true);
    expect(counts.EVP_RAND_reseed).toBe(1);
    adapter.fillRandom(target);
    expect(isZero(target)).toBe(false);
    expect(counts.RAND_bytes_ex).toBe(2);
  });

  test("that the library can't give are an error", () => {
    expect(() => opensslParts({ RAND_bytes_ex: () => 0 }).adapter.fillRandom(new Uint8Array(8))).toThrow(
      "did not do its work",
    );
    expect(() => opensslParts({ EVP_RAND_reseed: () => 0 }).adapter.reseed()).toThrow("did not do its work");
  });
});

test("an adapter that is closed derives nothing more, and frees what it holds once", () => {
  const { adapter, parts, counts } = opensslParts();
  const { bytes } = parts.scratch;
  expect(bytes.length).toBeGreaterThan(0);
  adapter.close();
  adapter.close();
  for (const name of ["EVP_KDF_CTX_free", "EVP_KDF_free", "EVP_CIPHER_free", "OSSL_LIB_CTX_free"] as const) {
    expect(counts[name]).toBe(1);
  }
  // The memory is gone, and what someone kept of it is empty.
  expect(bytes.length).toBe(0);
  expect(() => adapter.deriveKey(reader, SALT, INFO)).toThrow("The cipher is closed.");
});
