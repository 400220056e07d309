/**
 * A body `{ "NAME": [ … ] }` read item by item, so that one of megabytes holds nobody up: it yields to the event loop as it goes, and ends
 * at the first thing that is wrong.
 */
import { beginSlice } from "../time/turns.ts";
import { closingQuoteOf, JsonError, parseJson } from "./parse.ts";

export interface ListLimits {
  /** Of the one member that the body has. */
  readonly name: string;
  readonly itemsMax: number;
  readonly itemBytesMax: number;
}

/** A member longer than this has a turn of its own. */
const TURN_BYTES = 32_768;

/** What makes something of each item. */
export interface ItemReader<Item> {
  /** Of an item's value, and its index. */
  read(value: unknown, index: number): Item;
  /**
   * Of an item's bytes, without a value: it begins at `start` and ends before `end`. Undefined: it is not of the form that is read so. May
   * change the item's bytes.
   */
  readFast?(bytes: Uint8Array, start: number, end: number): Item | undefined;
  /** Right after `readFast` gave one: where that item ended. */
  readonly end?: () => number;
}

/**
 * What the reader makes of each item, in their order.
 *
 * @throws (rejects with) {JsonError}, or what the reader throws
 */
export async function readJsonList<Item>(
  bytes: Uint8Array,
  { name, itemsMax, itemBytesMax }: ListLimits,
  reader: ItemReader<Item>,
  yieldToOthers: () => Promise<void>,
): Promise<Item[]> {
  const items: Item[] = [];
  let at = await readItems(
    bytes,
    listStart(bytes, name),
    { name, itemsMax, itemBytesMax },
    (value) => items.push(reader.read(value, items.length)),
    yieldToOthers,
    (start, end) => {
      const item = reader.readFast?.(bytes, start, end);
      if (item === undefined) return undefined;
      items.push(item);
      return reader.end!();
    },
  );
  at = skipSpace(bytes, at);
  if (bytes[at] === COMMA) throw new JsonError(`it has more members than "${name}"`);
  at = skipSpace(bytes, expect(bytes, at, "}"));
  if (at !== bytes.length) throw new JsonError("it is not JSON");
  return items;
}

/**
 * Looks at a text that goes on: at what comes before its first item, and at that item. The text is so long that they have ended, if there is an
 * end that `readJsonList` would take: `itemBytesMax`, and the space that may stand between them.
 *
 * @throws {JsonError} or what `read` throws, as `readJsonList` does
 */
export function readListStart(
  bytes: Uint8Array,
  { name, itemBytesMax }: ListLimits,
  read: (value: unknown) => void,
): void {
  const start = listStart(bytes, name);
  if (bytes[skipSpace(bytes, start)] === CLOSE_LIST) return;
  // An item of a form that is read from its bytes may have space behind it that does not count.
  const end = valueEnd(bytes, start, itemBytesMax + SPACE_BYTES_MAX, `an item of "${name}"`);
  read(parseJson(bytes.subarray(start, end)));
}

/** The place after the list's bracket. */
function listStart(bytes: Uint8Array, name: string): number {
  const at = memberName(bytes, expect(bytes, 0, "{"), name);
  return expect(bytes, expect(bytes, at, ":"), "[");
}

/** From after the list's bracket on; resolves to the place after its end. */
async function readItems(
  bytes: Uint8Array,
  from: number,
  { name, itemsMax, itemBytesMax }: ListLimits,
  take: (value: unknown) => void,
  yieldToOthers: () => Promise<void>,
  takeFast: (start: number, end: number) => number | undefined = () => undefined,
): Promise<number> {
  const first = skipSpace(bytes, from);
  if (bytes[first] === CLOSE_LIST) return first + 1;
  let at = from;
  let isOver = beginSlice();
  for (let count = 0; ; count++) {
    if (count === itemsMax) throw new JsonError(`"${name}" has more than ${itemsMax} items`);
    const fastEnd = takeFast(at, Math.min(bytes.length, at + itemBytesMax));
    const end =
      fastEnd === undefined ? valueEnd(bytes, at, itemBytesMax, `an item of "${name}"`) : skipSpace(bytes, fastEnd);
    if (fastEnd === undefined) take(parseJson(bytes.subarray(at, end)));
    else if (bytes[end] !== COMMA && bytes[end] !== CLOSE_LIST) throw new JsonError("it is not JSON");
    const itemBytes = end - at;
    at = end + 1;
    if (bytes[end] === CLOSE_LIST) return at;
    if (bytes[end] === CLOSE_OBJECT) throw new JsonError("it is not JSON");
    if (isOver(itemBytes)) {
      await yieldToOthers();
      isOver = beginSlice();
    }
  }
}

