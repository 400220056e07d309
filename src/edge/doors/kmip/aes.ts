/** Encrypt and Decrypt with an AES key that only the edge sees: CBC with PKCS5 padding, and GCM. No ECB. */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { allocateSecret, wipe } from "../../../base/wipe.ts";
import { BLOCK_CIPHER_MODE, PADDING, RESULT_REASON, TAG } from "./enumerations.ts";
import { featureNotSupported, invalidField, KmipFailure } from "./failure.ts";
import { Fields } from "./fields.ts";
import { booleanOf, type Item, integerOf, TYPE, unsignedOf } from "./ttlv.ts";

const TAG_LENGTH = 16;
const IV_LENGTH = { cbc: 16, gcm: 12 } as const;

export type AesMode = keyof typeof IV_LENGTH;

/** Fields of Cryptographic Parameters that say nothing about AES: hashing algorithm, key role type, digital signature algorithm. */
const OF_OTHER_ALGORITHMS = [0x420038, 0x420083, 0x4200ae];

/** The mode that the parameters ask for. @throws {KmipFailure} for all but CBC with PKCS5 and GCM with a tag of 16 bytes */
export function readMode(parameters: Item | undefined): AesMode {
  if (parameters === undefined) {
    throw new KmipFailure(
      RESULT_REASON.missingData,
      "The Cryptographic Parameters are missing. Give the Block Cipher Mode GCM, or CBC with the Padding Method PKCS5.",
    );
  }
  const fields = new Fields(parameters);
  const number = (tag: number): number | undefined => {
    const item = fields.optional(tag, TYPE.enumeration, TYPE.integer);
    if (item === undefined) return undefined;
    return item.type === TYPE.integer ? integerOf(item) : unsignedOf(item);
  };
  const mode = number(TAG.blockCipherMode);
  const padding = number(TAG.paddingMethod);
  for (const tag of OF_OTHER_ALGORITHMS) fields.optional(tag, TYPE.enumeration);
  const algorithm = number(TAG.cryptographicAlgorithm) ?? 3;
  fields.optional(TAG.randomIv, TYPE.boolean);
  const ivLength = number(TAG.ivLength);
  const tagLength = number(TAG.tagLength);
  fields.end();
  const name: AesMode | undefined =
    mode === BLOCK_CIPHER_MODE.gcm ? "gcm" : mode === BLOCK_CIPHER_MODE.cbc ? "cbc" : undefined;
  if (name === undefined || algorithm !== 3 || (name === "cbc" && padding !== PADDING.pkcs5)) {
    throw featureNotSupported(
      "The edge encrypts with AES in the Block Cipher Mode GCM, or CBC with the Padding Method PKCS5.",
    );
  }
  if (ivLength !== undefined && ivLength !== IV_LENGTH[name] && ivLength !== IV_LENGTH[name] * 8) {
    throw featureNotSupported(`The IV Length must be ${IV_LENGTH[name]} bytes.`);
  }
  if (tagLength !== undefined && (name !== "gcm" || (tagLength !== TAG_LENGTH && tagLength !== TAG_LENGTH * 8))) {
    throw featureNotSupported(`The Tag Length must be ${TAG_LENGTH} bytes, with GCM.`);
  }
  return name;
}

/** One call does all: streams of parts would need state. @throws {KmipFailure} */
export function refuseParts(payload: Fields): void {
  const correlation = payload.optional(TAG.correlationValue, TYPE.byteString);
  const first = payload.optional(TAG.initIndicator, TYPE.boolean);
  const last = payload.optional(TAG.finalIndicator, TYPE.boolean);
  const partial = (item: Item | undefined): boolean => item !== undefined && !booleanOf(item);
  if (correlation !== undefined || partial(first) || partial(last) || (first === undefined) !== (last === undefined)) {
    throw featureNotSupported("The edge keeps nothing between calls. Encrypt and decrypt the data in one call.");
  }
}

