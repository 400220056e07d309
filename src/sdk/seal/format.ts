/**
 * The sealed file (docs/sealed-file.md): a header with the wrapped data key, then the file in chunks.
 *
 *     magic 8 "L4SEALED" · format 1 (01) · chunk_log2 1 (16: 64 KiB) · wrapped_len 2 · wrapped key
 *     chunk: AES-256-GCM(data key, nonce, up to 64 KiB) || tag 16            repeated; the last one may be shorter
 *     nonce: seven zero bytes · chunk number 4 · 1 for the last chunk, else 0
 *
 * The nonces are the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár: "Online Authenticated-Encryption and its
 * Nonce-Reuse Misuse-Resistance", 2015): a chunk left out, moved, or cut off at the end does not open. The data key is new
 * for each file, so the nonces need no random part. Magic, format and chunk size are each chunk's additional data; the wrapped
 * key is not, so that it can be rewrapped without touching the chunks: it authenticates itself.
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import { BLOB_LENGTH_MAX } from "../../edge/cipher/blob.ts";

const MAGIC = new TextEncoder().encode("L4SEALED");
const FORMAT = 1;
const CHUNK_LOG2 = 16;

export const CHUNK_LENGTH = 2 ** CHUNK_LOG2;
export const CHUNK_TAG_LENGTH = 16;
export const SEALED_CHUNK_LENGTH = CHUNK_LENGTH + CHUNK_TAG_LENGTH;
const FIXED_HEADER_LENGTH = MAGIC.length + 4;
export const SEALED_HEADER_LENGTH_MAX = FIXED_HEADER_LENGTH + BLOB_LENGTH_MAX;
const CHUNKS_MAX = 2 ** 32;

/** A sealed file that does not open: not one, cut short, or altered. */
export class SealedFileError extends Error {
  override readonly name = "SealedFileError";
}

export interface SealedHeader {
  readonly wrapped: Uint8Array;
  /** Where the first chunk starts. */
  readonly length: number;
}

export function writeSealedHeader(wrapped: Uint8Array): Uint8Array {
  const header = new Uint8Array(FIXED_HEADER_LENGTH + wrapped.length);
  header.set(MAGIC);
  header[MAGIC.length] = FORMAT;
  header[MAGIC.length + 1] = CHUNK_LOG2;
  new DataView(header.buffer).setUint16(MAGIC.length + 2, wrapped.length);
  header.set(wrapped, FIXED_HEADER_LENGTH);
  return header;
}

export function isSealedFile(start: Uint8Array): boolean {
  return MAGIC.every((byte, index) => start[index] === byte);
}

/** @throws {SealedFileError} */
export function readSealedHeader(start: Uint8Array): SealedHeader {
  if (!isSealedFile(start)) throw new SealedFileError("This is not a sealed file: it does not start with L4SEALED.");
  if (start[MAGIC.length] !== FORMAT || start[MAGIC.length + 1] !== CHUNK_LOG2) {
    throw new SealedFileError("The sealed file's format is unknown to this version.");
  }
  const wrappedLength =
    start.length < FIXED_HEADER_LENGTH ? 0 : (start[MAGIC.length + 2]! << 8) | start[MAGIC.length + 3]!;
  const length = FIXED_HEADER_LENGTH + wrappedLength;
  if (wrappedLength === 0 || start.length < length)
    throw new SealedFileError("The sealed file ends inside its header.");
  return { wrapped: start.subarray(FIXED_HEADER_LENGTH, length), length };
}

/** Seals or opens the chunks of one file, in order. The data key stays the caller's, who wipes it. */
export class ChunkStream {
  readonly #dataKey: Uint8Array;
  readonly #additionalData = writeSealedHeader(new Uint8Array(0)).subarray(0, MAGIC.length + 2);
  readonly #nonce = new Uint8Array(12);
  readonly #nonceView = new DataView(this.#nonce.buffer);
  #number = 0;

  constructor(dataKey: Uint8Array) {
    this.#dataKey = dataKey;
  }

  /** Ciphertext and tag of the next chunk. */
  seal(chunk: Uint8Array, isLast: boolean): [ciphertext: Uint8Array, tag: Uint8Array] {
    const cipher = createCipheriv("aes-256-gcm", this.#dataKey, this.#nextNonce(isLast), {
      authTagLength: CHUNK_TAG_LENGTH,
    });
    cipher.setAAD(this.#additionalData);
    const ciphertext = cipher.update(chunk);
    cipher.final();
    return [ciphertext, cipher.getAuthTag()];
  }

  /** @throws {SealedFileError} for a chunk that was altered, moved, or is not the last although the file ends. */
  open(sealed: Uint8Array, isLast: boolean): Uint8Array {
    const number = this.#number;
    if (sealed.length < CHUNK_TAG_LENGTH) throw new SealedFileError("The sealed file was cut short.");
    const tagOffset = sealed.length - CHUNK_TAG_LENGTH;
    const decipher = createDecipheriv("aes-256-gcm", this.#dataKey, this.#nextNonce(isLast), {
      authTagLength: CHUNK_TAG_LENGTH,
    });
    decipher.setAAD(this.#additionalData);
    decipher.setAuthTag(sealed.subarray(tagOffset));
    const chunk = decipher.update(sealed.subarray(0, tagOffset));
    try {
      decipher.final();
    } catch {
      throw new SealedFileError(
        `The sealed file was altered or cut short: chunk ${number} (from byte ${number * CHUNK_LENGTH} of the content) does not open.`,
      );
    }
    return chunk;
  }

  #nextNonce(isLast: boolean): Uint8Array {
    if (this.#number === CHUNKS_MAX) throw new SealedFileError("The file is too long for this format (256 TiB).");
    this.#nonceView.setUint32(7, this.#number++);
    this.#nonce[11] = isLast ? 1 : 0;
    return this.#nonce;
  }
}
