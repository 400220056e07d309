/**
 * Reads JSON from its bytes, in the forms that clients' JSON writers give it, and nothing else: no escapes, no letters beyond ASCII, no
 * fractions. What has another form throws `OTHER_FORM`, and is left to `JSON.parse`.
 *
 * Nothing here waits, so one cursor serves every body: `beginReading`, the rest, and `endReading` in one turn of the event loop.
 */
import { SHORT_BYTES } from "../../../base/network/http1/part.ts";
import { BLOB_LENGTH_MAX } from "../../cipher/blob.ts";
import { CONTEXT_ENTRIES_MAX, type EncryptionContext } from "../../cipher/context.ts";

const QUOTE = 0x22;
export const COMMA = 0x2c;
export const COLON = 0x3a;
export const OPEN_BRACE = 0x7b;
export const CLOSE_BRACE = 0x7d;

const NAME_LENGTH_MAX = 128;
/** Of base64url, as the schema has it: the longest blob. */
const DATA_TEXT_MAX = Math.ceil((BLOB_LENGTH_MAX * 4) / 3);

/** Of each byte: 1 in a string as it stands, 2 also after the first of a name, 4 also its first. */
const IN_STRING = 1;
const IN_NAME = 2;
const FIRST_OF_NAME = 4;
const KIND = new Uint8Array(256);
/** Of each byte its six bits in base64url; 255: none. */
const SIX_BITS = new Uint8Array(256).fill(255);
for (let byte = 0x20; byte < 0x7f; byte++) if (byte !== QUOTE && byte !== 0x5c) KIND[byte] = IN_STRING;
for (const letter of "._:-") KIND[letter.charCodeAt(0)]! |= IN_NAME;
[..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"].forEach((letter, bits) => {
  const byte = letter.charCodeAt(0);
  SIX_BITS[byte] = bits;
  if (bits < 62) KIND[byte]! |= IN_NAME | FIRST_OF_NAME;
});

/** What is not of the forms read here. Made once: it has no stack to show. */
export const OTHER_FORM = new Error("another form");

const NOTHING = Buffer.alloc(0);
let bytes: Buffer = NOTHING;
let at = 0;

export { at as place };

/** Nothing is read from here on. */
let limit = 0;

/** From `start`, up to `end` at most. */
export function beginReading(body: Buffer, start: number, end: number): void {
  bytes = body;
  at = start;
  limit = end;
}

/** A body may hold a value that a caller chose: nothing of it stays referred to. */
export function endReading(): void {
  bytes = NOTHING;
}

/** Whether nothing but space is left. */
export function isAtEnd(): boolean {
  skipSpace();
  return at === limit;
}

/** Whether what was read ends where it may. */
export function isWithinLimit(): boolean {
  return at <= limit;
}

/** Whether the string `name` comes; it is passed over then. */
export function isMember(name: string): boolean {
  skipSpace();
  const end = at + name.length + 1;
  if (bytes[at] !== QUOTE || bytes[end] !== QUOTE) return false;
  for (let index = 0; index < name.length; index++) {
    if (bytes[at + 1 + index] !== name.charCodeAt(index)) return false;
  }
  at = end + 1;
  return true;
}

export function readName(): string {
  const start = beginString();
  let end = start;
  if ((KIND[bytes[end]!]! & FIRST_OF_NAME) === 0) throw OTHER_FORM;
  while ((KIND[bytes[end]!]! & IN_NAME) !== 0 && end < limit) end++;
  if (bytes[end] !== QUOTE || end - start > NAME_LENGTH_MAX) throw OTHER_FORM;
  at = end + 1;
  return bytes.toString("latin1", start, end);
}

function readString(): string {
  const start = beginString();
  let end = start;
  while (KIND[bytes[end]!]! !== 0 && end < limit) end++;
  if (bytes[end] !== QUOTE) throw OTHER_FORM;
  at = end + 1;
  return bytes.toString("latin1", start, end);
}

