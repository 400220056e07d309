/**
 * A body `{ "NAME": [ … ] }` read item by item, so that one of megabytes holds nobody up: it yields to the event loop as it goes, and ends
 * at the first thing that is wrong.
 */
import { closingQuoteOf, JsonError, parseJson } from "./parse.ts";

export interface ListLimits {
  /** Of the one member that the body has. */
  readonly name: string;
  readonly itemsMax: number;
  readonly itemBytesMax: number;
}

/** What is read in one turn: about a millisecond's work. */
const TURN_BYTES = 32_768;
const TURN_ITEMS = 256;

/**
 * `read` gets each item's value and its index, and what it gives is collected.
 *
 * @throws (rejects with) {JsonError}, or what `read` throws
 */
export async function readJsonList<Item>(
  bytes: Uint8Array,
  { name, itemsMax, itemBytesMax }: ListLimits,
  read: (value: unknown, index: number) => Item,
  yieldToOthers: () => Promise<void>,
): Promise<Item[]> {
  const items: Item[] = [];
  let at = expect(bytes, 0, "{");
  at = memberName(bytes, at, name);
  at = expect(bytes, expect(bytes, at, ":"), "[");
  let turnBegan = at;
  let turnItems = 0;
  const first = skipSpace(bytes, at);
  if (bytes[first] === CLOSE_LIST) at = first;
  else {
    for (;;) {
      if (items.length === itemsMax) throw new JsonError(`"${name}" has more than ${itemsMax} items`);
      const end = itemEnd(bytes, at, itemBytesMax, name);
      items.push(read(parseJson(bytes.subarray(at, end)), items.length));
      at = end;
      if (bytes[at] === CLOSE_LIST) break;
      at++;
      if (at - turnBegan >= TURN_BYTES || ++turnItems >= TURN_ITEMS) {
        await yieldToOthers();
        turnBegan = at;
        turnItems = 0;
      }
    }
  }
  at = skipSpace(bytes, at + 1);
  if (bytes[at] === COMMA) throw new JsonError(`it has more members than "${name}"`);
  at = skipSpace(bytes, expect(bytes, at, "}"));
  if (at !== bytes.length) throw new JsonError("it is not JSON");
  return items;
}

const CLOSE_LIST = 0x5d;
const COMMA = 0x2c;
const QUOTE = 0x22;

/** Where the item that begins here ends: at the comma or the bracket after it. */
function itemEnd(bytes: Uint8Array, start: number, bytesMax: number, name: string): number {
  let depth = 0;
  for (let at = start; ; at++) {
    if (at - start > bytesMax) throw new JsonError(`an item of "${name}" is too long`);
    switch (bytes[at]) {
      case QUOTE: {
        const close = closingQuoteOf(bytes.subarray(0, start + bytesMax + 1), at + 1);
        if (close < 0) throw new JsonError(`an item of "${name}" has no end, or is too long`);
        at = close;
        break;
      }
      case 0x7b:
      case 0x5b:
        depth++;
        break;
      case 0x7d:
        if (depth === 0) throw new JsonError("it is not JSON");
        depth--;
        break;
      case CLOSE_LIST:
        if (depth === 0) return at;
        depth--;
        break;
      case COMMA:
        if (depth === 0) return at;
        break;
      case undefined:
        throw new JsonError("it is not JSON");
    }
  }
}

/** The name of the only member, which may be written with escapes; returns where it ends. */
function memberName(bytes: Uint8Array, from: number, name: string): number {
  const at = skipSpace(bytes, from);
  const close = bytes[at] === QUOTE ? closingQuoteOf(bytes.subarray(0, at + 256), at + 1) : -1;
  if (close < 0) throw new JsonError(`it is no object with the member "${name}"`);
  if (parseJson(bytes.subarray(at, close + 1)) !== name) throw new JsonError(`it has another member than "${name}"`);
  return close + 1;
}

function expect(bytes: Uint8Array, from: number, character: "{" | "[" | ":" | "}"): number {
  const at = skipSpace(bytes, from);
  if (bytes[at] !== character.charCodeAt(0)) throw new JsonError("it is not JSON, or not as expected");
  return at + 1;
}

function skipSpace(bytes: Uint8Array, from: number): number {
  let at = from;
  while (bytes[at] === 0x20 || bytes[at] === 0x0a || bytes[at] === 0x0d || bytes[at] === 0x09) at++;
  return at;
}
