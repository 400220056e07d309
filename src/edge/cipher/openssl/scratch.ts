/**
 * The memory that libcrypto reads and writes, outside the runtime's heap: one region, whose addresses are taken once. Its fields
 * are at fixed places, so a message costs no look-up and no conversion of a buffer.
 */
import { NONCE_LENGTH, TAG_LENGTH, VALUE_BLOB_LENGTH_MAX } from "../blob.ts";
import type { TakeMemory } from "../cipher.ts";
import { DERIVED_LENGTH } from "../key-derivation.ts";

/** Random bytes drawn ahead. */
export const POOL_LENGTH = 4096;
const SALT_LENGTH_MAX = 64;
const INFO_LENGTH_MAX = 512;
/** The shortest that the library takes for what the nonces of one connection of TLS have in common. */
const FIXED_LENGTH = 4;
const PARAMETER_LENGTH = 40;
const [UTF8_STRING, OCTET_STRING] = [4, 5];
const PAGE_LENGTH = 4096;
const VIEWS_MAX = 512;

/** The library's names of what it is given. */
const NAMES = ["digest", "SHA256", "key", "salt", "info", "tag", "tlsivinv", "tlsivfixed"] as const;
type Name = (typeof NAMES)[number];
const NAME_LENGTH = 16;

/** What lies one behind the other in the region, and how long each is. Secrets are, at times, in the first two. */
const PLACES = placesOf({
  derived: DERIVED_LENGTH,
  pool: POOL_LENGTH,
  /** A whole blob: what is sealed is made here, what is opened is put here. */
  blob: VALUE_BLOB_LENGTH_MAX,
  salt: SALT_LENGTH_MAX,
  info: INFO_LENGTH_MAX,
  /** Where EVP writes how many bytes it gave; nobody reads that, since it is known. */
  lengthOut: Uint32Array.BYTES_PER_ELEMENT,
  /** The bytes that EVP's "final" may write: none, for GCM. */
  finalOut: TAG_LENGTH,
  /** Lists of parameters, each with one of zeros behind it. */
  sealing: 2 * PARAMETER_LENGTH,
  opening: 3 * PARAMETER_LENGTH,
  ready: 2 * PARAMETER_LENGTH,
  derivation: 5 * PARAMETER_LENGTH,
  names: NAMES.length * NAME_LENGTH,
  end: 0,
});
export const { derived: DERIVED, pool: POOL, blob: BLOB, lengthOut: LENGTH_OUT, finalOut: FINAL_OUT } = PLACES;
const NONCE_PARAMETER = PLACES.opening + PARAMETER_LENGTH;
const KEY_PARAMETER = PLACES.derivation + PARAMETER_LENGTH;
const SALT_PARAMETER = KEY_PARAMETER + PARAMETER_LENGTH;
const INFO_PARAMETER = SALT_PARAMETER + PARAMETER_LENGTH;

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
  /** Views of the pool, by the word that they begin at. */
  readonly #drawn: (Uint8Array | undefined)[] = new Array(POOL_LENGTH / Uint32Array.BYTES_PER_ELEMENT).fill(undefined);
  #header: Uint8Array | undefined;

  constructor(take: TakeMemory, addressOf: (bytes: Uint8Array) => number) {
    const region = take(Math.ceil(PLACES.end / PAGE_LENGTH) * PAGE_LENGTH);
    const { bytes } = region;
    this.bytes = bytes;
    this.#close = () => region.close();
    this.address = addressOf(bytes);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / Uint32Array.BYTES_PER_ELEMENT);
    this.readyParameters = this.address + PLACES.ready;
    this.derivationParameters = this.address + PLACES.derivation;
    for (const name of NAMES) bytes.set(new TextEncoder().encode(name), placeOf(name));
    this.#setParameter(PLACES.sealing, "tag", OCTET_STRING, TAG_LENGTH);
    this.#setParameter(PLACES.opening, "tag", OCTET_STRING, TAG_LENGTH);
    this.#setParameter(NONCE_PARAMETER, "tlsivinv", OCTET_STRING, NONCE_LENGTH);
    this.#setParameter(PLACES.ready, "tlsivfixed", OCTET_STRING, FIXED_LENGTH);
    // Of whatever bytes: each message brings the whole nonce.
    this.#setAddress(PLACES.ready, this.address + FINAL_OUT);
    this.#setParameter(PLACES.derivation, "digest", UTF8_STRING, "SHA256".length);
    this.#setAddress(PLACES.derivation, this.address + placeOf("SHA256"));
  }

  /** Puts a header where the blob is to be made, with room behind it for so many bytes and the tag. */
  putHeader(header: Uint8Array, length: number): void {
    if (header.length + length + TAG_LENGTH > VALUE_BLOB_LENGTH_MAX) throw new RangeError("No blob is so long.");
    // Made with the same header all the time, but for the nonce: it is there already.
    if (this.#header === header) return;
    this.bytes.set(header, BLOB);
    this.#header = header;
  }

  /** Puts a whole blob there. */
  putBlob(blob: Uint8Array): void {
    if (blob.length > VALUE_BLOB_LENGTH_MAX) throw new RangeError("No blob is so long.");
    this.#header = undefined;
    this.bytes.set(blob, BLOB);
  }

  /** The first `length` bytes of the blob, where they are. */
  blob(length: number): Uint8Array {
    let view = this.#blobs[length];
    if (view === undefined) {
      view = this.bytes.subarray(BLOB, BLOB + length);
      if (length < VIEWS_MAX) this.#blobs[length] = view;
    }
    return view;
  }

  /** A copy of them. */
  takeBlob(length: number): Uint8Array {
    const taken = new Uint8Array(length);
    taken.set(this.blob(length));
    return taken;
  }

  /** Random bytes where they were drawn, at a place in the pool that a word begins at. */
  drawn(place: number, length: number): Uint8Array {
    const word = (place - POOL) >>> 2;
    let view = this.#drawn[word];
    if (view?.length !== length) {
      view = this.bytes.subarray(place, place + length);
      this.#drawn[word] = view;
    }
    return view;
  }

  /** Wipes `length` bytes, rounded up to whole words, from a place that a word begins at. */
  wipeWords(place: number, length: number): void {
    const words = this.#words;
    const end = wholeWords(place + length) >>> 2;
    for (let index = place >>> 2; index < end; index++) words[index] = 0;
  }

  /** Parameters of a context that is to give the tag, at this place in the region. */
  sealingParameters(tag: number): number {
    this.#setAddress(PLACES.sealing, this.address + tag);
    return this.address + PLACES.sealing;
  }

  /** Parameters of a context that is to open what has its tag and its nonce at these places in the region. */
  openingParameters(tag: number, nonce: number): number {
    this.#setAddress(PLACES.opening, this.address + tag);
    this.#setAddress(NONCE_PARAMETER, this.address + nonce);
    return this.address + PLACES.opening;
  }

  /** What HKDF is to take: the key at an address, the others copied here. */
  setDerivation(key: number, keyLength: number, salt: Uint8Array, info: Uint8Array): void {
    if (salt.length > SALT_LENGTH_MAX || info.length > INFO_LENGTH_MAX) {
      throw new RangeError("The salt or the info is longer than any blob's.");
    }
    this.bytes.set(salt, PLACES.salt);
    this.bytes.set(info, PLACES.info);
    this.#setParameter(KEY_PARAMETER, "key", OCTET_STRING, keyLength);
    this.#setAddress(KEY_PARAMETER, key);
    this.#setParameter(SALT_PARAMETER, "salt", OCTET_STRING, salt.length);
    this.#setAddress(SALT_PARAMETER, this.address + PLACES.salt);
    this.#setParameter(INFO_PARAMETER, "info", OCTET_STRING, info.length);
    this.#setAddress(INFO_PARAMETER, this.address + PLACES.info);
  }

  close(): void {
    this.#close();
  }

  /** An `OSSL_PARAM`: name, type, data, the data's size, and one that comes back and is not read. One of zeros ends a list. */
  #setParameter(place: number, name: Name, type: number, length: number): void {
    this.#view.setBigUint64(place, BigInt(this.address + placeOf(name)), true);
    this.#view.setUint32(place + 8, type, true);
    this.#view.setUint32(place + 24, length, true);
  }

  /** Where the data of a parameter is. In two halves: an address is an exact number, and a BigInt would be garbage on the hot path. */
  #setAddress(parameter: number, address: number): void {
    this.#view.setUint32(parameter + 16, address >>> 0, true);
    this.#view.setUint32(parameter + 20, Math.floor(address / 2 ** 32), true);
  }
}

/** Places that words begin at, so that what is there can be wiped by words. */
function placesOf<Field extends string>(lengths: Readonly<Record<Field, number>>): Readonly<Record<Field, number>> {
  const places: Partial<Record<Field, number>> = {};
  let end = 0;
  for (const field in lengths) {
    places[field] = end;
    end = wholeWords(end + lengths[field]);
  }
  return places as Record<Field, number>;
}

function placeOf(name: Name): number {
  return PLACES.names + NAMES.indexOf(name) * NAME_LENGTH;
}

/** The number of bytes that these take as whole words. */
export function wholeWords(length: number): number {
  return (length + 3) & ~3;
}
