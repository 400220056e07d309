/** The chunks of one file, in order, by `node:crypto`. */
import { createCipheriv, createDecipheriv, hkdfSync, timingSafeEqual } from "node:crypto";
import { wipe } from "../../base/wipe.ts";
import {
  CHUNK_TAG_LENGTH,
  chunkDoesNotOpen,
  chunkNonce,
  FILE_COMMITMENT_LENGTH,
  fileKeyInfo,
  headerDoesNotOpen,
  readSealedHeader,
  SealedFileError,
  type SealedHeader,
  writeSealedHeader,
} from "./format.ts";

const CIPHER = "aes-256-gcm";
const OPTIONS = { authTagLength: CHUNK_TAG_LENGTH } as const;
const KEY_LENGTH = 32;

export class ChunkStream {
  readonly #key: Uint8Array;
  readonly #additionalData: Uint8Array;
  #number = 0;

  private constructor(key: Uint8Array, additionalData: Uint8Array) {
    this.#key = key;
    this.#additionalData = additionalData;
  }

  /** For a new file (format 2), with its header. The data key stays the caller's. */
  static seal(dataKey: Uint8Array, wrapped: Uint8Array): { header: Uint8Array; stream: ChunkStream } {
    const derived = derive(dataKey);
    const header = writeSealedHeader(wrapped, derived.subarray(KEY_LENGTH));
    return { header, stream: new ChunkStream(takeKey(derived), readSealedHeader(header).additionalData) };
  }

  /**
   * For a file that is read, of either format. The data key stays the caller's.
   *
   * @throws {SealedFileError} when the header commits to another key, or holds one of another length
   */
  static open(dataKey: Uint8Array, header: SealedHeader): ChunkStream {
    if (dataKey.length !== KEY_LENGTH) throw headerDoesNotOpen();
    if (header.commitment === undefined) return new ChunkStream(Uint8Array.from(dataKey), header.additionalData);
    const derived = derive(dataKey);
    const commits = timingSafeEqual(derived.subarray(KEY_LENGTH), header.commitment);
    const key = takeKey(derived);
    if (!commits) {
      wipe(key);
      throw headerDoesNotOpen();
    }
    return new ChunkStream(key, header.additionalData);
  }

  /** Ciphertext and tag of the next chunk. */
  seal(chunk: Uint8Array, isLast: boolean): [ciphertext: Uint8Array, tag: Uint8Array] {
    const cipher = createCipheriv(CIPHER, this.#key, chunkNonce(this.#number++, isLast), OPTIONS);
    cipher.setAAD(this.#additionalData);
    const ciphertext = cipher.update(chunk);
    cipher.final();
    return [ciphertext, cipher.getAuthTag()];
  }

  /** @throws {SealedFileError} for a chunk that was altered, moved, or is not the last although the file ends. */
  open(sealed: Uint8Array, isLast: boolean): Uint8Array {
    const number = this.#number++;
    if (sealed.length < CHUNK_TAG_LENGTH) throw new SealedFileError("The sealed file was cut short.");
    const tagOffset = sealed.length - CHUNK_TAG_LENGTH;
    const decipher = createDecipheriv(CIPHER, this.#key, chunkNonce(number, isLast), OPTIONS);
    decipher.setAAD(this.#additionalData);
    decipher.setAuthTag(sealed.subarray(tagOffset));
    const chunk = decipher.update(sealed.subarray(0, tagOffset));
    try {
      decipher.final();
    } catch {
      throw chunkDoesNotOpen(number);
    }
    return chunk;
  }

  wipe(): void {
    wipe(this.#key);
  }
}

function derive(dataKey: Uint8Array): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", dataKey, "", fileKeyInfo(), KEY_LENGTH + FILE_COMMITMENT_LENGTH));
}

/** The key alone; the rest is no secret. */
function takeKey(derived: Uint8Array): Uint8Array {
  const key = new Uint8Array(new ArrayBuffer(KEY_LENGTH));
  key.set(derived.subarray(0, KEY_LENGTH));
  wipe(derived);
  return key;
}
