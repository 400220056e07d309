/** The key of one sealed file, by the runtime's WebCrypto: the same on servers, workers and in browsers. */
import { wipe } from "../../base/wipe.ts";
import {
  CHUNK_TAG_LENGTH,
  chunkDoesNotOpen,
  chunkNonce,
  FILE_COMMITMENT_LENGTH,
  fileKeyInfo,
  headerDoesNotOpen,
  type SealedHeader,
} from "../seal/format.ts";

const KEY_LENGTH = 32;

/** Chunks of a file, each by its number. The key can't be read out again. */
export class FileKey {
  readonly #key: CryptoKey;
  readonly #additionalData: Uint8Array<ArrayBuffer>;

  private constructor(key: CryptoKey, additionalData: Uint8Array) {
    this.#key = key;
    this.#additionalData = Uint8Array.from(additionalData);
  }

  /** For a new file: the key, and what its header commits to. Takes the data key, which is wiped. */
  static async derive(
    dataKey: Uint8Array,
  ): Promise<{ commitment: Uint8Array; key(additionalData: Uint8Array): Promise<FileKey> }> {
    const derived = await deriveFileKeys(dataKey);
    return {
      commitment: derived.slice(KEY_LENGTH),
      async key(additionalData) {
        return new FileKey(await importKey(derived.subarray(0, KEY_LENGTH)), additionalData);
      },
    };
  }

  /**
   * For a file that is read, of either format. Takes the data key, which is wiped.
   *
   * @throws {SealedFileError} when the header commits to another key
   */
  static async open(dataKey: Uint8Array, { commitment, additionalData }: SealedHeader): Promise<FileKey> {
    if (commitment === undefined) return new FileKey(await importKey(dataKey), additionalData);
    const derived = await deriveFileKeys(dataKey);
    const commits = isEqual(derived.subarray(KEY_LENGTH), commitment);
    if (commits) return new FileKey(await importKey(derived.subarray(0, KEY_LENGTH)), additionalData);
    wipe(derived);
    throw headerDoesNotOpen();
  }

  async seal(chunk: Uint8Array, number: number, isLast: boolean): Promise<Uint8Array> {
    return new Uint8Array(
      await crypto.subtle.encrypt(this.#parameters(number, isLast), this.#key, chunk as BufferSource),
    );
  }

  /** @throws {SealedFileError} */
  async open(sealed: Uint8Array, number: number, isLast: boolean): Promise<Uint8Array> {
    if (sealed.length < CHUNK_TAG_LENGTH) throw chunkDoesNotOpen(number);
    try {
      return new Uint8Array(
        await crypto.subtle.decrypt(this.#parameters(number, isLast), this.#key, sealed as BufferSource),
      );
    } catch {
      throw chunkDoesNotOpen(number);
    }
  }

  #parameters(number: number, isLast: boolean): AesGcmParams {
    return {
      name: "AES-GCM",
      iv: chunkNonce(number, isLast),
      additionalData: this.#additionalData,
      tagLength: CHUNK_TAG_LENGTH * 8,
    };
  }
}

/** Wipes the bytes that it takes. */
async function importKey(bytes: Uint8Array): Promise<CryptoKey> {
  try {
    return await crypto.subtle.importKey("raw", bytes as BufferSource, "AES-GCM", false, ["encrypt", "decrypt"]);
  } finally {
    wipe(bytes);
  }
}

/** K and the commitment. Wipes the data key. */
async function deriveFileKeys(dataKey: Uint8Array): Promise<Uint8Array> {
  try {
    const key = await crypto.subtle.importKey("raw", dataKey as BufferSource, "HKDF", false, ["deriveBits"]);
    const parameters = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(0), info: fileKeyInfo() as BufferSource };
    return new Uint8Array(await crypto.subtle.deriveBits(parameters, key, (KEY_LENGTH + FILE_COMMITMENT_LENGTH) * 8));
  } finally {
    wipe(dataKey);
  }
}

/** In constant time: WebCrypto has no such comparison. */
function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length;
  for (let index = 0; index < a.length; index++) difference |= a[index]! ^ b[index]!;
  return difference === 0;
}
