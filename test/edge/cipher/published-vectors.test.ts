/** Vectors that others published, through the code that the edge runs. */
import { describe, expect, test } from "bun:test";
import { createCipheriv, createHmac, createPrivateKey, createPublicKey } from "node:crypto";
import { hmacSha256 } from "../../../src/edge/cipher/hmac.ts";
import { hkdfSha256 } from "../../../src/edge/cipher/key-derivation.ts";
import type { NodeAdapter } from "../../../src/edge/cipher/node-adapter.ts";
import type { OpensslAdapter } from "../../../src/edge/cipher/openssl/adapter.ts";
import { createLeaseRecipient, recipientOf } from "../../../src/edge/key-source/core/hpke-open.ts";
import { ADAPTERS } from "../../support/ciphers.ts";
import nist from "../../vectors/nist-gcm-256.json" with { type: "json" };
import rfc9180 from "../../vectors/rfc9180.json" with { type: "json" };
import wycheproofGcm from "../../vectors/wycheproof-aes-256-gcm.json" with { type: "json" };
import wycheproofHkdf from "../../vectors/wycheproof-hkdf-sha256.json" with { type: "json" };
import wycheproofHmac from "../../vectors/wycheproof-hmac-sha256.json" with { type: "json" };
import wycheproofX25519 from "../../vectors/wycheproof-x25519.json" with { type: "json" };

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, "hex"));
const hex = (value: Uint8Array | undefined): string | null =>
  value === undefined ? null : Buffer.from(value).toString("hex");
const EMPTY = new Uint8Array(0);

interface GcmVector {
  readonly key: string;
  readonly nonce: string;
  readonly aad: string;
  readonly ciphertext: string;
  readonly tag: string;
  /** Null where it must not open. */
  readonly plaintext: string | null;
}

/** Blobs hold at least one byte; a context may be of any length. */
const OPENING: readonly GcmVector[] = [
  ...nist.encrypt,
  ...nist.decrypt,
  ...wycheproofGcm.vectors.map((vector) => ({ ...vector, plaintext: vector.valid ? vector.plaintext : null })),
].filter(({ ciphertext, tag }) => ciphertext !== "" && tag.length === 32);
const SEALING = OPENING.filter(({ plaintext }) => plaintext !== null);

for (const [name, adapter] of Object.entries(ADAPTERS)) {
  const make = (fillRandom?: (target: Uint8Array) => void) => adapter(fillRandom) as NodeAdapter | OpensslAdapter;

  describe(`AES-256-GCM by ${name}`, () => {
    test(`opens what NIST and Wycheproof open, and refuses what they refuse (${OPENING.length} vectors)`, () => {
      expect(SEALING.length).toBeGreaterThan(190);
      expect(OPENING.length - SEALING.length).toBeGreaterThan(50);
      for (const { key, nonce, aad, ciphertext, tag, plaintext } of OPENING) {
        const derived = make().keyOf(bytes(key), EMPTY);
        expect(hex(derived.open(bytes(nonce + ciphertext + tag), 0, 12, bytes(aad), 0))).toBe(plaintext);
        derived.close();
      }
    });

    test("encrypts as NIST and Wycheproof have it", () => {
      let nonce: Uint8Array = EMPTY;
      const withNonce = make((target) => target.set(nonce));
      for (const { key, nonce: given, aad, ciphertext, tag, plaintext } of SEALING) {
        nonce = bytes(given);
        const derived = withNonce.keyOf(bytes(key), EMPTY);
        const sealed = derived.seal(new Uint8Array(12), 0, bytes(aad), bytes(plaintext!), 0);
        expect(hex(sealed)).toBe(given + ciphertext + tag);
        derived.close();
      }
    });

    test("derives the commitment as Wycheproof's HKDF has it", () => {
      const long = wycheproofHkdf.vectors.filter(
        ({ length, inputKey, salt, info }) =>
          length >= 64 && length < 8161 && inputKey !== "" && salt.length <= 128 && info.length <= 1024,
      );
      expect(long.length).toBeGreaterThan(10);
      for (const { inputKey, salt, info, output } of long) {
        const derived = make().deriveKey({ use: (reader) => reader(bytes(inputKey)) }, bytes(salt), bytes(info))!;
        expect(hex(derived.commitment)).toBe(output.slice(64, 128));
        derived.close();
      }
    });
  });
}

