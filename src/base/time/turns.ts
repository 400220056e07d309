/** Long batches in turns with everyone else's requests, so that one caller's 10,000 keys don't hold up another's one. */

/** About a millisecond's work. A batch up to this runs in one go. */
export const TURN_KEYS = 1_000;

/** Resolves after what waits in the event loop has run. */
export function yieldToEventLoop(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** As many bytes of items as a turn takes, where a mapping's work grows with them. */
const TURN_BYTES = 524_288;

/** `items` mapped, many of them in turns; so are a few large ones, where `bytesOf` says how large each is. */
export function mapInTurns<From, To>(
  items: readonly From[],
  map: (item: From, index: number) => To,
  bytesOf: (item: From) => number = () => 0,
): To[] | Promise<To[]> {
  const mapped: To[] = [];
  mapTurn(items, map, bytesOf, mapped);
  return mapped.length === items.length ? mapped : mapRest(items, map, bytesOf, mapped);
}

async function mapRest<From, To>(
  items: readonly From[],
  map: (item: From, index: number) => To,
  bytesOf: (item: From) => number,
  mapped: To[],
): Promise<To[]> {
  while (mapped.length < items.length) {
    await yieldToEventLoop();
    mapTurn(items, map, bytesOf, mapped);
  }
  return mapped;
}

function mapTurn<From, To>(
  items: readonly From[],
  map: (item: From, index: number) => To,
  bytesOf: (item: From) => number,
  mapped: To[],
): void {
  const end = Math.min(items.length, mapped.length + TURN_KEYS);
  for (let bytes = 0; mapped.length < end && bytes < TURN_BYTES; ) {
    const item = items[mapped.length]!;
    bytes += bytesOf(item);
    mapped.push(map(item, mapped.length));
  }
}
