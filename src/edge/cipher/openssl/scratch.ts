/**
 * The memory that libcrypto reads and writes, outside the runtime's heap: one region, whose addresses are taken once. Its fields
 * are at fixed places, so a message costs no look-up and no conversion of a buffer.
 */
import { NONCE_LENGTH, TAG_LENGTH, VALUE_BLOB_LENGTH_MAX } from "../blob.ts";
import type { TakeMemory } from "../cipher.ts";

const PARAMETER_LENGTH = 40;
const [UTF8_STRING, OCTET_STRING] = [4, 5];

/** Places in the region. Those that hold secrets at times: what was derived, and the pool. */
export const POOL_LENGTH = 4096;
export const DERIVED = 0;
export const POOL = 64;
const TEXTS = POOL + POOL_LENGTH;
/** Where EVP writes how many bytes it gave; nobody reads that, since it is known. */
export const LENGTH_OUT = TEXTS + 128;
/** The bytes that EVP's "final" may write: none, for GCM. */
export const FINAL_OUT = LENGTH_OUT + 8;
const SEALING_PARAMETERS = FINAL_OUT + 24;
const OPENING_PARAMETERS = SEALING_PARAMETERS + 2 * PARAMETER_LENGTH;
const READY_PARAMETERS = OPENING_PARAMETERS + 3 * PARAMETER_LENGTH;
const DERIVATION_PARAMETERS = READY_PARAMETERS + 2 * PARAMETER_LENGTH;
const SALT = DERIVATION_PARAMETERS + 5 * PARAMETER_LENGTH;
const SALT_LENGTH_MAX = 64;
const INFO = SALT + SALT_LENGTH_MAX;
const INFO_LENGTH_MAX = 512;
/** A whole blob: what is sealed is made here, what is opened is put here. */
export const BLOB = INFO + INFO_LENGTH_MAX;
const BLOB_LENGTH = VALUE_BLOB_LENGTH_MAX + TAG_LENGTH;
const REGION_LENGTH = BLOB + BLOB_LENGTH;
const PAGE_LENGTH = 4096;
const VIEWS_MAX = 512;

/** What the library calls the parameters, and where their names are. */
const NAMES = {
  digest: TEXTS,
  sha256: TEXTS + 16,
  key: TEXTS + 32,
  salt: TEXTS + 48,
  info: TEXTS + 64,
  tag: TEXTS + 80,
  tlsivinv: TEXTS + 96,
  tlsivfixed: TEXTS + 112,
};
/** The shortest that the library takes for what the nonces of one connection of TLS have in common. */
const FIXED_LENGTH = 4;

export class Scratch {
  readonly bytes: Uint8Array;
  readonly address: number;
  /** Parameters that make a context ready for opening: from then on it takes `openingParameters`. */
  readonly readyParameters: number;
  /** Parameters of HKDF: the digest, the key, the salt, the info. */
  readonly derivationParameters: number;
  readonly #view: DataView;
  readonly #words: Uint32Array;
  readonly #close: () => void;
  /** Views by their length: blobs of data keys have few lengths, and are made all the time. */
  readonly #blobs: (Uint8Array | undefined)[] = new Array(VIEWS_MAX).fill(undefined);
  #header: Uint8Array | undefined;
  /** Where the parameters of the last message had the tag, and the nonce. */
  #sealedTag = 0;
  #openedTag = 0;
  #openedNonce = 0;

  constructor(take: TakeMemory, addressOf: (bytes: Uint8Array) => number) {
    const region = take(Math.ceil(REGION_LENGTH / PAGE_LENGTH) * PAGE_LENGTH);
    this.bytes = region.bytes;
    this.#close = () => region.close();
    this.address = addressOf(region.bytes);
    this.#view = new DataView(region.bytes.buffer, region.bytes.byteOffset, region.bytes.length);
    this.#words = new Uint32Array(region.bytes.buffer, region.bytes.byteOffset, region.bytes.length / 4);
    this.readyParameters = this.address + READY_PARAMETERS;
    this.derivationParameters = this.address + DERIVATION_PARAMETERS;
    for (const [name, place] of Object.entries(NAMES)) this.bytes.set(new TextEncoder().encode(name), place);
    const second = OPENING_PARAMETERS + PARAMETER_LENGTH;
    this.#setParameter(SEALING_PARAMETERS, NAMES.tag, OCTET_STRING, 0, TAG_LENGTH);
    this.#setParameter(OPENING_PARAMETERS, NAMES.tag, OCTET_STRING, 0, TAG_LENGTH);
    this.#setParameter(second, NAMES.tlsivinv, OCTET_STRING, 0, NONCE_LENGTH);
    // Of whatever bytes: each message brings the whole nonce.
    this.#setParameter(READY_PARAMETERS, NAMES.tlsivfixed, OCTET_STRING, this.address + FINAL_OUT, FIXED_LENGTH);
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

  /** A copy of the first `length` bytes of the blob. */
  takeBlob(length: number): Uint8Array {
    let view = this.#blobs[length];
    if (view === undefined) {
      view = this.bytes.subarray(BLOB, BLOB + length);
      if (length < VIEWS_MAX) this.#blobs[length] = view;
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

  /** Parameters of a context that is to give the tag, at this place in the region. */
  sealingParameters(tag: number): number {
    if (this.#sealedTag !== tag) {
      this.#sealedTag = tag;
      this.#setData(SEALING_PARAMETERS, this.address + tag, TAG_LENGTH);
    }
    return this.address + SEALING_PARAMETERS;
  }

  /** Parameters of a context that is to open what has its tag and its nonce at these places in the region. */
  openingParameters(tag: number, nonce: number): number {
    if (this.#openedTag !== tag || this.#openedNonce !== nonce) {
      this.#openedTag = tag;
      this.#openedNonce = nonce;
      this.#setData(OPENING_PARAMETERS, this.address + tag, TAG_LENGTH);
      this.#setData(OPENING_PARAMETERS + PARAMETER_LENGTH, this.address + nonce, NONCE_LENGTH);
    }
    return this.address + OPENING_PARAMETERS;
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
