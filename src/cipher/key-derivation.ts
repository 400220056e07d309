/** From an L3 and a salt to a wrapping key and its commitment (blob-format.md, "Layout"). */
import { createHmac, hash } from "node:crypto";
import { allocateSecret, wipe } from "../wipe.ts";

const LABEL = new TextEncoder().encode("crypto-edge l4 wrap v1\0");

export const WRAPPING_KEY_LENGTH = 32;
export const DERIVED_LENGTH = 64;

const HASH_LENGTH = 32;
const HASH_BLOCK_LENGTH = 64;

/**
 * `okm = HKDF-SHA-256(ikm, salt, info = label || 00 || identity, L = 64)`: the wrapping key K in the first 32 bytes, the
 * commitment C in the others. The caller owns and wipes them.
 */
export function deriveWrappingKey(serviceKey: Uint8Array, salt: Uint8Array, identity: Uint8Array): Uint8Array {
  const info = new Uint8Array(LABEL.length + identity.length);
  info.set(LABEL);
  info.set(identity, LABEL.length);
  return hkdfSha256(serviceKey, salt, info, DERIVED_LENGTH);
}

/**
 * RFC 5869, sections 2.2 and 2.3. `length` is at most 255 * 32. The result is the caller's to wipe.
 *
 * Written out, because a crypto library copies the key of an HKDF or HMAC to memory that it frees without wiping, but
 * not a message: in the extract step the L3 is a message, and the expand step is made of plain hashes
 * (docs/security-model.md, "Key memory"; test/cipher/residue.test.ts).
 */
export function hkdfSha256(inputKey: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  const pseudorandomKey = createHmac("sha256", salt).update(inputKey).digest();
  const output = allocateSecret(length);
  const message = allocateSecret(HASH_LENGTH + info.length + 1);
  message.set(info, HASH_LENGTH);
  for (let offset = 0, counter = 1; offset < length; offset += HASH_LENGTH, counter++) {
    message[message.length - 1] = counter;
    const block = hmacSha256(pseudorandomKey, offset === 0 ? message.subarray(HASH_LENGTH) : message);
    const wanted = Math.min(HASH_LENGTH, length - offset);
    for (let index = 0; index < wanted; index++) output[offset + index] = block[index]!;
    message.set(block);
    wipe(block);
  }
  wipe(message);
  wipe(pseudorandomKey);
  return output;
}

/** RFC 2104, for keys no longer than a block. */
function hmacSha256(key: Uint8Array, message: Uint8Array): Uint8Array {
  const inner = allocateSecret(HASH_BLOCK_LENGTH + message.length).fill(0x36, 0, HASH_BLOCK_LENGTH);
  const outer = allocateSecret(HASH_BLOCK_LENGTH + HASH_LENGTH).fill(0x5c, 0, HASH_BLOCK_LENGTH);
  for (let index = 0; index < key.length; index++) {
    inner[index]! ^= key[index]!;
    outer[index]! ^= key[index]!;
  }
  inner.set(message, HASH_BLOCK_LENGTH);
  const digest = hash("sha256", inner, "buffer");
  outer.set(digest, HASH_BLOCK_LENGTH);
  const result = hash("sha256", outer, "buffer");
  for (const secret of [inner, outer, digest]) wipe(secret);
  return result;
}
