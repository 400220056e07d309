/**
 * The memory that libcrypto reads and writes, outside the runtime's heap: one region, whose addresses are taken once. Its fields
 * are at fixed places, so a message costs no look-up and no conversion of a buffer.
 */
import { TAG_LENGTH, VALUE_BLOB_LENGTH_MAX, VALUE_LENGTH_MAX } from "../blob.ts";
import type { TakeMemory } from "../cipher.ts";
import { CONTEXT_BYTES_MAX } from "../context.ts";

const PARAMETER_LENGTH = 40;
const [UTF8_STRING, OCTET_STRING] = [4, 5];

/** Places in the region. Those that hold secrets at times: what was derived, the pool, the plaintext. */
export const POOL_LENGTH = 4096;
export const DERIVED = 0;
export const POOL = 64;
const TEXTS = POOL + POOL_LENGTH;
/** Where EVP writes how many bytes it gave; nobody reads that, since it is known. */
export const LENGTH_OUT = TEXTS + 64;
/** The bytes that EVP's "final" may write: none, for GCM. */
export const FINAL_OUT = LENGTH_OUT + 8;
const TAG_PARAMETERS = FINAL_OUT + 24;
const DERIVATION_PARAMETERS = TAG_PARAMETERS + 2 * PARAMETER_LENGTH;
export const SALT = DERIVATION_PARAMETERS + 5 * PARAMETER_LENGTH;
const SALT_LENGTH_MAX = 64;
export const INFO = SALT + SALT_LENGTH_MAX;
const INFO_LENGTH_MAX = 512;
/** A whole blob: what is sealed is made here, what is opened is put here. */
export const BLOB = INFO + INFO_LENGTH_MAX;
const BLOB_LENGTH = VALUE_BLOB_LENGTH_MAX + TAG_LENGTH;
export const CONTEXT = wholeWords(BLOB + BLOB_LENGTH);
/** A plaintext: what the caller gave, or is to get. */
export const PLAINTEXT = CONTEXT + CONTEXT_BYTES_MAX;
const REGION_LENGTH = PLAINTEXT + VALUE_LENGTH_MAX;
const PAGE_LENGTH = 4096;
const VIEWS_MAX = 512;

const NAMES = {
  digest: TEXTS,
  sha256: TEXTS + 8,
  key: TEXTS + 16,
  salt: TEXTS + 24,
  info: TEXTS + 32,
  tag: TEXTS + 40,
};

export class Scratch {
  readonly bytes: Uint8Array;
  readonly address: number;
  /** Parameters of a context: the tag. */
  readonly tagParameters: number;
  /** Parameters of HKDF: the digest, the key, the salt, the info. */
  readonly derivationParameters: number;
  readonly #view: DataView;
  readonly #words: Uint32Array;
  readonly #close: () => void;
  /** Views by their length: blobs of data keys have few lengths, and are made all the time. */
  readonly #blobs: (Uint8Array | undefined)[] = new Array(VIEWS_MAX).fill(undefined);
  readonly #plaintexts: (Uint8Array | undefined)[] = new Array(VIEWS_MAX).fill(undefined);
  #header: Uint8Array | undefined;
  #tag = 0;

  constructor(take: TakeMemory, addressOf: (bytes: Uint8Array) => number) {
    const region = take(Math.ceil(REGION_LENGTH / PAGE_LENGTH) * PAGE_LENGTH);
    this.bytes = region.bytes;
    this.#close = () => region.close();
    this.address = addressOf(region.bytes);
    this.#view = new DataView(region.bytes.buffer, region.bytes.byteOffset, region.bytes.length);
    this.#words = new Uint32Array(region.bytes.buffer, region.bytes.byteOffset, region.bytes.length / 4);
    this.tagParameters = this.address + TAG_PARAMETERS;
    this.derivationParameters = this.address + DERIVATION_PARAMETERS;
    for (const [name, place] of Object.entries(NAMES)) this.bytes.set(new TextEncoder().encode(name), place);
    this.#setParameter(TAG_PARAMETERS, NAMES.tag, OCTET_STRING, 0, TAG_LENGTH);
    this.#setParameter(DERIVATION_PARAMETERS, NAMES.digest, UTF8_STRING, this.address + NAMES.sha256, 6);
  }

