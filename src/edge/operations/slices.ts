/** Long batches yield to the event loop, so that one caller's 10,000 keys don't hold up another's one. */
import { OperationError } from "../../base/errors.ts";
import { beginSlice, yieldToEventLoop } from "../../base/time/turns.ts";
import type { MaybePromise } from "./operations.ts";

/** In the place of an item that a defect has ended; its batch ends with it, so nobody sees this. */
const ENDED_BY_DEFECT = new OperationError("lease_unavailable", "This item has ended by a defect.");

/**
 * Runs each item and gives what it ended with, in their order: its result, or its own error. At once while the items are few and
 * each ends at once. A defect of one item ends the batch; `discard` gets what the others had given.
 */
export function runEach<Item, Result>(
  items: readonly Item[],
  bytesOf: (item: Item) => number,
  run: (item: Item) => MaybePromise<Result>,
  discard: (result: Result) => void,
): MaybePromise<(Result | OperationError)[]> {
  const results: MaybePromise<Result | OperationError>[] = [];
  try {
    const next = runSlice(items, 0, bytesOf, run, results);
    if (next === items.length && !results.some((result) => result instanceof Promise)) {
      return results as (Result | OperationError)[];
    }
    return runRest(items, next, bytesOf, run, discard, results);
  } catch (error) {
    discardAll(results, discard);
    throw error;
  }
}

/** Runs the items from `start` until the slice is full; returns where the next one begins. */
function runSlice<Item, Result>(
  items: readonly Item[],
  start: number,
  bytesOf: (item: Item) => number,
  run: (item: Item) => MaybePromise<Result>,
  results: MaybePromise<Result | OperationError>[],
): number {
  const isOver = beginSlice();
  let index = start;
  while (index < items.length) {
    const item = items[index++]!;
    try {
      const result = run(item);
      results.push(result instanceof Promise ? result.catch(itsError) : result);
    } catch (error) {
      results.push(itsError(error));
    }
    if (isOver(bytesOf(item))) break;
  }
  return index;
}

async function runRest<Item, Result>(
  items: readonly Item[],
  start: number,
  bytesOf: (item: Item) => number,
  run: (item: Item) => MaybePromise<Result>,
  discard: (result: Result) => void,
  results: MaybePromise<Result | OperationError>[],
): Promise<(Result | OperationError)[]> {
  let settled = 0;
  let next = start;
  try {
    for (;;) {
      // Most end at once: to wait for each costs more than to run it.
      const newest = results.slice(settled);
      if (newest.some((result) => result instanceof Promise)) {
        const ended = await Promise.allSettled(newest);
        const defect = ended.find((result) => result.status === "rejected");
        ended.forEach((result, index) => {
          results[settled + index] = result.status === "fulfilled" ? result.value : ENDED_BY_DEFECT;
        });
        if (defect !== undefined) throw defect.reason;
      }
      settled = results.length;
      if (next === items.length) return results as (Result | OperationError)[];
      await yieldToEventLoop();
      next = runSlice(items, next, bytesOf, run, results);
    }
  } catch (error) {
    discardAll(results, discard);
    throw error;
  }
}

function discardAll<Result>(
  results: readonly MaybePromise<Result | OperationError>[],
  discard: (result: Result) => void,
): void {
  for (const result of results) {
    if (result instanceof Promise) {
      result.then(
        (late) => late instanceof OperationError || discard(late),
        () => {},
      );
    } else if (!(result instanceof OperationError)) discard(result);
  }
}

/** Expected errors are an item's own; anything else is a defect and must not be turned into an answer of one item. */
function itsError(error: unknown): OperationError {
  if (error instanceof OperationError) return error;
  throw error;
}
