import { nodeCrypto } from "../../base/system/builtin-modules.ts";
import { allocateSecret, wipe } from "../../base/wipe.ts";

const HASH_BLOCK_LENGTH = 64;
export const HASH_LENGTH = 32;

/**
 * The two messages that are hashed, used again for each HMAC: opening a lease makes five, and their memory would be most of what it leaves
 * to the collector. Zeros between calls. A longer message gets memory of its own.
 */
const INNER = allocateSecret(HASH_BLOCK_LENGTH + 448);
const OUTER = allocateSecret(HASH_BLOCK_LENGTH + HASH_LENGTH);
/** The beginnings of `INNER` that were needed, by their length. */
const BEGINNINGS: (Uint8Array | undefined)[] = new Array(INNER.length + 1).fill(undefined);

/**
 * HMAC-SHA-256 (RFC 2104) under a secret key of at most 64 bytes. The result is the caller's to wipe.
 *
 * @throws {RangeError} for a longer key: what HMAC does with one is not needed here.
 *
 * Made of plain hashes, because the crypto library copies the key of its HMAC, and of its HKDF, to memory that it frees
 * without wiping; it does not copy what it hashes (docs/security-model.md, "Key memory").
 */
export function hmacSha256(key: Uint8Array, ...message: readonly Uint8Array[]): Uint8Array {
  if (key.length > HASH_BLOCK_LENGTH) throw new RangeError("This HMAC takes keys of at most 64 bytes.");
  let length = HASH_BLOCK_LENGTH;
  for (const part of message) length += part.length;
  let inner = BEGINNINGS[length];
  if (inner === undefined) {
    inner = length <= INNER.length ? INNER.subarray(0, length) : allocateSecret(length);
    if (length <= INNER.length) BEGINNINGS[length] = inner;
  }
  inner.fill(0x36, 0, HASH_BLOCK_LENGTH);
  OUTER.fill(0x5c, 0, HASH_BLOCK_LENGTH);
  for (let index = 0; index < key.length; index++) {
    inner[index]! ^= key[index]!;
    OUTER[index]! ^= key[index]!;
  }
  let offset = HASH_BLOCK_LENGTH;
  for (const part of message) {
    inner.set(part, offset);
    offset += part.length;
  }
  const { hash } = nodeCrypto();
  const digest = hash("sha256", inner, "buffer");
  OUTER.set(digest, HASH_BLOCK_LENGTH);
  const result = hash("sha256", OUTER, "buffer");
  wipe(inner);
  wipe(OUTER);
  wipe(digest);
  return result;
}
