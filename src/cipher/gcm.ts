/** AES-256-GCM (NIST SP 800-38D) with a 12-byte nonce and a 16-byte tag, synchronously. Keys and plaintexts stay the caller's. */
import { createCipheriv, createDecipheriv } from "node:crypto";
import { wipe } from "../wipe.ts";
import { TAG_LENGTH } from "./blob.ts";

/** No options are passed to node:crypto: a tag of 16 bytes is GCM's default, and saying so costs a tenth of a wrap. */
const ALGORITHM = "aes-256-gcm";

/** Writes ciphertext and tag into `target` from `offset` on; they take `plaintext.length` + 16 bytes. */
export function gcmEncrypt(
  key: Uint8Array,
  nonce: Uint8Array,
  additionalData: Uint8Array,
  plaintext: Uint8Array,
  target: Uint8Array,
  offset: number,
): void {
  const cipher = createCipheriv(ALGORITHM, key, nonce);
  cipher.setAAD(additionalData);
  const ciphertext = cipher.update(plaintext);
  cipher.final();
  target.set(ciphertext, offset);
  target.set(cipher.getAuthTag(), offset + ciphertext.length);
}

/** The plaintext in a new buffer, the caller's to wipe; undefined when the tag does not fit. `tag` has 16 bytes. */
export function gcmDecrypt(
  key: Uint8Array,
  nonce: Uint8Array,
  additionalData: Uint8Array,
  ciphertext: Uint8Array,
  tag: Uint8Array,
): Uint8Array | undefined {
  if (tag.length !== TAG_LENGTH) return undefined;
  const decipher = createDecipheriv(ALGORITHM, key, nonce);
  decipher.setAAD(additionalData);
  decipher.setAuthTag(tag);
  const plaintext = decipher.update(ciphertext);
  try {
    decipher.final();
  } catch {
    wipe(plaintext);
    return undefined;
  }
  return plaintext;
}
