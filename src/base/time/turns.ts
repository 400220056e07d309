/** Long batches in turns with everyone else's requests, so that one caller's 10,000 keys don't hold up another's one. */

/** About a millisecond's work. A batch up to this runs in one go. */
export const TURN_KEYS = 1_000;

/** Resolves when what waited has had its turn. */
export function othersTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** `items` mapped, many of them in turns. */
export function mapInTurns<From, To>(items: readonly From[], map: (item: From) => To): To[] | Promise<To[]> {
  return items.length <= TURN_KEYS ? items.map(map) : mapTurns(items, map);
}

async function mapTurns<From, To>(items: readonly From[], map: (item: From) => To): Promise<To[]> {
  const mapped: To[] = [];
  for (let start = 0; start < items.length; start += TURN_KEYS) {
    if (start > 0) await othersTurn();
    mapped.push(...items.slice(start, start + TURN_KEYS).map(map));
  }
  return mapped;
}