  /** Puts a header where the blob is to be made, with room behind it for so many bytes and the tag. */
  putHeader(header: Uint8Array, length: number): void {
    if (header.length + length + TAG_LENGTH > BLOB_LENGTH) throw new RangeError("No blob is so long.");
    // Made with the same header all the time, but for the nonce: it is there already.
    if (this.#header === header) return;
    this.bytes.set(header, BLOB);
    this.#header = header;
  }

  /** Puts a whole blob there. */
  putBlob(blob: Uint8Array): void {
    if (blob.length > BLOB_LENGTH) throw new RangeError("No blob is so long.");
    this.#header = undefined;
    this.bytes.set(blob, BLOB);
  }

  /** Puts a context where the library can read it: to hand it a small buffer of the runtime's would take longer. */
  putContext(context: Uint8Array): void {
    if (context.length > CONTEXT_BYTES_MAX) throw new RangeError("No context is so long.");
    this.bytes.set(context, CONTEXT);
  }

  putPlaintext(plaintext: Uint8Array): void {
    if (plaintext.length > VALUE_LENGTH_MAX) throw new RangeError("No value is so long.");
    this.bytes.set(plaintext, PLAINTEXT);
  }

  wipePlaintext(length: number): void {
    if (length > VIEWS_MAX) this.bytes.fill(0, PLAINTEXT, PLAINTEXT + length);
    else this.wipeWords(PLAINTEXT, length);
  }

  takePlaintext(length: number): Uint8Array {
    return this.#take(this.#plaintexts, PLAINTEXT, length);
  }

  /** A copy of the first `length` bytes of the blob. */
  takeBlob(length: number): Uint8Array {
    return this.#take(this.#blobs, BLOB, length);
  }

  #take(views: (Uint8Array | undefined)[], place: number, length: number): Uint8Array {
    let view = views[length];
    if (view === undefined) {
      view = this.bytes.subarray(place, place + length);
      if (length < VIEWS_MAX) views[length] = view;
    }
    const taken = new Uint8Array(length);
    taken.set(view);
    return taken;
  }

  /** Wipes `length` bytes, rounded up to whole words, from a place that a word begins at. */
  wipeWords(place: number, length: number): void {
    const words = this.#words;
    const end = (place + length + 3) >>> 2;
    for (let index = place >>> 2; index < end; index++) words[index] = 0;
  }

  /** Where the tag is that `tagParameters` gets or sets: in the region, from this place on. */
  setTag(place: number): void {
    if (this.#tag === place) return;
    this.#tag = place;
    this.#setData(TAG_PARAMETERS, this.address + place, TAG_LENGTH);
  }

  /** What HKDF is to take: the key at an address, the others copied here. */
  setDerivation(key: number, keyLength: number, salt: Uint8Array, info: Uint8Array): void {
    if (salt.length > SALT_LENGTH_MAX || info.length > INFO_LENGTH_MAX) {
      throw new RangeError("The salt or the info is longer than any blob's.");
    }
    this.bytes.set(salt, SALT);
    this.bytes.set(info, INFO);
    const [, second, third, fourth] = [0, 1, 2, 3].map((index) => DERIVATION_PARAMETERS + index * PARAMETER_LENGTH);
    this.#setParameter(second!, NAMES.key, OCTET_STRING, key, keyLength);
    this.#setParameter(third!, NAMES.salt, OCTET_STRING, this.address + SALT, salt.length);
    this.#setParameter(fourth!, NAMES.info, OCTET_STRING, this.address + INFO, info.length);
  }

  close(): void {
    this.#close();
  }

  /** An `OSSL_PARAM`: name, type, data, its size, and the size that comes back. One of zeros ends a list. */
  #setParameter(place: number, name: number, type: number, data: number, length: number): void {
    this.#view.setBigUint64(place, BigInt(this.address + name), true);
    this.#view.setUint32(place + 8, type, true);
    this.#setData(place, data, length);
    this.#view.setBigInt64(place + 32, -1n, true);
  }

  #setData(place: number, data: number, length: number): void {
    // Two halves: an address is an exact number, and a BigInt would be garbage on the hot path.
    this.#view.setUint32(place + 16, data >>> 0, true);
    this.#view.setUint32(place + 20, Math.floor(data / 2 ** 32), true);
    this.#view.setUint32(place + 24, length, true);
  }
}

/** A place where a word begins, so that it can be wiped by words. */
export function wholeWords(length: number): number {
  return (length + 3) & ~3;
}