/** What a body of several members may have. */
export interface ObjectLimits {
  /** The member that may be a long list. */
  readonly list?: ListLimits;
  readonly membersMax: number;
  /** Of a member that is a string. */
  readonly stringBytesMax: number;
  /** Of any other member. */
  readonly valueBytesMax: number;
}

/**
 * The object that a body is, read member by member, so that one of megabytes holds nobody up; as strict as `parseJson`.
 *
 * @throws (rejects with) {JsonError}
 */
export async function readJsonObject(
  bytes: Uint8Array,
  { list, membersMax, stringBytesMax, valueBytesMax }: ObjectLimits,
  yieldToOthers: () => Promise<void>,
): Promise<Readonly<Record<string, unknown>>> {
  const members = new Map<string, unknown>();
  let at = expect(bytes, 0, "{");
  const first = skipSpace(bytes, at);
  if (bytes[first] === CLOSE_OBJECT) at = first + 1;
  else {
    for (;;) {
      const open = skipSpace(bytes, at);
      const close = bytes[open] === QUOTE ? closingQuoteOf(bytes.subarray(0, open + NAME_BYTES_MAX), open + 1) : -1;
      if (close < 0) throw new JsonError("it is not JSON, or the name of a member is too long");
      const name = parseJson(bytes.subarray(open, close + 1)) as string;
      if (members.has(name)) throw new JsonError("an object has a member twice");
      if (members.size === membersMax) throw new JsonError("it has too many members");
      const start = skipSpace(bytes, expect(bytes, close + 1, ":"));
      let end: number;
      if (name === list?.name && bytes[start] === OPEN_LIST) {
        const items: unknown[] = [];
        end = skipSpace(bytes, await readItems(bytes, start + 1, list, (value) => items.push(value), yieldToOthers));
        members.set(name, items);
      } else {
        const bytesMax = bytes[start] === QUOTE ? stringBytesMax : valueBytesMax;
        end = valueEnd(bytes, start, bytesMax, "a member");
        if (end - start > TURN_BYTES) await yieldToOthers();
        members.set(name, parseJson(bytes.subarray(start, end)));
      }
      at = end + 1;
      if (bytes[end] === CLOSE_OBJECT) break;
      if (bytes[end] !== COMMA) throw new JsonError("it is not JSON");
    }
  }
  if (skipSpace(bytes, at) !== bytes.length) throw new JsonError("it is not JSON");
  // As JSON.parse: a member named `__proto__` is a member.
  return Object.fromEntries(members);
}

/** In a row: nobody writes so much, and none of it is read in turns. */
const SPACE_BYTES_MAX = 65_536;
const NAME_BYTES_MAX = 1_024;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const CLOSE_OBJECT = 0x7d;
const COMMA = 0x2c;
const QUOTE = 0x22;

/** Where the value that begins here ends: at the comma or the bracket after it. */
function valueEnd(bytes: Uint8Array, start: number, bytesMax: number, what: string): number {
  let depth = 0;
  for (let at = start; ; at++) {
    if (at - start > bytesMax) throw new JsonError(`${what} is too long`);
    switch (bytes[at]) {
      case QUOTE: {
        const close = closingQuoteOf(bytes.subarray(0, start + bytesMax + 1), at + 1);
        if (close < 0) throw new JsonError(`${what} has no end, or is too long`);
        at = close;
        break;
      }
      case 0x7b:
      case 0x5b:
        depth++;
        break;
      case CLOSE_OBJECT:
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
  while (bytes[at] === 0x20 || bytes[at] === 0x0a || bytes[at] === 0x0d || bytes[at] === 0x09) {
    if (++at - from > SPACE_BYTES_MAX) throw new JsonError("it has too much space");
  }
  return at;
}
