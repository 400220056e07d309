import { wipe } from "../../base/wipe.ts";
import type { MaybePromise } from "../operations/operations.ts";

/** What follows an operation: at once where it has answered at once, so that a hit makes no promise. */
export function after<T, R>(made: MaybePromise<T>, then: (value: T) => MaybePromise<R>): MaybePromise<R> {
  return made instanceof Promise ? made.then(then) : then(made);
}

/** Runs what needs `secrets`, and wipes them when that has ended, well or not. */
export function usingSecrets<T>(secrets: readonly Uint8Array[], run: () => MaybePromise<T>): MaybePromise<T> {
  const wipeAll = (): void => {
    for (const secret of secrets) wipe(secret);
  };
  try {
    const made = run();
    if (made instanceof Promise) return made.finally(wipeAll);
    wipeAll();
    return made;
  } catch (error) {
    wipeAll();
    throw error;
  }
}
