/** The encryption context and its one encoding (blob-format.md, "Encryption context"). */
import { OperationError } from "../../base/errors.ts";

/** Strings that the caller gives at creation and must give again, equal, at decryption. Authenticated, not stored. */
export type EncryptionContext = Readonly<Record<string, string>>;

export const CONTEXT_ENTRIES_MAX = 64;
export const CONTEXT_BYTES_MAX = 8192;

const NO_CONTEXT = new Uint8Array(0);
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Zero bytes for none or an empty map; else the number of entries, then each entry sorted by the bytes of its UTF-8 key.
 *
 * @throws {OperationError} `invalid_request` for too many entries or bytes, an empty key, or a lone surrogate.
 */
export function encodeContext(context: EncryptionContext | undefined): Uint8Array {
  if (context === undefined) return NO_CONTEXT;
  const keys = Object.keys(context);
  if (keys.length === 0) return NO_CONTEXT;
  if (keys.length > CONTEXT_ENTRIES_MAX) throw invalid(`has more than ${CONTEXT_ENTRIES_MAX} entries`);
  return encodeAscii(context, keys) ?? encodeAny(context, keys);
}

/** The values in the keys' order, while one context is encoded: to look each up twice takes a third of the time. */
const VALUES: string[] = new Array(CONTEXT_ENTRIES_MAX).fill("");

/** The encoding of ASCII text, which almost every context is: one allocation. Undefined for any other, and for what is refused. */
function encodeAscii(context: EncryptionContext, keys: string[]): Uint8Array | undefined {
  const count = keys.length;
  let length = 2;
  for (let index = 0; index < count; index++) {
    const key = keys[index]!;
    const value = context[key];
    if (typeof value !== "string" || key.length === 0) return undefined;
    length += 4 + key.length + value.length;
    // Sorted by insertion: most have two or three.
    let place = index;
    for (; place > 0 && isAfter(keys[place - 1]!, key); place--) {
      keys[place] = keys[place - 1]!;
      VALUES[place] = VALUES[place - 1]!;
    }
    keys[place] = key;
    VALUES[place] = value;
  }
  if (length > CONTEXT_BYTES_MAX) return undefined;
  const bytes = new Uint8Array(length);
  bytes[1] = count;
  let offset = 2;
  let allUnits = 0;
  for (let index = 0; index < count; index++) {
    const key = keys[index]!;
    allUnits |= putText(bytes, offset, key);
    offset += 2 + key.length;
    const value = VALUES[index]!;
    allUnits |= putText(bytes, offset, value);
    offset += 2 + value.length;
  }
  return allUnits < 0x80 ? bytes : undefined;
}

/** Of ASCII text the order of its units is the order of its bytes. The first ones mostly tell. */
function isAfter(one: string, other: string): boolean {
  const difference = one.charCodeAt(0) - other.charCodeAt(0);
  return difference > 0 || (difference === 0 && one > other);
}

/** Puts length and text; answers all of its units, one over the other: under 0x80 where the text is ASCII. */
function putText(bytes: Uint8Array, offset: number, text: string): number {
  const { length } = text;
  bytes[offset] = length >> 8;
  bytes[offset + 1] = length;
  let units = 0;
  for (let index = 0, place = offset + 2; index < length; index++, place++) {
    const unit = text.charCodeAt(index);
    units |= unit;
    bytes[place] = unit;
  }
  return units;
}

function encodeAny(context: EncryptionContext, keys: readonly string[]): Uint8Array {
  let length = 2;
  const entries: [key: Uint8Array, value: Uint8Array][] = [];
  for (const key of keys) {
    const value = context[key];
    if (key === "") throw invalid("has an empty key");
    if (typeof value !== "string") throw invalid("has a value that is not a string");
    if (!key.isWellFormed() || !value.isWellFormed()) throw invalid("has text with a lone surrogate");
    const entry: [Uint8Array, Uint8Array] = [encoder.encode(key), encoder.encode(value)];
    length += 4 + entry[0].length + entry[1].length;
    // At the first entry too many: what comes after it costs nothing.
    if (length > CONTEXT_BYTES_MAX) throw invalid(`is longer than ${CONTEXT_BYTES_MAX} bytes when encoded`);
    entries.push(entry);
  }
  entries.sort(([a], [b]) => compareBytes(a, b));

  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, entries.length);
  let offset = 2;
  for (const entry of entries) {
    for (const text of entry) {
      view.setUint16(offset, text.length);
      bytes.set(text, offset + 2);
      offset += 2 + text.length;
    }
  }
  return bytes;
}

/**
 * The context that `encodeContext` made these bytes from; none for zero bytes.
 *
 * @throws {OperationError} `invalid_request` for bytes that `encodeContext` never makes.
 */
export function decodeContext(bytes: Uint8Array): EncryptionContext {
  if (bytes.length === 0) return {};
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let offset = 2;
  const text = (): string => {
    const start = offset + 2;
    offset = start + view.getUint16(offset);
    return decoder.decode(bytes.subarray(start, offset));
  };
  // No prototype: a key may be called `__proto__`.
  const context: Record<string, string> = Object.create(null);
  try {
    for (let left = view.getUint16(0); left > 0; left--) {
      const key = text();
      context[key] = text();
    }
  } catch {
    throw invalid("is not encoded as blob-format.md has it");
  }
  // Whatever does not come out as it went in: cut off, not sorted, a key twice, bytes that are no text.
  if (compareBytes(encodeContext(context), bytes) !== 0) throw invalid("is not encoded as blob-format.md has it");
  return context;
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let index = 0; index < shared; index++) {
    const difference = a[index]! - b[index]!;
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

function invalid(reason: string): OperationError {
  return new OperationError(
    "invalid_request",
    `The context ${reason}. It is a map of at most ${CONTEXT_ENTRIES_MAX} non-empty keys to strings, ${CONTEXT_BYTES_MAX} bytes in all.`,
  );
}