export function readContext(): EncryptionContext {
  expect(OPEN_BRACE);
  const made: Record<string, string> = {};
  let entries = 0;
  if (isNext(CLOSE_BRACE)) return made;
  do {
    const key = readString();
    expect(COLON);
    if (key === "" || key === "__proto__" || Object.hasOwn(made, key) || ++entries > CONTEXT_ENTRIES_MAX) {
      throw OTHER_FORM;
    }
    made[key] = readString();
  } while (isNext(COMMA));
  expect(CLOSE_BRACE);
  return made;
}

/**
 * Passes over a text that is base64url as an encoder gives it: no padding, no bit left over. Returns where it starts;
 * `endOfBase64url` says where it ends.
 */
export function readBase64url(): number {
  const start = beginString();
  let end = start;
  const last = Math.min(limit, start + DATA_TEXT_MAX);
  while (end < last && SIX_BITS[bytes[end]!]! !== 255) end++;
  if (bytes[end] !== QUOTE) throw OTHER_FORM;
  const rest = (end - start) & 3;
  const bits = end === start ? 0 : SIX_BITS[bytes[end - 1]!]!;
  if (rest === 1 || (rest === 2 && (bits & 15) !== 0) || (rest === 3 && (bits & 3) !== 0)) throw OTHER_FORM;
  at = end + 1;
  return start;
}

/** Right after `readBase64url`: where the text that it read ends. */
export function endOfBase64url(): number {
  return at - 1;
}

/** Digits without a leading zero, at most five of them. */
export function readUnsigned(): number {
  skipSpace();
  let value = 0;
  const start = at;
  for (let byte = bytes[at]!; byte >= 0x30 && byte <= 0x39 && at - start < 6; byte = bytes[++at]!) {
    value = value * 10 + byte - 0x30;
  }
  if (at === start || at - start > 5 || bytes[start] === 0x30) throw OTHER_FORM;
  return value;
}

export function readBoolean(): boolean {
  skipSpace();
  const word = bytes[at] === 0x74 ? "true" : "false";
  for (let index = 0; index < word.length; index++) {
    if (bytes[at + index] !== word.charCodeAt(index)) throw OTHER_FORM;
  }
  at += word.length;
  return word === "true";
}

/** Where a string's first byte stands. */
function beginString(): number {
  expect(QUOTE);
  return at;
}

export function expect(byte: number): void {
  skipSpace();
  if (bytes[at] !== byte) throw OTHER_FORM;
  at++;
}

export function isNext(byte: number): boolean {
  skipSpace();
  if (bytes[at] !== byte) return false;
  at++;
  return true;
}

function skipSpace(): void {
  for (let byte = bytes[at]; byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09; byte = bytes[at]) {
    if (at === limit) throw OTHER_FORM;
    at++;
  }
}

/**
 * Decodes base64url that was found to be well-formed: into bytes of its own where they are few, else over itself, since what it stands for
 * is shorter.
 */
export function decode(buffer: Buffer, start: number, end: number): Buffer {
  const length = Math.floor(((end - start) * 3) / 4);
  const isShort = length <= SHORT_BYTES;
  const decoded = isShort ? Buffer.allocUnsafeSlow(length) : buffer;
  let to = isShort ? 0 : start;
  let from = start;
  for (; from + 4 <= end; from += 4) {
    const bits =
      (SIX_BITS[buffer[from]!]! << 18) |
      (SIX_BITS[buffer[from + 1]!]! << 12) |
      (SIX_BITS[buffer[from + 2]!]! << 6) |
      SIX_BITS[buffer[from + 3]!]!;
    decoded[to++] = bits >> 16;
    decoded[to++] = bits >> 8;
    decoded[to++] = bits;
  }
  if (end - from >= 2) {
    const bits =
      (SIX_BITS[buffer[from]!]! << 18) |
      (SIX_BITS[buffer[from + 1]!]! << 12) |
      (end - from === 3 ? SIX_BITS[buffer[from + 2]!]! << 6 : 0);
    decoded[to++] = bits >> 16;
    if (end - from === 3) decoded[to++] = bits >> 8;
  }
  return isShort ? decoded : buffer.subarray(start, to);
}
