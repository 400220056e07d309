/** A data key as records use it: what is derived from it, and the two operations. */
import { allocateSecret, wipe } from "../../base/wipe.ts";
import { CryptoEdgeError } from "../client/index.ts";
import { cryptography, NONCE_LENGTH, putNonce, TAG_LENGTH } from "./cryptography.ts";
import { COMMITMENT_LENGTH, deriveRecordKeys, FIXED, OVERHEAD, parseRecordKey, type RecordParts } from "./format.ts";

/** A data key serves at most so many records (random nonces). */
export const RECORDS_PER_KEY_MAX = 2 ** 30;
const VALUE_LENGTH_MAX = 2 ** 31 - 1;

const KEY_LENGTH = 32;
const AAD_START = FIXED.length + COMMITMENT_LENGTH;
const CONTEXT_BYTES_MAX = 8192;
const CIPHER = "aes-256-gcm";
const CIPHER_OPTIONS = { authTagLength: TAG_LENGTH } as const;

export class RecordKey {
  readonly #wrapped: Uint8Array;
  /** K and C. */
  readonly #derived = allocateSecret(KEY_LENGTH + COMMITMENT_LENGTH);
  readonly #key = this.#derived.subarray(0, KEY_LENGTH);
  readonly #commitment: Uint8Array;
  #isWiped = false;

  /** Takes the data key, which is wiped here. */
  constructor(wrapped: Uint8Array, dataKey: Uint8Array) {
    parseRecordKey(wrapped);
    this.#wrapped = wrapped.slice();
    deriveRecordKeys(dataKey, this.#derived);
    wipe(dataKey);
    this.#commitment = this.#derived.slice(KEY_LENGTH);
  }

  get isWiped(): boolean {
    return this.#isWiped;
  }

  seal(value: Uint8Array, context: Uint8Array): Uint8Array {
    this.#mustLive();
    return sealRecord(this.#wrapped, this.#key, this.#commitment, value, context);
  }

  /** @throws {CryptoEdgeError} `decryption_failed`: altered, or another context, or another key's commitment */
  open(parts: RecordParts, context: Uint8Array): Uint8Array {
    this.#mustLive();
    const { bytes, nonceOffset, commitmentOffset, ciphertextOffset, tagOffset } = parts;
    const { createDecipheriv, timingSafeEqual } = cryptography();
    if (!timingSafeEqual(bytes.subarray(commitmentOffset, ciphertextOffset), this.#commitment)) throw doesNotOpen();
    const nonce = bytes.subarray(nonceOffset, commitmentOffset);
    const decipher = createDecipheriv(CIPHER, this.#key, nonce, CIPHER_OPTIONS);
    decipher.setAAD(additionalData(this.#commitment, context));
    decipher.setAuthTag(bytes.subarray(tagOffset));
    const value = decipher.update(bytes.subarray(ciphertextOffset, tagOffset));
    try {
      decipher.final();
    } catch {
      wipe(value);
      throw doesNotOpen();
    }
    return value;
  }

  wipe(): void {
    this.#isWiped = true;
    wipe(this.#derived);
  }

  #mustLive(): void {
    if (this.#isWiped)
      throw new Error("A data key was used after it was wiped: this is a defect of crypto-edge/records.");
  }
}

const ownDerived = allocateSecret(KEY_LENGTH + COMMITMENT_LENGTH);
const ownKey = ownDerived.subarray(0, KEY_LENGTH);
const ownCommitment = ownDerived.subarray(KEY_LENGTH);

/** Seals one record under a data key that no other record has. Takes the data key, which is wiped. */
export function sealUnderOwnKey(
  wrapped: Uint8Array,
  dataKey: Uint8Array,
  value: Uint8Array,
  context: Uint8Array,
): Uint8Array {
  try {
    deriveRecordKeys(dataKey, ownDerived);
    return sealRecord(wrapped, ownKey, ownCommitment, value, context);
  } finally {
    wipe(ownDerived);
    wipe(dataKey);
  }
}

function sealRecord(
  wrapped: Uint8Array,
  key: Uint8Array,
  commitment: Uint8Array,
  value: Uint8Array,
  context: Uint8Array,
): Uint8Array {
  if (value.length > VALUE_LENGTH_MAX)
    throw new CryptoEdgeError("too_large", "A value has at most 2^31 - 1 bytes: seal it as a file.");
  // From Node's pool where it is small: a buffer of its own for each would keep the collector busier than the cipher is.
  const record = Buffer.allocUnsafe(OVERHEAD + wrapped.length + value.length);
  record.set(FIXED);
  record[4] = wrapped.length >>> 8;
  record[5] = wrapped.length;
  record.set(wrapped, 6);
  const nonceOffset = 6 + wrapped.length;
  putNonce(record, nonceOffset);
  record.set(commitment, nonceOffset + NONCE_LENGTH);
  const nonce = record.subarray(nonceOffset, nonceOffset + NONCE_LENGTH);
  const cipher = cryptography().createCipheriv(CIPHER, key, nonce, CIPHER_OPTIONS);
  cipher.setAAD(additionalData(commitment, context));
  record.set(cipher.update(value), nonceOffset + NONCE_LENGTH + COMMITMENT_LENGTH);
  cipher.final();
  record.set(cipher.getAuthTag(), record.length - TAG_LENGTH);
  return record;
}

/** Read by the cipher at once, so that one buffer serves all. */
const additional = new Uint8Array(AAD_START + CONTEXT_BYTES_MAX);
additional.set(FIXED);

function additionalData(commitment: Uint8Array, context: Uint8Array): Uint8Array {
  additional.set(commitment, FIXED.length);
  additional.set(context, AAD_START);
  return additional.subarray(0, AAD_START + context.length);
}

/** One error for all of it, so that nobody learns which. */
function doesNotOpen(): CryptoEdgeError {
  return new CryptoEdgeError(
    "decryption_failed",
    "The record was altered, or the context is not the one of its sealing.",
  );
}
