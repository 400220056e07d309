/** From an L3 and a salt to a wrapping key and its commitment (blob-format.md, "Layout"). */
import { createHmac } from "node:crypto";
import { wipe } from "../wipe.ts";

const LABEL = new TextEncoder().encode("crypto-edge l4 wrap v1\0");

export const WRAPPING_KEY_LENGTH = 32;
export const DERIVED_LENGTH = 64;

/**
 * `okm = HKDF-SHA-256(ikm, salt, info = label || 00 || identity, L = 64)`: the wrapping key K in the first 32 bytes, the
 * commitment C in the others. The caller owns and wipes them.
 *
 * HKDF (RFC 5869) is written out over HMAC because there the L3 is the *message* of the extract step, hashed and gone,
 * while a one-call HKDF keeps a copy of its input key in memory that cannot be wiped.
 */
export function deriveWrappingKey(serviceKey: Uint8Array, salt: Uint8Array, identity: Uint8Array): Uint8Array {
  const info = new Uint8Array(LABEL.length + identity.length);
  info.set(LABEL);
  info.set(identity, LABEL.length);
  return hkdfSha256(serviceKey, salt, info, DERIVED_LENGTH);
}

/** RFC 5869, sections 2.2 and 2.3. `length` is at most 255 * 32. The result is the caller's to wipe. */
export function hkdfSha256(inputKey: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  const pseudorandomKey = createHmac("sha256", salt).update(inputKey).digest();
  const output = new Uint8Array(length);
  const counter = new Uint8Array(1);
  let previous: Uint8Array = new Uint8Array(0);
  for (let offset = 0; offset < length; offset += 32) {
    counter[0] = offset / 32 + 1;
    const block = createHmac("sha256", pseudorandomKey).update(previous).update(info).update(counter).digest();
    output.set(block.subarray(0, Math.min(32, length - offset)), offset);
    wipe(previous);
    previous = block;
  }
  wipe(previous);
  wipe(pseudorandomKey);
  return output;
}
