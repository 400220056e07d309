/**
 * Long work in turns with everyone else's requests, so that one caller's 10,000 keys don't hold up another's one. A turn of the event loop
 * gives long work one slice, however many callers have some: those who wait get theirs one after another.
 */

/** About a millisecond's work. A batch up to this runs in one go. */
export const TURN_KEYS = 1_000;

/** How long a slice goes on, in milliseconds, where its items may cost much: a bad one costs ten times a good one, for the error that it gets. */
const SLICE_MS = 0.5;

/** Of a slice's items, between two looks at the clock. */
export const ITEMS_BETWEEN_LOOKS = 16;

/** When a slice that begins now should end. */
export function sliceEndMs(): number {
  return performance.now() + SLICE_MS;
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
  const start = mapped.length;
  const end = Math.min(items.length, start + TURN_KEYS);
  const endMs = sliceEndMs();
  for (let bytes = 0; mapped.length < end && bytes < TURN_BYTES; ) {
    if (mapped.length > start && mapped.length % ITEMS_BETWEEN_LOOKS === 0 && performance.now() > endMs) break;
    const item = items[mapped.length]!;
    bytes += bytesOf(item);
    mapped.push(map(item, mapped.length));
  }
}
