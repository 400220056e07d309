/** Writes TTLV. The buffer may hold keys: it is wiped when it is outgrown, and `wipe` wipes what was written. */
import { allocateSecret, wipe } from "../../../base/wipe.ts";
import { HEADER_LENGTH, type ItemType, paddedLength, TYPE } from "./ttlv.ts";

const FIRST_LENGTH = 1_024;
const utf8 = new TextEncoder();

export class TtlvWriter {
  #bytes: Uint8Array;
  #length = 0;

  constructor(expectedLength = FIRST_LENGTH) {
    this.#bytes = allocateSecret(expectedLength);
  }

  get length(): number {
    return this.#length;
  }

  /** What was written: a view, good until the next call. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Takes back all that was written since the writer had this length. */
  cutTo(length: number): void {
    this.#bytes.fill(0, length, this.#length);
    this.#length = length;
  }

  wipe(): void {
    wipe(this.#bytes);
  }

  structure(tag: number, write: () => void): void {
    const start = this.#head(tag, TYPE.structure, 0);
    write();
    this.#setUint32(start - 4, this.#length - start);
  }

  /** Whole items that another writer has written. */
  items(bytes: Uint8Array): void {
    this.#makeRoom(this.#length + bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  integer(tag: number, value: number): void {
    this.#number(tag, TYPE.integer, value);
  }

  enumeration(tag: number, value: number): void {
    this.#number(tag, TYPE.enumeration, value);
  }

  text(tag: number, value: string): void {
    this.#string(tag, TYPE.textString, utf8.encode(value));
  }

  byteString(tag: number, value: Uint8Array): void {
    this.#string(tag, TYPE.byteString, value);
  }

  /** `seconds` since 1970. */
  dateTime(tag: number, seconds: number): void {
    const start = this.#head(tag, TYPE.dateTime, 8);
    this.#setUint32(start, Math.floor(seconds / 2 ** 32));
    this.#setUint32(start + 4, seconds);
  }

  #number(tag: number, type: ItemType, value: number): void {
    this.#setUint32(this.#head(tag, type, 4), value);
  }

  #string(tag: number, type: ItemType, value: Uint8Array): void {
    const start = this.#head(tag, type, value.length);
    this.#bytes.set(value, start);
  }

  /** Makes room for an item with its padding, and returns where its value goes. */
  #head(tag: number, type: ItemType, length: number): number {
    const start = this.#length + HEADER_LENGTH;
    this.#makeRoom(start + paddedLength(length));
    this.#setUint32(this.#length, ((tag << 8) | type) >>> 0);
    this.#setUint32(this.#length + 4, length);
    this.#length = start + paddedLength(length);
    return start;
  }

  #setUint32(offset: number, value: number): void {
    const bytes = this.#bytes;
    bytes[offset] = value >>> 24;
    bytes[offset + 1] = value >>> 16;
    bytes[offset + 2] = value >>> 8;
    bytes[offset + 3] = value;
  }

  #makeRoom(length: number): void {
    if (length <= this.#bytes.length) return;
    const outgrown = this.#bytes;
    this.#bytes = allocateSecret(Math.max(length, 2 * outgrown.length));
    this.#bytes.set(outgrown);
    wipe(outgrown);
  }
}
