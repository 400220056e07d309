/** Long batches yield to the event loop, so that one caller's 10,000 keys don't hold up another's one. */
import { OperationError } from "../../base/errors.ts";
import { beginSlice, yieldToEventLoop } from "../../base/time/turns.ts";
import type { MaybePromise, TakeResult } from "./operations.ts";

/** In the place of an item that a defect has ended; its batch ends with it, so nobody sees this. */
const ENDED_BY_DEFECT = new OperationError("lease_unavailable", "This item has ended by a defect.");

/**
 * Runs each item and gives what it ended with to `take`, in their order: its result, or its own error. At once while the items are few and
 * each ends at once. Whatever `run` or `take` throws is a defect and ends the batch; `discard` gets what was not taken then.
 */
export function runEach<Item, Result>(
  items: readonly Item[],
  bytesOf: (item: Item) => number,
  run: (item: Item) => MaybePromise<Result | OperationError>,
  take: TakeResult<Result>,
  discard: (result: Result) => void,
): MaybePromise<void> {
  const batch: Batch<Item, Result> = { items, bytesOf, run, take, discard, next: 0, waiting: [] };
  try {
    runSlice(batch);
  } catch (error) {
    discardWaiting(batch);
    throw error;
  }
  if (batch.next < items.length || batch.waiting.length > 0) return runRest(batch);
}

interface Batch<Item, Result> {
  readonly items: readonly Item[];
  readonly bytesOf: (item: Item) => number;
  readonly run: (item: Item) => MaybePromise<Result | OperationError>;
  readonly take: TakeResult<Result>;
  readonly discard: (result: Result) => void;
  /** Where the next slice begins. */
  next: number;
  /** What items of this slice end with, from the first on that has not ended at once. */
  readonly waiting: MaybePromise<Result | OperationError>[];
}

/** Runs items until the slice is full. */
function runSlice<Item, Result>(batch: Batch<Item, Result>): void {
  const { items, bytesOf, run, waiting } = batch;
  const isOver = beginSlice();
  while (batch.next < items.length) {
    const item = items[batch.next++]!;
    const result = run(item);
    if (waiting.length > 0 || result instanceof Promise) waiting.push(result);
    else give(batch, result);
    if (isOver(bytesOf(item))) break;
  }
}

async function runRest<Item, Result>(batch: Batch<Item, Result>): Promise<void> {
  const { items, waiting } = batch;
  try {
    for (;;) {
      // Most end at once: to wait for each costs more than to run it.
      if (waiting.length > 0) {
        const ended = await Promise.allSettled(waiting);
        const defect = ended.find((result) => result.status === "rejected");
        ended.forEach((result, index) => {
          waiting[index] = result.status === "fulfilled" ? result.value : ENDED_BY_DEFECT;
        });
        if (defect !== undefined) throw defect.reason;
        while (waiting.length > 0) give(batch, waiting.shift() as Result | OperationError);
      }
      if (batch.next === items.length) return;
      await yieldToEventLoop();
      runSlice(batch);
    }
  } catch (error) {
    discardWaiting(batch);
    throw error;
  }
}

function give<Item, Result>({ take, discard }: Batch<Item, Result>, result: Result | OperationError): void {
  try {
    take(result);
  } catch (error) {
    if (!(result instanceof OperationError)) discard(result);
    throw error;
  }
}

function discardWaiting<Item, Result>({ waiting, discard }: Batch<Item, Result>): void {
  for (const result of waiting) {
    if (result instanceof Promise) {
      result.then(
        (late) => late instanceof OperationError || discard(late),
        () => {},
      );
    } else if (!(result instanceof OperationError)) discard(result);
  }
}
