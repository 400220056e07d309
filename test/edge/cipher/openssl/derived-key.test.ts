/** What a key over libcrypto leaves in the cipher's memory, and what it does when the library fails. */
import { describe, expect, test } from "bun:test";
import { POOL, POOL_LENGTH } from "../../../../src/edge/cipher/openssl/scratch.ts";
import { opensslParts } from "../../../support/openssl-parts.ts";

const NO_CONTEXT = new Uint8Array(0);
const HEADER = new Uint8Array(50).fill(3);
const NONCE_AT = 20;
const CONTEXT = Uint8Array.of(0, 1, 0, 1, 97, 0, 0);
const KEY = new Uint8Array(32).fill(8);

function keyOver(...given: Parameters<typeof opensslParts>) {
  const { adapter, parts, ...others } = opensslParts(...given);
  return { key: adapter.keyOf(KEY, NO_CONTEXT), scratch: parts.scratch, ...others };
}

const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);

describe("a data key that the cipher draws", () => {
  test.each([16, 32, 64])(
    "of %d bytes is copied to who asked, and is nowhere in the cipher's memory afterwards",
    (length) => {
      const { key, scratch } = keyOver();
      const told = new Uint8Array(length);
      for (const context of [NO_CONTEXT, CONTEXT]) {
        const blob = key.sealRandom(HEADER, NONCE_AT, context, length, told);
        expect(blob).toHaveLength(HEADER.length + length + 16);
        expect(key.open(blob, NONCE_AT, HEADER.length, context)).toEqual(told);
        expect(isZero(told)).toBe(false);
        expect(Buffer.from(scratch.bytes).indexOf(told)).toBe(-1);
      }
      const secret = key.open(
        key.sealRandom(HEADER, NONCE_AT, NO_CONTEXT, length),
        NONCE_AT,
        HEADER.length,
        NO_CONTEXT,
      )!;
      expect(Buffer.from(scratch.bytes).indexOf(secret.subarray(0, 8))).toBe(-1);
      // All that was drawn until now is wiped where it was: thrice the key and its nonce.
      expect(isZero(scratch.bytes.subarray(POOL, POOL + 3 * (length + 12)))).toBe(true);
      expect(isZero(scratch.bytes.subarray(POOL + 3 * (length + 12), POOL + POOL_LENGTH))).toBe(false);
    },
  );

  test.each([16, 32, 64])("of %d bytes is given where it lies, if it is asked for, and wiped there after", (length) => {
    const { key, scratch } = keyOver();
    for (const context of [NO_CONTEXT, CONTEXT]) {
      const blobs: Uint8Array[] = [];
      const keys: Uint8Array[] = [];
      const lent: Uint8Array[] = [];
      for (const isTold of [true, true, false]) {
        key.sealRandomTo(HEADER, NONCE_AT, context, length, isTold, (blob, dataKey) => {
          expect(dataKey === undefined).toBe(!isTold);
          blobs.push(blob.slice());
          if (dataKey === undefined) return;
          keys.push(dataKey.slice());
          lent.push(dataKey);
        });
      }
      expect(blobs).toHaveLength(3);
      keys.forEach((dataKey, index) => {
        expect(key.open(blobs[index]!, NONCE_AT, HEADER.length, context)).toEqual(dataKey);
        expect(Buffer.from(scratch.bytes).indexOf(dataKey)).toBe(-1);
        expect(isZero(lent[index]!)).toBe(true);
      });
      expect(keys[0]).not.toEqual(keys[1]);
      expect(key.open(blobs[2]!, NONCE_AT, HEADER.length, context)).toHaveLength(length);
    }
  });

  test("is wiped though whoever takes it throws", () => {
    const { key, scratch } = keyOver();
    let lent: Uint8Array | undefined;
    const fail = (_blob: Uint8Array, dataKey: Uint8Array | undefined): never => {
      lent = dataKey;
      throw new Error("no room");
    };
    expect(() => key.sealRandomTo(HEADER, NONCE_AT, NO_CONTEXT, 32, true, fail)).toThrow("no room");
    expect(lent).toHaveLength(32);
    expect(isZero(lent!)).toBe(true);
    expect(isZero(scratch.bytes.subarray(POOL, POOL + 44))).toBe(true);
  });

  test("is wiped though the buffer for it does not fit", () => {
    const { key, scratch } = keyOver();
    expect(() => key.sealRandom(HEADER, NONCE_AT, NO_CONTEXT, 32, new Uint8Array(31))).toThrow(RangeError);
    expect(() => key.sealRandom(HEADER, NONCE_AT, NO_CONTEXT, 32, new Uint8Array(33))).toThrow(RangeError);
    expect(isZero(scratch.bytes.subarray(POOL, POOL + 32))).toBe(true);
    expect(isZero(scratch.bytes.subarray(POOL + 44, POOL + 76))).toBe(true);
  });
});

