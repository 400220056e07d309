/**
 * TTLV: KMIP's encoding (KMIP 1.4, section 9.1). An item is a tag of three bytes, a type of one, a length of four, and the value, padded with
 * zeros to a multiple of eight bytes. Strict and bounded: bytes that are accepted have exactly one reading, and writing it gives the same
 * bytes again.
 */

import { isUtf8 } from "node:buffer";

export const TYPE = {
  structure: 0x01,
  integer: 0x02,
  longInteger: 0x03,
  bigInteger: 0x04,
  enumeration: 0x05,
  boolean: 0x06,
  textString: 0x07,
  byteString: 0x08,
  dateTime: 0x09,
  interval: 0x0a,
  dateTimeExtended: 0x0b,
} as const;

export type ItemType = (typeof TYPE)[keyof typeof TYPE];

export interface Item {
  readonly tag: number;
  readonly type: ItemType;
  /** The value without its padding: a view of the message, so that a key in it is wiped with the message. */
  readonly value: Uint8Array;
  /** What a structure holds, in order; empty for other types. */
  readonly items: readonly Item[];
}

/** Bytes that are not TTLV, or a message whose items are not where KMIP puts them. The sentence is for the caller. */
export class TtlvError extends Error {
  override readonly name = "TtlvError";
}

export const HEADER_LENGTH = 8;
/** The deepest message of KMIP has eight levels; each costs a stack frame here. */
export const DEPTH_MAX = 16;
export const ITEMS_MAX = 2_048;

/** How many items may still be read: each costs at least eight bytes of input, so a message's work is bounded by its length too. */
export interface ItemBudget {
  left: number;
}

/** Tags of KMIP itself and of its extensions (KMIP 1.4, section 9.1.1.1). */
const isTag = (tag: number): boolean => tag >>> 16 === 0x42 || tag >>> 16 === 0x54;

/** The length that a type's value always has; of the others any, big integers in steps of eight. */
const FIXED_LENGTH: Readonly<Partial<Record<number, number>>> = {
  [TYPE.integer]: 4,
  [TYPE.longInteger]: 8,
  [TYPE.enumeration]: 4,
  [TYPE.boolean]: 8,
  [TYPE.dateTime]: 8,
  [TYPE.interval]: 4,
  [TYPE.dateTimeExtended]: 8,
};

export function paddedLength(length: number): number {
  return length + ((8 - (length % 8)) % 8);
}

/** The length of the value that a header of eight bytes announces. */
export function announcedLength(header: Uint8Array): number {
  return readUint32(header, 4);
}

function readUint32(bytes: Uint8Array, offset: number): number {
  return ((bytes[offset]! << 24) | (bytes[offset + 1]! << 16) | (bytes[offset + 2]! << 8) | bytes[offset + 3]!) >>> 0;
}

export function readTag(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! << 16) | (bytes[offset + 1]! << 8) | bytes[offset + 2]!;
}

export const showTag = (tag: number): string => `0x${tag.toString(16).padStart(6, "0")}`;

/**
 * Reads the one item that the bytes are. Views of them are kept in it.
 *
 * @throws {TtlvError} and nothing else, whatever the bytes are
 */
export function decodeItem(bytes: Uint8Array, budget: ItemBudget = { left: ITEMS_MAX }): Item {
  const item = decodeAt(bytes, 0, bytes.length, 1, budget);
  if (HEADER_LENGTH + paddedLength(item.value.length) !== bytes.length) {
    throw new TtlvError("There are bytes behind the end of the message.");
  }
  return item;
}

function decodeAt(bytes: Uint8Array, offset: number, end: number, depth: number, budget: ItemBudget): Item {
  if (budget.left-- <= 0) throw new TtlvError(`The message has more than ${ITEMS_MAX} items.`);
  if (end - offset < HEADER_LENGTH) throw new TtlvError("The message ends inside the head of an item.");
  const tag = readTag(bytes, offset);
  if (!isTag(tag)) throw new TtlvError(`${showTag(tag)} is no tag of KMIP.`);
  const type = bytes[offset + 3]!;
  const length = readUint32(bytes, offset + 4);
  const start = offset + HEADER_LENGTH;
  if (length > end - start || paddedLength(length) > end - start) {
    throw new TtlvError(`The item ${showTag(tag)} is longer than what it stands in.`);
  }
  const valueEnd = start + length;
  checkLength(tag, type, length);
  for (let index = valueEnd; index < start + paddedLength(length); index++) {
    if (bytes[index] !== 0) throw new TtlvError(`The padding of the item ${showTag(tag)} is not zero.`);
  }
  const value = bytes.subarray(start, valueEnd);
  if (type === TYPE.structure) {
    return { tag, type, value, items: decodeItems(bytes, start, valueEnd, depth, budget) };
  }
  checkValue(tag, type, value);
  return { tag, type: type as ItemType, value, items: NO_ITEMS };
}

const NO_ITEMS: readonly Item[] = [];

function decodeItems(bytes: Uint8Array, start: number, end: number, depth: number, budget: ItemBudget): Item[] {
  if (start < end && depth >= DEPTH_MAX) throw new TtlvError(`The message is nested deeper than ${DEPTH_MAX} levels.`);
  const items: Item[] = [];
  for (let offset = start; offset < end; ) {
    const item = decodeAt(bytes, offset, end, depth + 1, budget);
    items.push(item);
    offset += HEADER_LENGTH + paddedLength(item.value.length);
  }
  return items;
}

function checkLength(tag: number, type: number, length: number): void {
  if (type < TYPE.structure || type > TYPE.dateTimeExtended) {
    throw new TtlvError(`The item ${showTag(tag)} has the unknown type ${type}.`);
  }
  const fixed = FIXED_LENGTH[type];
  const sound =
    fixed !== undefined
      ? length === fixed
      : type === TYPE.bigInteger
        ? length > 0 && length % 8 === 0
        : type !== TYPE.structure || length % 8 === 0;
  if (!sound) throw new TtlvError(`The item ${showTag(tag)} has a length that its type does not have.`);
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Looked at as bytes: a text is made a string only where one is used, so a password that nobody reads never is one. */
function checkValue(tag: number, type: number, value: Uint8Array): void {
  if (type === TYPE.boolean) {
    for (let index = 0; index < 7; index++) {
      if (value[index] !== 0) throw new TtlvError(`The item ${showTag(tag)} is neither true nor false.`);
    }
    if (value[7]! > 1) throw new TtlvError(`The item ${showTag(tag)} is neither true nor false.`);
  }
  if (type === TYPE.textString && !isUtf8(value)) throw new TtlvError(`The text ${showTag(tag)} is not UTF-8.`);
}

export function textOf({ value }: Item): string {
  return utf8.decode(value);
}

/** Of an integer: signed. */
export function integerOf({ value }: Item): number {
  return readUint32(value, 0) | 0;
}

/** Of an enumeration or interval. */
export function unsignedOf({ value }: Item): number {
  return readUint32(value, 0);
}

export function booleanOf({ value }: Item): boolean {
  return value[7] === 1;
}

/** Of a date: seconds since 1970. */
export function secondsOf({ value }: Item): number {
  return (readUint32(value, 0) | 0) * 2 ** 32 + readUint32(value, 4);
}
