/** Long lists worked on in slices. Loaded where there are some. */
import { beginSlice, yieldToEventLoop } from "./turns.ts";

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
  const isOver = beginSlice();
  while (mapped.length < items.length) {
    const item = items[mapped.length]!;
    mapped.push(map(item, mapped.length));
    if (isOver(bytesOf(item))) break;
  }
}

/** Calls `run` for each index below `count`, many of them in turns; it gives the bytes that it worked on, where the work grows with them. */
export async function runInTurns(count: number, run: (index: number) => number): Promise<void> {
  let isOver = beginSlice();
  for (let index = 0; index < count; index++) {
    if (!isOver(run(index))) continue;
    await yieldToEventLoop();
    isOver = beginSlice();
  }
}
