/** A data key as records use it: what is derived from it, and the two operations. */
import { wipe } from "../../base/wipe.ts";
import { CryptoEdgeError } from "../client/index.ts";
import { cryptography, NONCE_LENGTH, putNonce, TAG_LENGTH } from "./cryptography.ts";
import { COMMITMENT_LENGTH, deriveRecordKeys, FIXED, OVERHEAD, type RecordParts, recordStart } from "./format.ts";

/** A data key serves at most so many records (random nonces). */
export const RECORDS_PER_KEY_MAX = 2 ** 30;
export const VALUE_LENGTH_MAX = 2 ** 31 - 1;

const AAD_START = FIXED.length + COMMITMENT_LENGTH;
const CIPHER = "aes-256-gcm";
const CIPHER_OPTIONS = { authTagLength: TAG_LENGTH } as const;

export class RecordKey {
  /** Everything of a record up to its nonce. */
  readonly #start: Uint8Array;
  readonly #derived: Uint8Array;
  readonly #key: Uint8Array;
  readonly #commitment: Uint8Array;
  /** Additional data of a record without a context. */
  readonly #fixedAndCommitment: Uint8Array;
  #isWiped = false;

  /** Takes the data key, which is wiped here. */
  constructor(wrapped: Uint8Array, dataKey: Uint8Array) {
    this.#start = recordStart(wrapped);
    this.#derived = deriveRecordKeys(dataKey);
    wipe(dataKey);
    this.#key = this.#derived.subarray(0, 32);
    this.#commitment = this.#derived.slice(32);
    this.#fixedAndCommitment = new Uint8Array(AAD_START);
    this.#fixedAndCommitment.set(FIXED);
    this.#fixedAndCommitment.set(this.#commitment, FIXED.length);
  }

  get isWiped(): boolean {
    return this.#isWiped;
  }

  seal(value: Uint8Array, context: Uint8Array): Uint8Array {
    this.#mustLive();
    if (value.length > VALUE_LENGTH_MAX)
      throw new CryptoEdgeError("too_large", "A value has at most 2^31 - 1 bytes: seal it as a file.");
    const start = this.#start;
    const record = new Uint8Array(start.length - 6 + OVERHEAD + value.length);
    record.set(start);
    putNonce(record, start.length);
    const nonce = record.subarray(start.length, start.length + NONCE_LENGTH);
    record.set(this.#commitment, start.length + NONCE_LENGTH);
    const cipher = cryptography().createCipheriv(CIPHER, this.#key, nonce, CIPHER_OPTIONS);
    cipher.setAAD(this.#additionalData(context));
    record.set(cipher.update(value), start.length + NONCE_LENGTH + COMMITMENT_LENGTH);
    cipher.final();
    record.set(cipher.getAuthTag(), record.length - TAG_LENGTH);
    return record;
  }

  /** @throws {CryptoEdgeError} `decryption_failed`: altered, or another context, or another key's commitment */
  open(
    { bytes, nonceOffset, commitmentOffset, ciphertextOffset, tagOffset }: RecordParts,
    context: Uint8Array,
  ): Uint8Array {
    this.#mustLive();
    const { createDecipheriv, timingSafeEqual } = cryptography();
    if (!timingSafeEqual(bytes.subarray(commitmentOffset, ciphertextOffset), this.#commitment)) throw doesNotOpen();
    const nonce = bytes.subarray(nonceOffset, commitmentOffset);
    const decipher = createDecipheriv(CIPHER, this.#key, nonce, CIPHER_OPTIONS);
    decipher.setAAD(this.#additionalData(context));
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

  #additionalData(context: Uint8Array): Uint8Array {
    if (context.length === 0) return this.#fixedAndCommitment;
    const data = new Uint8Array(AAD_START + context.length);
    data.set(this.#fixedAndCommitment);
    data.set(context, AAD_START);
    return data;
  }

  #mustLive(): void {
    if (this.#isWiped)
      throw new Error("A data key was used after it was wiped: this is a defect of crypto-edge/records.");
  }
}

/** One error for all of it, so that nobody learns which. */
export function doesNotOpen(): CryptoEdgeError {
  return new CryptoEdgeError(
    "decryption_failed",
    "The record was altered, or the context is not the one of its sealing.",
  );
}
