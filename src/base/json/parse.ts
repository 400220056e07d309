/**
 * JSON from outside, read strictly (RFC 8259; RFC 7493, I-JSON): UTF-8 without a byte order mark, and no member twice, since two readers
 * would take two different ones.
 */
import { isAscii, isUtf8 } from "node:buffer";

/** Why bytes are no JSON that is taken; the message is for the sender and repeats nothing of them. */
export class JsonError extends Error {
  override readonly name = "JsonError";
}

/** Up to this length a text holds too few values to take long. */
const SHORT_BYTES_MAX = 4_096;
/** Of a longer text. A tenth of a millisecond takes some two hundred of them, and no request has so many. */
const VALUES_MAX = 1_024;

/**
 * The value of a JSON text. It is read in one turn of the event loop, so a text of more than 4 KiB may be long, but not of more than 1,024 values.
 *
 * @throws {JsonError}
 */
export function parseJson(bytes: Uint8Array): unknown {
  if (hasTooManyValues(bytes)) throw new JsonError("it has too many members or items");
  const text = textOf(bytes);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new JsonError("it is not JSON");
  }
  if (hasMemberTwice(text)) throw new JsonError("an object has a member twice");
  return value;
}

/** @throws {JsonError} */
function textOf(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (isAscii(buffer)) return buffer.toString("latin1");
  if (isUtf8(buffer)) return buffer.toString("utf8");
  throw new JsonError("it is not UTF-8");
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;

/** Whether it has more than is read in one turn. What is no JSON is for the reader to say. */
export function hasTooManyValues(bytes: Uint8Array): boolean {
  if (bytes.length <= SHORT_BYTES_MAX) return false;
  let values = 0;
  for (let at = 0; at < bytes.length; at++) {
    switch (bytes[at]) {
      case QUOTE: {
        const close = closingQuoteOf(bytes, at + 1);
        if (close < 0) return false;
        at = close;
        break;
      }
      case 0x2c: // ,
      case 0x5b: // [
      case 0x7b: // {
        if (++values > VALUES_MAX) return true;
    }
  }
  return false;
}

/** Of a text that is JSON. Strings are jumped over; between them only brackets count. */
function hasMemberTwice(text: string): boolean {
  /** The names of the object that is open, and of those around it; undefined for an array. */
  let names: string[] | undefined;
  const around: (string[] | undefined)[] = [];
  let sets: Map<string[], Set<string>> | undefined;
  let at = 0;
  for (;;) {
    const quote = text.indexOf('"', at);
    const end = quote < 0 ? text.length : quote;
    for (let index = at; index < end; index++) {
      switch (text.charCodeAt(index)) {
        case 0x7b: // {
          around.push(names);
          names = [];
          break;
        case 0x5b: // [
          around.push(names);
          names = undefined;
          break;
        case 0x7d: // }
        case 0x5d: // ]
          names = around.pop();
      }
    }
    if (quote < 0) return false;
    const close = closingQuote(text, quote + 1);
    at = close + 1;
    while (isSpace(text.charCodeAt(at))) at++;
    if (text.charCodeAt(at) !== COLON || names === undefined) continue;
    const raw = text.slice(quote + 1, close);
    const name = raw.includes("\\") ? (JSON.parse(`"${raw}"`) as string) : raw;
    if (names.length < 16) {
      if (names.includes(name)) return true;
    } else {
      sets ??= new Map();
      const set = sets.get(names) ?? new Set(names);
      sets.set(names, set);
      if (set.has(name)) return true;
      set.add(name);
    }
    names.push(name);
  }
}

function closingQuote(text: string, from: number): number {
  for (let at = from; ; at++) {
    at = text.indexOf('"', at);
    let backslashes = 0;
    while (text.charCodeAt(at - 1 - backslashes) === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return at;
  }
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}

/** The end of a string whose opening quote is before `from`, in bytes: that of its closing quote, or -1. */
export function closingQuoteOf(bytes: Uint8Array, from: number): number {
  for (let at = from; ; at++) {
    at = bytes.indexOf(QUOTE, at);
    if (at < 0) return -1;
    let backslashes = 0;
    while (at - 1 - backslashes >= from && bytes[at - 1 - backslashes] === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return at;
  }
}