test("what is sealed stays as it is, and the nonce is a drawn one, wiped where it was drawn", () => {
  const { key, scratch } = keyOver();
  const plaintext = new Uint8Array(32).fill(5);
  const blobs = [NO_CONTEXT, CONTEXT].map((context) => key.seal(HEADER, NONCE_AT, context, plaintext));
  expect(plaintext).toEqual(new Uint8Array(32).fill(5));
  expect(Buffer.from(blobs[0]!.subarray(NONCE_AT, 32))).not.toEqual(Buffer.from(blobs[1]!.subarray(NONCE_AT, 32)));
  expect(blobs[0]!.subarray(0, NONCE_AT)).toEqual(HEADER.subarray(0, NONCE_AT));
  expect(blobs[0]!.subarray(32, 50)).toEqual(HEADER.subarray(32));
  expect(HEADER).toEqual(new Uint8Array(50).fill(3));
  expect(isZero(scratch.bytes.subarray(POOL, POOL + 24))).toBe(true);
  expect(Buffer.from(scratch.bytes).indexOf(plaintext.subarray(0, 8))).toBe(-1);
  expect(key.open(blobs[0]!, NONCE_AT, HEADER.length, NO_CONTEXT)).toEqual(plaintext);
  expect(key.open(blobs[1]!, NONCE_AT, HEADER.length, NO_CONTEXT)).toBeUndefined();
});

test("headers of other bytes and lengths, and blobs between them, do not lay hands on each other", () => {
  const { key } = keyOver();
  const headers = [HEADER, new Uint8Array(50).fill(4), new Uint8Array(120).fill(6)];
  for (const header of [...headers, ...headers]) {
    const blob = key.seal(header, NONCE_AT, NO_CONTEXT, KEY);
    expect(blob.subarray(32, header.length)).toEqual(header.subarray(32));
    expect(key.open(blob, NONCE_AT, header.length, NO_CONTEXT)).toEqual(KEY);
    const again = key.sealRandom(header, NONCE_AT, NO_CONTEXT, 16);
    expect(again.subarray(32, header.length)).toEqual(header.subarray(32));
    expect(key.open(again, NONCE_AT, header.length, NO_CONTEXT)).toHaveLength(16);
  }
});

describe("a blob that does not open", () => {
  test("leaves nothing of what was decrypted, and no error in the library's queue", () => {
    const outputs: Uint8Array[] = [];
    const { key, foreign, real } = keyOver({
      decryptToBytes: ((...values: Parameters<typeof real.decryptToBytes>) => {
        const done = real.decryptToBytes(...values);
        // As a provider may that says why; OpenSSL's own says nothing of a wrong tag.
        errors.ERR_new();
        errors.ERR_set_error(6, 100, 0);
        expect(Number(errors.ERR_peek_error())).not.toBe(0);
        const output = values[1] as Uint8Array;
        outputs.push(output);
        expect(isZero(output)).toBe(false);
        return Number(done);
      }) as never,
    });
    const errors = foreign.open("libcrypto.so.3", {
      ERR_new: { parameters: [], result: "void" },
      ERR_set_error: { parameters: ["i32", "i32", "address"], result: "void" },
      ERR_peek_error: { parameters: [], result: "u64" },
    });
    const blob = key.seal(HEADER, NONCE_AT, NO_CONTEXT, new Uint8Array(64).fill(5));
    blob[blob.length - 1]! ^= 1;
    expect(key.open(blob, NONCE_AT, HEADER.length, NO_CONTEXT)).toBeUndefined();
    expect(outputs.map(isZero)).toEqual([true]);
    expect(Number(errors.ERR_peek_error())).toBe(0);
    blob[blob.length - 1]! ^= 1;
    expect(key.open(blob, NONCE_AT, HEADER.length, NO_CONTEXT)).toEqual(new Uint8Array(64).fill(5));
  });

  test("by a failure of the library is an error, and nothing is left of it either", () => {
    let output = new Uint8Array(0);
    const { key } = keyOver({
      decryptToBytes: ((_: number, into: Uint8Array<ArrayBuffer>) => {
        output = into.fill(9);
        return 0;
      }) as never,
    });
    const blob = key.seal(HEADER, NONCE_AT, NO_CONTEXT, KEY);
    expect(() => key.open(blob, NONCE_AT, HEADER.length, NO_CONTEXT)).toThrow("OpenSSL did not do its work");
    expect(output).toEqual(new Uint8Array(32));
  });
});

