import { expect, test } from "bun:test";
import { createCipheriv } from "node:crypto";
import { GcmKey, type KeyDeriver } from "../../../src/edge/cipher/gcm-key.ts";
import { Ghash } from "../../../src/edge/cipher/ghash.ts";
import { hkdfSha256 } from "../../../src/edge/cipher/key-derivation.ts";
import nist from "../../vectors/nist-gcm-256.json" with { type: "json" };

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, "hex"));
type Triple = [Uint8Array, Uint8Array, Uint8Array];
const hex = (value: Uint8Array | undefined): string | null =>
  value === undefined ? null : Buffer.from(value).toString("hex");

/** AES itself, one block. */
const encryptBlock = (key: Uint8Array, block: Uint8Array): Uint8Array =>
  createCipheriv("aes-256-ecb", key, null).setAutoPadding(false).update(block);

test(`GHASH makes the tags that NIST has, whatever the lengths (${nist.encrypt.length} vectors)`, () => {
  expect(nist.encrypt.length).toBeGreaterThan(90);
  const ghash = new Ghash(2);
  for (const vector of nist.encrypt) {
    const [key, aad, ciphertext] = [vector.key, vector.aad, vector.ciphertext].map(bytes) as Triple;
    const padding = (length: number) => new Uint8Array(-length & 15);
    const lengths = new Uint8Array(16);
    new DataView(lengths.buffer).setUint32(4, aad.length * 8);
    new DataView(lengths.buffer).setUint32(12, ciphertext.length * 8);
    ghash.enter(1, encryptBlock(key, new Uint8Array(16)));
    const parts = [aad, padding(aad.length), ciphertext, padding(ciphertext.length), lengths];
    ghash.digest(1, Buffer.concat(parts));
    const mask = encryptBlock(key, bytes(`${vector.nonce}00000001`));
    expect(hex(ghash.result.map((byte, index) => byte ^ mask[index]!))).toBe(vector.tag);
  }
});

/** Those that a key can be asked for: whole blocks under additional data. All of it stands where the context does. */
const isAskable = ({ aad, ciphertext }: { aad: string; ciphertext: string }): boolean =>
  aad !== "" && ciphertext !== "" && ciphertext.length % 32 === 0;
const deriver = (key: Uint8Array): KeyDeriver => ({ deriveFor: () => new Uint8Array(key) });
const NO_HEADER = new Uint8Array(0);

test("AES-256-GCM encrypts as NIST has it", () => {
  const vectors = nist.encrypt.filter(isAskable);
  expect(vectors.length).toBeGreaterThan(20);
  for (const { key, nonce, aad, plaintext, ciphertext, tag } of vectors) {
    const blob = new Uint8Array(12 + plaintext.length / 2 + 16);
    blob.set(bytes(nonce));
    new GcmKey(deriver(bytes(key)), NO_HEADER, 0).encrypt(blob, bytes(aad), bytes(plaintext), 12);
    expect(hex(blob)).toBe(nonce + ciphertext + tag);
  }
});

test("AES-256-GCM opens what NIST says opens, and refuses what it says fails", () => {
  const vectors = nist.decrypt.filter((vector) => isAskable(vector) && vector.tag.length === 32);
  expect(vectors.filter(({ plaintext }) => plaintext !== null).length).toBeGreaterThan(20);
  expect(vectors.filter(({ plaintext }) => plaintext === null).length).toBeGreaterThan(5);
  for (const { key, nonce, aad, ciphertext, tag, plaintext } of vectors) {
    const gcm = new GcmKey(deriver(bytes(key)), NO_HEADER, 0);
    expect(hex(gcm.decrypt(bytes(nonce + ciphertext + tag), bytes(aad), 12))).toBe(plaintext);
  }
});

/** RFC 5869, appendix A.1 to A.3: the SHA-256 cases. */
const RFC_5869 = [
  {
    inputKey: "0b".repeat(22),
    salt: "000102030405060708090a0b0c",
    info: "f0f1f2f3f4f5f6f7f8f9",
    output: "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
  },
  {
    inputKey: hexRange(0x00, 0x4f),
    salt: hexRange(0x60, 0xaf),
    info: hexRange(0xb0, 0xff),
    output:
      "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
  },
  {
    inputKey: "0b".repeat(22),
    salt: "",
    info: "",
    output: "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
  },
];

for (const [index, vector] of RFC_5869.entries()) {
  test(`HKDF-SHA-256 derives as RFC 5869 has it (A.${index + 1})`, () => {
    const { inputKey, salt, info, output } = vector;
    expect(hex(hkdfSha256(bytes(inputKey), bytes(salt), bytes(info), output.length / 2))).toBe(output);
  });
}

function hexRange(first: number, last: number): string {
  return Buffer.from(Array.from({ length: last - first + 1 }, (_, index) => first + index)).toString("hex");
}
