/**
 * Long work in turns with everyone else's requests, so that one caller's 10,000 keys don't hold up another's one. A turn of the event loop
 * gives long work one slice, however many callers have some: those who wait get theirs one after another.
 */

/** How long a slice goes on, in milliseconds. */
const SLICE_MS = 0.25;
/** Of a slice's items, between two looks at the clock. */
const ITEMS_BETWEEN_LOOKS = 16;
/** Of an item, what counts as one more. */
const BYTES_OF_AN_ITEM = 512;

/**
 * Begins a slice of work on many items, by the clock, not by their number: a bad one costs ten times a good one, for the error that it gets.
 * What it gives is asked once after each item, with the item's bytes where the work grows with them, and tells whether others should have their turn.
 *
 *     let isOver = beginSlice();
 *     for (const item of items) {
 *       work(item);
 *       if (isOver()) {
 *         await yieldToEventLoop();
 *         isOver = beginSlice();
 *       }
 *     }
 */
export function beginSlice(): (bytes?: number) => boolean {
  const endMs = performance.now() + SLICE_MS;
  let left = ITEMS_BETWEEN_LOOKS;
  return (bytes = 0) => {
    left -= 1 + bytes / BYTES_OF_AN_ITEM;
    if (left > 0) return false;
    left = ITEMS_BETWEEN_LOOKS;
    return performance.now() >= endMs;
  };
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
/** And how much of the turn in which the runtime next tells what has come. */
let usedAhead = 0;
/** Where requests wait as well as slices, every other turn is theirs. */
let isSlicesTurn = false;

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

/** Counts work that the runtime will do with what it reads next, called by one whose turn it is. */
export function useComingTurn(part: number): void {
  used += part;
  usedAhead += part;
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

/**
 * For a request that takes more than most, with what may be long still before it: undefined where this turn has room for that part of a slice,
 * and it counts; else resolves when one has, before the slices and in the order of asking.
 */
export function roomFor(part: number): Promise<void> | undefined {
  if (!isTurnUsed() && requests.isEmpty) {
    useTurn(part);
    return undefined;
  }
  return new Promise((resolve) => {
    whenTurnHasRoom(() => {
      useTurn(part);
      resolve();
    });
  });
}

function awaitTurn(): void {
  if (isAwaited) return;
  isAwaited = true;
  setImmediate(beginTurn);
}

function beginTurn(): void {
  isAwaited = false;
  used = 0;
  isSlicesTurn = slices.isEmpty ? false : requests.isEmpty || !isSlicesTurn;
  if (isSlicesTurn) slices.callNext();
  else while (used < 1 && !requests.isEmpty) requests.callNext();
  used = usedAhead;
  usedAhead = 0;
  if (!requests.isEmpty || !slices.isEmpty) awaitTurn();
}