export interface AesInput {
  readonly mode: AesMode;
  readonly key: Uint8Array;
  readonly data: Uint8Array;
  readonly additionalData: Uint8Array | undefined;
}

export interface Encrypted {
  readonly data: Uint8Array;
  readonly iv: Uint8Array;
  /** With GCM. */
  readonly tag: Uint8Array | undefined;
}

/** `iv`: a random one where it is undefined. Keys of 16, 24 or 32 bytes. @throws {KmipFailure} */
export function encrypt({ mode, key, data, additionalData }: AesInput, iv: Uint8Array | undefined): Encrypted {
  const nonce = iv ?? randomBytes(IV_LENGTH[mode]);
  checkIv(mode, nonce);
  checkKey(key);
  checkAdditionalData(mode, additionalData);
  if (mode === "cbc") {
    const cipher = createCipheriv(`aes-${key.length * 8}-cbc`, key, nonce);
    return { data: Buffer.concat([cipher.update(data), cipher.final()]), iv: nonce, tag: undefined };
  }
  const cipher = createCipheriv(gcmName(key), key, nonce, { authTagLength: TAG_LENGTH });
  if (additionalData !== undefined) cipher.setAAD(additionalData);
  const encrypted = Buffer.concat([cipher.update(data), cipher.final()]);
  return { data: encrypted, iv: nonce, tag: cipher.getAuthTag() };
}

/** The caller wipes what is returned. @throws {KmipFailure} */
export function decrypt(
  { mode, key, data, additionalData }: AesInput,
  iv: Uint8Array | undefined,
  tag: Uint8Array | undefined,
): Uint8Array {
  if (iv === undefined) {
    throw new KmipFailure(RESULT_REASON.missingData, "The IV/Counter/Nonce that Encrypt returned is missing.");
  }
  checkIv(mode, iv);
  checkKey(key);
  checkAdditionalData(mode, additionalData);
  if (mode === "gcm" ? tag?.length !== TAG_LENGTH : tag !== undefined) {
    throw invalidField(`GCM takes an Authenticated Encryption Tag of ${TAG_LENGTH} bytes, CBC none.`);
  }
  try {
    if (mode === "cbc") {
      const decipher = createDecipheriv(`aes-${key.length * 8}-cbc`, key, iv);
      return joined(decipher.update(data), decipher.final());
    }
    const decipher = createDecipheriv(gcmName(key), key, iv, { authTagLength: TAG_LENGTH });
    if (additionalData !== undefined) decipher.setAAD(additionalData);
    decipher.setAuthTag(tag!);
    return joined(decipher.update(data), decipher.final());
  } catch {
    throw new KmipFailure(
      RESULT_REASON.cryptographicFailure,
      "The data does not decrypt under this key, IV and additional data: one of them is not what Encrypt was given or returned.",
    );
  }
}

/** Both parts in one buffer, with no copy left. */
function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const whole = allocateSecret(first.length + second.length);
  whole.set(first);
  whole.set(second, first.length);
  wipe(first);
  wipe(second);
  return whole;
}

function gcmName(key: Uint8Array): "aes-128-gcm" | "aes-192-gcm" | "aes-256-gcm" {
  return `aes-${key.length * 8}-gcm` as "aes-256-gcm";
}

function checkIv(mode: AesMode, iv: Uint8Array): void {
  if (iv.length !== IV_LENGTH[mode]) throw invalidField(`The IV/Counter/Nonce must have ${IV_LENGTH[mode]} bytes.`);
}

function checkKey(key: Uint8Array): void {
  if (![16, 24, 32].includes(key.length)) throw invalidField("The object is not an AES key of 128, 192 or 256 bits.");
}

function checkAdditionalData(mode: AesMode, additionalData: Uint8Array | undefined): void {
  if (mode === "cbc" && additionalData !== undefined) throw invalidField("CBC takes no additional data. Use GCM.");
}