describe("a failure of the library is an error", () => {
  const OPENING = ["EVP_CIPHER_CTX_set_params", "EVP_DecryptUpdate", "decryptBytes", "EVP_DecryptInit_ex2"] as const;
  const SEALING = ["encryptBytes", "EVP_EncryptUpdate", "EVP_EncryptFinal_ex", "EVP_CIPHER_CTX_get_params"] as const;
  const fails = (): number => 0;

  test.each(OPENING)("of %s", (name) => {
    const blob = keyOver().key.seal(HEADER, NONCE_AT, CONTEXT, KEY);
    const { key } = keyOver({ [name]: fails });
    expect(() => key.open(blob, NONCE_AT, HEADER.length, CONTEXT)).toThrow("OpenSSL did not do its work");
  });

  test.each(SEALING)("of %s", (name) => {
    const { key, scratch } = keyOver({ [name]: fails });
    expect(() => key.seal(HEADER, NONCE_AT, CONTEXT, KEY)).toThrow("OpenSSL did not do its work");
    expect(() => key.sealRandom(HEADER, NONCE_AT, CONTEXT, 32)).toThrow("OpenSSL did not do its work");
    expect(isZero(scratch.bytes.subarray(POOL, POOL + 56))).toBe(true);
  });

  test("of EVP_EncryptInit_ex2, at once", () => {
    expect(() => keyOver({ EVP_EncryptInit_ex2: fails })).toThrow("OpenSSL did not do its work");
    expect(() => keyOver({ EVP_CIPHER_CTX_new: fails })).toThrow("OpenSSL gives no context");
  });
});

test("a context is made ready for opening once, and anew after each sealing", () => {
  const { key, counts } = keyOver();
  const blob = key.seal(HEADER, NONCE_AT, NO_CONTEXT, KEY);
  for (let time = 0; time < 5; time++) key.open(blob, NONCE_AT, HEADER.length, NO_CONTEXT);
  expect(counts.EVP_DecryptInit_ex2).toBe(1);
  key.seal(HEADER, NONCE_AT, NO_CONTEXT, KEY);
  for (let time = 0; time < 5; time++) expect(key.open(blob, NONCE_AT, HEADER.length, NO_CONTEXT)).toEqual(KEY);
  expect(counts.EVP_DecryptInit_ex2).toBe(2);
});

test("a key that is closed does nothing more, and frees its context once", () => {
  const { key, counts } = keyOver();
  const blob = key.seal(HEADER, NONCE_AT, NO_CONTEXT, KEY);
  key.close();
  key.close();
  expect(counts.EVP_CIPHER_CTX_free).toBe(1);
  const before = { ...counts };
  expect(() => key.seal(HEADER, NONCE_AT, NO_CONTEXT, KEY)).toThrow("This wrapping key was wiped.");
  expect(() => key.sealRandom(HEADER, NONCE_AT, NO_CONTEXT, 32)).toThrow("This wrapping key was wiped.");
  expect(() => key.open(blob, NONCE_AT, HEADER.length, NO_CONTEXT)).toThrow("This wrapping key was wiped.");
  expect(counts).toEqual(before);
});
