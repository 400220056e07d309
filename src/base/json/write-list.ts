/** A long list written as JSON in turns with everyone else's work. */
import { runInTurns } from "../time/run-in-turns.ts";
import { beginSlice } from "../time/turns.ts";

const PIECE_BYTES = 16_384;

type WriteItem<Item> = (item: Item, index: number) => string;

/**
 * `{"NAME":[…]}`, each item as `write` gives it: text of ASCII, or UTF-8. A short list at once, a long one later.
 *
 * `write` is called once for each item, in their order. `around`: text of the same answer, before and after it.
 */
export function writeJsonList<Item>(
  name: string,
  items: readonly Item[],
  write: WriteItem<Item>,
  yieldToOthers: () => Promise<void>,
  around: readonly [before: string, after: string] = ["", ""],
): Buffer | Promise<Buffer> {
  const pieces: Buffer[] = [];
  const first = writeTurn(items, 0, write, `${around[0]}{"${name}":[`, pieces);
  const end = Buffer.from(`]}${around[1]}`);
  if (first === items.length) return Buffer.concat([...pieces, end]);
  return writeRest(items, first, write, pieces, end, yieldToOthers);
}

async function writeRest<Item>(
  items: readonly Item[],
  from: number,
  write: WriteItem<Item>,
  pieces: Buffer[],
  end: Buffer,
  yieldToOthers: () => Promise<void>,
): Promise<Buffer> {
  for (let next = from; next < items.length; ) {
    await yieldToOthers();
    next = writeTurn(items, next, write, ",", pieces);
  }
  pieces.push(end);
  return joinInTurns(pieces, yieldToOthers);
}

/** One answer at a time: of each the memory is needed twice until it is together. */
let joining: Promise<unknown> = Promise.resolve();

/** Pieces put together in turns, and forgotten. Memory that is new costs most when it is written first: some milliseconds for a few megabytes. */
export function joinInTurns(pieces: Buffer[], yieldToOthers: () => Promise<void>): Promise<Buffer> {
  const joined = joining.then(async () => {
    const whole = Buffer.allocUnsafeSlow(pieces.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    await yieldToOthers();
    await runInTurns(pieces.length, () => {
      const piece = pieces.shift()!;
      at += piece.copy(whole, at);
      return piece.length;
    });
    return whole;
  });
  joining = joined.catch(() => undefined);
  return joined;
}

/** Writes items from `start` until the turn is over; returns where the next one begins. */
function writeTurn<Item>(
  items: readonly Item[],
  start: number,
  write: WriteItem<Item>,
  before: string,
  pieces: Buffer[],
): number {
  const isOver = beginSlice();
  let text = before;
  let index = start;
  while (index < items.length) {
    const item = write(items[index]!, index);
    text += (index === start ? "" : ",") + item;
    index++;
    // What is put together later would be after the slice.
    if (text.length >= PIECE_BYTES) {
      pieces.push(Buffer.from(text));
      text = "";
    }
    if (isOver(item.length)) break;
  }
  if (text !== "") pieces.push(Buffer.from(text));
  return index;
}
