/** A long list written as JSON in turns with everyone else's work. */

const TURN_ITEMS = 500;
const TURN_CHARACTERS = 524_288;

/**
 * `{"NAME":[…]}`, each item as `write` gives it: text of ASCII, or UTF-8. A short list at once, a long one later.
 *
 * `write` is called once for each item, in their order.
 */
export function writeJsonList<Item>(
  name: string,
  items: readonly Item[],
  write: (item: Item) => string,
  yieldToOthers: () => Promise<void>,
): Buffer | Promise<Buffer> {
  const pieces: Buffer[] = [];
  const first = writeTurn(items, 0, write, `{"${name}":[`, pieces);
  if (first === items.length) return Buffer.concat([...pieces, Buffer.from("]}")]);
  return writeRest(items, first, write, pieces, yieldToOthers);
}

async function writeRest<Item>(
  items: readonly Item[],
  from: number,
  write: (item: Item) => string,
  pieces: Buffer[],
  yieldToOthers: () => Promise<void>,
): Promise<Buffer> {
  for (let next = from; next < items.length; ) {
    await yieldToOthers();
    next = writeTurn(items, next, write, ",", pieces);
  }
  return Buffer.concat([...pieces, Buffer.from("]}")]);
}

/** Writes items from `start` until the turn is over; returns where the next one begins. */
function writeTurn<Item>(
  items: readonly Item[],
  start: number,
  write: (item: Item) => string,
  before: string,
  pieces: Buffer[],
): number {
  const end = Math.min(items.length, start + TURN_ITEMS);
  let text = before;
  let index = start;
  while (index < end && text.length < TURN_CHARACTERS) {
    text += (index === start ? "" : ",") + write(items[index]!);
    index++;
  }
  pieces.push(Buffer.from(text));
  return index;
}
