/** From an L3 and a salt to a wrapping key and its commitment (blob-format.md, "Layout"). */
import { nodeCrypto } from "../../base/system/builtin-modules.ts";
import { allocateSecret, wipe } from "../../base/wipe.ts";
import { HASH_LENGTH, hmacSha256 } from "./hmac.ts";

const LABEL = new TextEncoder().encode("crypto-edge l4 wrap v1\0");

export const WRAPPING_KEY_LENGTH = 32;
/** K in the first 32 bytes, the commitment C in the others. */
export const DERIVED_LENGTH = 64;
const OUTPUT_LENGTH_MAX = 255 * HASH_LENGTH;

/** HKDF's `info` of the keys of one identity: `label || 00 || identity`. */
export function infoFor(identity: Uint8Array): Uint8Array {
  const info = new Uint8Array(LABEL.length + identity.length);
  info.set(LABEL);
  info.set(identity, LABEL.length);
  return info;
}

/**
 * HKDF-SHA-256 (RFC 5869, sections 2.2 and 2.3), written out so that nothing of the input key stays behind: in the extract
 * step it is the message, which the crypto library does not copy, and the expand step's HMAC is our own
 * (test/edge/cipher/residue.test.ts). The result is the caller's to wipe.
 *
 * @throws {RangeError} for a `length` over 255 * 32: there is no such output.
 */
export function hkdfSha256(inputKey: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  if (length > OUTPUT_LENGTH_MAX) throw new RangeError(`HKDF-SHA-256 has no output of ${length} bytes.`);
  const pseudorandomKey = nodeCrypto().createHmac("sha256", salt).update(inputKey).digest();
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
