/**
 * Long work in turns with everyone else's requests, so that one caller's 10,000 keys don't hold up another's one. A turn of the event loop
 * gives long work one slice, however many callers have some: those who wait get theirs one after another.
 */

/** About a millisecond's work. A batch up to this runs in one go. */
export const TURN_KEYS = 1_000;

/** How long a slice goes on, in milliseconds. */
const SLICE_MS = 0.25;
/** Of a slice's items, between two looks at the clock. */
const ITEMS_BETWEEN_LOOKS = 16;
/** Of an item, what counts as one more. */
const BYTES_OF_AN_ITEM = 512;

/**
 * A slice of work on many items. By the clock, not by their number: a bad one costs ten times a good one, for the error that it gets.
 *
 *     const slice = new Slice();
 *     for (const item of items) {
 *       work(item);
 *       if (slice.isOver()) {
 *         await yieldToEventLoop();
 *         slice.begin();
 *       }
 *     }
 */
export class Slice {
  #endMs = 0;
  #left = 0;

  constructor() {
    this.begin();
  }

  begin(): void {
    this.#endMs = performance.now() + SLICE_MS;
    this.#left = ITEMS_BETWEEN_LOOKS;
  }

  /** Asked once after each item, with its bytes where the work grows with them. Tells whether others should have their turn. */
  isOver(bytes = 0): boolean {
    this.#left -= 1 + bytes / BYTES_OF_AN_ITEM;
    if (this.#left > 0) return false;
    this.#left = ITEMS_BETWEEN_LOOKS;
    return performance.now() >= this.#endMs;
  }
}

/** Calls in the order of asking. */
class Line {
  #waiting: (() => void)[] = [];
  #called = 0;

  add(call: () => void): void {
    this.#waiting.push(call);
  }

  get isEmpty(): boolean {
    return this.#called === this.#waiting.length;
  }

  callNext(): void {
    const next = this.#waiting[this.#called++]!;
    if (this.isEmpty || this.#called > 1_024) {
      this.#waiting.splice(0, this.#called);
      this.#called = 0;
    }
    next();
  }
}

const requests = new Line();
const slices = new Line();
let isAwaited = false;
/** How much of this turn is used: 1 is a slice. */
let used = 0;

/** Resolves when the caller may run its next slice: one of all that wait in each turn of the event loop. */
export function yieldToEventLoop(): Promise<void> {
  return new Promise(waitForSlice);
}

function waitForSlice(run: () => void): void {
  slices.add(run);
  awaitTurn();
}

/** Calls back in a turn that has room, before the slices; what is done then counts by `useTurn`. */
export function whenTurnHasRoom(run: () => void): void {
  requests.add(run);
  awaitTurn();
}

/** Counts work that is done at once: a part of a slice. */
export function useTurn(part: number): void {
  used += part;
  awaitTurn();
}

/** Whether what may be long should wait. */
export function isTurnUsed(): boolean {
  return used >= 1;
}

/** For work that is begun at once where this turn has room for that part of a slice: undefined, it counts; else resolves when it may. */
export function turnFor(part: number): Promise<void> | undefined {
  if (used > 0 && used + part > 1) return yieldToEventLoop();
  useTurn(part);
  return undefined;
}

function awaitTurn(): void {
  if (isAwaited) return;
  isAwaited = true;
  setImmediate(beginTurn);
}

function beginTurn(): void {
  isAwaited = false;
  used = 0;
  while (used < 1 && !requests.isEmpty) requests.callNext();
  if (!slices.isEmpty) slices.callNext();
  used = 0;
  if (!requests.isEmpty || !slices.isEmpty) awaitTurn();
}

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
  const slice = new Slice();
  while (mapped.length < items.length) {
    const item = items[mapped.length]!;
    mapped.push(map(item, mapped.length));
    if (slice.isOver(bytesOf(item))) break;
  }
}

/** Calls `run` for each index below `count`, many of them in turns; it gives the bytes that it worked on, where the work grows with them. */
export async function runInTurns(count: number, run: (index: number) => number): Promise<void> {
  const slice = new Slice();
  for (let index = 0; index < count; index++) {
    if (!slice.isOver(run(index))) continue;
    await yieldToEventLoop();
    slice.begin();
  }
}
