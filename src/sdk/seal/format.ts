/**
 * The sealed file (docs/sealed-file.md): its layout, free of any runtime's cryptography. Format 2 is written; format 1 is read for ever.
 *
 *     format 1   magic 8 "L4SEALED" · format 1 (01) · chunk_log2 1 (16: 64 KiB) · wrapped_len 2 · wrapped key
 *     format 2   magic 8 · format 1 (02) · chunk_log2 1 · commitment 32 · wrapped_len 2 · wrapped key
 *     chunk      AES-256-GCM(key, nonce, up to 64 KiB) || tag 16             repeated; the last one may be shorter
 *     nonce      seven zero bytes · chunk number 4 · 1 for the last chunk, else 0
 *
 * The nonces are the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár: "Online Authenticated-Encryption and its
 * Nonce-Reuse Misuse-Resistance", 2015): a chunk left out, moved, or cut off at the end does not open. The data key is new
 * for each file, so the nonces need no random part. The wrapped key is in no chunk's additional data, so that it can be rewrapped
 * without touching the chunks: it authenticates itself.
 */
import { BLOB_LENGTH_MAX } from "../../edge/cipher/blob.ts";

const MAGIC = new TextEncoder().encode("L4SEALED");
const CHUNK_LOG2 = 16;
const FIXED_LENGTH = MAGIC.length + 2;

export const CHUNK_LENGTH = 2 ** CHUNK_LOG2;
export const CHUNK_TAG_LENGTH = 16;
export const SEALED_CHUNK_LENGTH = CHUNK_LENGTH + CHUNK_TAG_LENGTH;
export const FILE_COMMITMENT_LENGTH = 32;
/** So many bytes hold every header. */
export const SEALED_HEADER_LENGTH_MAX = FIXED_LENGTH + FILE_COMMITMENT_LENGTH + 2 + BLOB_LENGTH_MAX;
const CHUNKS_MAX = 2 ** 32;

/**
 * A sealed file that does not open: not one, cut short, or altered.
 *
 * @example
 * ```ts
 * try {
 *   for await (const piece of sealed.pipeThrough(openStream(edge))) await file.write(piece);
 * } catch (error) {
 *   if (error instanceof SealedFileError) await file.discard();
 *   throw error;
 * }
 * ```
 */
export class SealedFileError extends Error {
  override readonly name = "SealedFileError";
}

export interface SealedHeader {
  readonly format: 1 | 2;
  readonly wrapped: Uint8Array;
  /** Of the data key; undefined in format 1, which has none. */
  readonly commitment: Uint8Array | undefined;
  /** Each chunk's. */
  readonly additionalData: Uint8Array;
  /** Where the first chunk starts. */
  readonly length: number;
}

/** "fixed" of a format: magic, format, chunk_log2. */
function fixedPart(format: 1 | 2): Uint8Array {
  return Uint8Array.of(...MAGIC, format, CHUNK_LOG2);
}

/** HKDF's `info` of format 2: HKDF-SHA-256 without salt gives K in the first 32 bytes, the commitment in the next. */
export function fileKeyInfo(): Uint8Array {
  return Uint8Array.of(...new TextEncoder().encode("crypto-edge sealed file v2"), 0, ...fixedPart(2));
}

/** A header of format 2. */
export function writeSealedHeader(wrapped: Uint8Array, commitment: Uint8Array): Uint8Array {
  return Uint8Array.of(...fixedPart(2), ...commitment, wrapped.length >>> 8, wrapped.length, ...wrapped);
}

/** The header with another wrapped key of the same data key. */
export function replaceWrappedKey(header: SealedHeader, wrapped: Uint8Array): Uint8Array {
  const { format, commitment = new Uint8Array(0) } = header;
  return Uint8Array.of(...fixedPart(format), ...commitment, wrapped.length >>> 8, wrapped.length, ...wrapped);
}

/**
 * Whether these bytes, the first eight or more of a file, are how a sealed file starts (docs/sealed-file.md).
 *
 * @example
 * ```ts
 * const start = new Uint8Array(await file.slice(0, 8).arrayBuffer());
 * const content = isSealedFile(start) ? file.stream().pipeThrough(openStream(edge)) : file.stream();
 * ```
 */
export function isSealedFile(start: Uint8Array): boolean {
  return MAGIC.every((byte, index) => start[index] === byte);
}

/**
 * @param start the file's first `SEALED_HEADER_LENGTH_MAX` bytes, or all of a shorter one
 * @throws {SealedFileError}
 */
export function readSealedHeader(start: Uint8Array): SealedHeader {
  if (!isSealedFile(start)) throw new SealedFileError("This is not a sealed file: it does not start with L4SEALED.");
  const format = start[MAGIC.length];
  if ((format !== 1 && format !== 2) || start[MAGIC.length + 1] !== CHUNK_LOG2) {
    throw new SealedFileError("The sealed file's format is unknown to this version.");
  }
  const lengthOffset = FIXED_LENGTH + (format === 2 ? FILE_COMMITMENT_LENGTH : 0);
  const wrappedOffset = lengthOffset + 2;
  const wrappedLength = start.length < wrappedOffset ? 0 : (start[lengthOffset]! << 8) | start[lengthOffset + 1]!;
  const length = wrappedOffset + wrappedLength;
  if (wrappedLength === 0 || start.length < length) {
    throw new SealedFileError("The sealed file ends inside its header.");
  }
  return {
    format,
    wrapped: start.slice(wrappedOffset, length),
    commitment: format === 2 ? start.slice(FIXED_LENGTH, lengthOffset) : undefined,
    additionalData: start.slice(0, lengthOffset),
    length,
  };
}

/** The nonce of a chunk, counted from 0. */
export function chunkNonce(number: number, isLast: boolean): Uint8Array<ArrayBuffer> {
  if (number >= CHUNKS_MAX) throw new SealedFileError("The file is too long for this format (256 TiB).");
  const nonce = new Uint8Array(12);
  new DataView(nonce.buffer).setUint32(7, number);
  nonce[11] = isLast ? 1 : 0;
  return nonce;
}

export function chunkDoesNotOpen(number: number): SealedFileError {
  return new SealedFileError(
    `The sealed file was altered or cut short: chunk ${number} (from byte ${number * CHUNK_LENGTH} of the content) does not open.`,
  );
}

/** The commitment is not the data key's: nothing of the file is opened. */
export function headerDoesNotOpen(): SealedFileError {
  return new SealedFileError("The sealed file was altered: its header is not of the data key that it holds.");
}
