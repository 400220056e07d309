import { expect, test } from "bun:test";
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { GcmKey, type KeyDeriver, READY_KEYS_MAX } from "../../../src/edge/cipher/gcm-key.ts";

const deriver = (key: Uint8Array): KeyDeriver => ({ deriveFor: () => new Uint8Array(key) });
const NO_CONTEXT = new Uint8Array(0);

/** A blob as GcmKey makes it, its header ending `afterNonce` bytes after the nonce. */
function encrypt(gcm: GcmKey, header: Uint8Array, nonceOffset: number, context: Uint8Array, plaintext: Uint8Array) {
  const blob = new Uint8Array(header.length + plaintext.length + 16);
  blob.set(header);
  blob.set(randomBytes(12), nonceOffset);
  gcm.encrypt(blob, context, plaintext, header.length);
  return blob;
}

function openedByLibrary(
  key: Uint8Array,
  blob: Uint8Array,
  headerLength: number,
  nonceOffset: number,
  context: Uint8Array,
) {
  const decipher = createDecipheriv("aes-256-gcm", key, blob.subarray(nonceOffset, nonceOffset + 12));
  decipher.setAAD(Buffer.concat([blob.subarray(0, headerLength), context]));
  decipher.setAuthTag(blob.subarray(-16));
  const plaintext = decipher.update(blob.subarray(headerLength, -16));
  decipher.final();
  return plaintext.toString("hex");
}

test("what it encrypts, the library's own AES-256-GCM opens, wherever the nonce stands, with and without a context", () => {
  for (let round = 0; round < 600; round++) {
    const key = randomBytes(32);
    // Every place in a block, and the shortest to the longest header.
    const nonceOffset = 16 + (round % 267);
    const header = new Uint8Array(nonceOffset + 12 + 32);
    header.set(randomBytes(nonceOffset));
    header.set(randomBytes(32), nonceOffset + 12);
    const gcm = new GcmKey(deriver(key), header, nonceOffset);
    for (const length of [32, 16, 64, 32]) {
      for (const context of [NO_CONTEXT, randomBytes(1 + round)]) {
        const plaintext = randomBytes(length);
        const blob = encrypt(gcm, header, nonceOffset, context, plaintext);
        expect(openedByLibrary(key, blob, header.length, nonceOffset, context)).toBe(plaintext.toString("hex"));
        expect(gcm.decrypt(blob, context, header.length)).toEqual(new Uint8Array(plaintext));
      }
    }
    gcm.close();
  }
});

test("it opens what the library's own AES-256-GCM encrypts, and nothing with one bit of it changed", () => {
  const [key, nonce, plaintext] = [randomBytes(32), randomBytes(12), randomBytes(32)];
  const header = Buffer.concat([randomBytes(41), new Uint8Array(12), randomBytes(32)]);
  const begin = Buffer.from(header);
  begin.set(nonce, 41);
  const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(begin);
  const blob = Buffer.concat([begin, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
  const gcm = new GcmKey(deriver(key), header, 41);
  expect(gcm.decrypt(blob, NO_CONTEXT, 85)).toEqual(new Uint8Array(plaintext));
  // The header before and after the nonce is compared by the session, from which the key has it.
  for (let bit = 41 * 8; bit < blob.length * 8; bit++) {
    if (bit === 53 * 8) bit = 85 * 8;
    const changed = Buffer.from(blob);
    changed[bit >> 3]! ^= 1 << (bit & 7);
    expect(gcm.decrypt(changed, NO_CONTEXT, 85)).toBeUndefined();
  }
});

test("more keys than are kept ready still encrypt right, each time they are used", () => {
  const header = new Uint8Array(85);
  const keys = Array.from({ length: READY_KEYS_MAX + 100 }, () => randomBytes(32));
  const made = keys.map((key) => new GcmKey(deriver(key), header, 41));
  for (const place of [...keys.keys(), 0, 1, READY_KEYS_MAX, 50]) {
    const blob = encrypt(made[place]!, header, 41, NO_CONTEXT, new Uint8Array(32));
    if (place % 50 === 0 || place < 2) {
      expect(openedByLibrary(keys[place]!, blob, 85, 41, NO_CONTEXT)).toBe("00".repeat(32));
    }
  }
  for (const gcm of made) gcm.close();
});