describe("HKDF-SHA-256", () => {
  test(`derives as Wycheproof has it, and refuses what has no output (${wycheproofHkdf.vectors.length} vectors)`, () => {
    for (const { inputKey, salt, info, length, output, valid } of wycheproofHkdf.vectors) {
      const derive = () => hkdfSha256(bytes(inputKey), bytes(salt), bytes(info), length);
      if (valid) expect(hex(derive())!.slice(0, 1200)).toBe(output);
      else expect(derive).toThrow(RangeError);
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
  for (const [index, { inputKey, salt, info, output }] of RFC_5869.entries()) {
    test(`derives as RFC 5869 has it (A.${index + 1})`, () => {
      expect(hex(hkdfSha256(bytes(inputKey), bytes(salt), bytes(info), output.length / 2))).toBe(output);
    });
  }
});

test(`HMAC-SHA-256 answers as Wycheproof has it, and refuses longer keys (${wycheproofHmac.vectors.length} vectors)`, () => {
  let refused = 0;
  for (const { key, message, tag, valid } of wycheproofHmac.vectors) {
    if (key.length > 128) {
      expect(() => hmacSha256(bytes(key), bytes(message))).toThrow(RangeError);
      refused++;
    } else {
      const answered = hex(hmacSha256(bytes(key), bytes(message)))!.slice(0, tag.length);
      if (valid) expect(answered).toBe(tag);
      else expect(answered).not.toBe(tag);
    }
  }
  expect(refused).toBeGreaterThan(0);
});

describe("HPKE", () => {
  const x25519 = (privateKey: string) =>
    createPrivateKey({
      key: Buffer.from(`302e020100300506032b656e04220420${privateKey}`, "hex"),
      format: "der",
      type: "pkcs8",
    });
  const publicOf = (key: ReturnType<typeof x25519>): Uint8Array =>
    new Uint8Array(
      createPublicKey(key as never)
        .export({ format: "der", type: "spki" })
        .subarray(12),
    );

  test("opens RFC 9180's own vector", () => {
    const { info, recipientKey, recipient, enc, aad, ciphertext, plaintext } = rfc9180;
    const made = recipientOf(x25519(recipientKey), bytes(recipient), bytes(info));
    expect(hex(made.open(bytes(enc), bytes(ciphertext), bytes(aad)))).toBe(plaintext);
  });

  test("takes every key of Wycheproof's X25519, and refuses those of low order", () => {
    let opened = 0;
    let refused = 0;
    for (const { publicKey, privateKey, shared } of wycheproofX25519.vectors) {
      const key = x25519(privateKey);
      const recipient = publicOf(key);
      const made = recipientOf(key, recipient, Buffer.from("info"));
      const secret = bytes(shared);
      const sealed = sealTo(secret, bytes(publicKey), recipient, Buffer.from("info"));
      const open = () => hex(made.open(bytes(publicKey), sealed, EMPTY));
      if (secret.every((byte) => byte === 0)) {
        expect(open).toThrow();
        refused++;
      } else {
        expect(open()).toBe(hex(Buffer.from("a service key")));
        opened++;
      }
    }
    expect(opened).toBeGreaterThan(450);
    expect(refused).toBeGreaterThan(10);
  });

  test("a recipient is new each time", () => {
    expect(createLeaseRecipient().publicKey).not.toBe(createLeaseRecipient().publicKey);
  });
});

/** RFC 9180, base mode, by another road: the sender's half, from the result of X25519. */
function sealTo(dh: Uint8Array, enc: Uint8Array, recipient: Uint8Array, info: Uint8Array): Uint8Array {
  const hmac = (key: Uint8Array, ...parts: (Uint8Array | string)[]): Buffer => {
    const mac = createHmac("sha256", key);
    for (const part of parts) mac.update(part);
    return mac.digest();
  };
  const kem = Buffer.from("4b454d0020", "hex");
  const suite = Buffer.from("48504b45002000010002", "hex");
  const extract = (id: Buffer, salt: Uint8Array, label: string, input: Uint8Array): Buffer =>
    hmac(salt, "HPKE-v1", id, label, input);
  const expand = (id: Buffer, prk: Uint8Array, label: string, context: Uint8Array, length: number): Buffer =>
    hmac(prk, Buffer.from([0, length]), "HPKE-v1", id, label, context, Buffer.from([1])).subarray(0, length);
  const shared = expand(kem, extract(kem, EMPTY, "eae_prk", dh), "shared_secret", Buffer.concat([enc, recipient]), 32);
  const context = Buffer.concat([
    Buffer.from([0]),
    extract(suite, EMPTY, "psk_id_hash", EMPTY),
    extract(suite, EMPTY, "info_hash", info),
  ]);
  const secret = extract(suite, shared, "secret", EMPTY);
  const cipher = createCipheriv(
    "aes-256-gcm",
    expand(suite, secret, "key", context, 32),
    expand(suite, secret, "base_nonce", context, 12),
  );
  return Buffer.concat([cipher.update("a service key"), cipher.final(), cipher.getAuthTag()]);
}

function hexRange(first: number, last: number): string {
  return Buffer.from(Array.from({ length: last - first + 1 }, (_, index) => first + index)).toString("hex");
}
