/**
 * How the Core keeps keys at rest: AES-256-GCM, a random nonce each, and additional data that names what the key is and
 * whose, so that one put in another's row does not open.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** What is wrapped: a level of the hierarchy and the names down to it. Whether a version is active is not part of it. */
export type KeyName =
  | readonly ["check"]
  | readonly ["signing", string]
  | readonly ["l2", string]
  | readonly ["l3", string, string, string];

/** `nonce || ciphertext || tag`. `key` and `plaintext` stay the caller's. */
export function wrapKey(key: Uint8Array, name: KeyName, plaintext: Uint8Array): Uint8Array {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  cipher.setAAD(additionalData(name));
  return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

/** The plaintext, in a buffer of the caller's, who wipes it. Throws where key, name or bytes do not fit. */
export function unwrapKey(key: Uint8Array, name: KeyName, wrapped: Uint8Array): Uint8Array {
  const end = wrapped.length - TAG_BYTES;
  if (end < NONCE_BYTES) throw new Error("a wrapped key is cut short");
  const decipher = createDecipheriv("aes-256-gcm", key, wrapped.subarray(0, NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(additionalData(name));
  decipher.setAuthTag(wrapped.subarray(end));
  const plaintext = decipher.update(wrapped.subarray(NONCE_BYTES, end));
  try {
    decipher.final();
  } catch (error) {
    plaintext.fill(0);
    throw error;
  }
  return plaintext;
}

/** Each part behind its length: no two names have one encoding. */
function additionalData(name: KeyName): Buffer {
  const parts: Buffer[] = [Buffer.from("crypto-edge core v1")];
  for (const part of name) {
    const bytes = Buffer.from(part);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(bytes.length);
    parts.push(length, bytes);
  }
  return Buffer.concat(parts);
}
