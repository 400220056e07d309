/**
 * Attempts that the processes of one edge must not repeat blindly, such as a login to a token that locks after a few wrong PINs: one at a
 * time, and never again once one has failed for good, until the edge is started anew.
 */

import type { Attempts } from "./attempt-queue.ts";

/**
 * An attempt has failed in a way that trying again makes worse. Its message is what every later attempt ends with.
 *
 * @example
 * ```ts
 * await context.attempt("token", async () => {
 *   if (await isPinLocked()) throw new FinalFailure("The token's PIN is locked: unlock it, then start the edge again.");
 * });
 * ```
 */
export class FinalFailure extends Error {
  override readonly name = "FinalFailure";
}

/** Who may try. */
export interface AttemptTurns {
  /** Resolves when it is this process's turn: to nothing, or to the sentence of the attempt that has failed for good. */
  claim(name: string): Promise<string | undefined>;
  /** Ends the turn. `failure`: nobody tries again. */
  settle(name: string, failure: string | undefined): void;
}

/** The turns of a process that is alone. Whatever keeps them is loaded by the first attempt. */
export function aloneTurns(): AttemptTurns {
  let attempts: Promise<Attempts> | undefined;
  const load = async (): Promise<Attempts> => new (await import("./attempt-queue.ts")).Attempts();
  return {
    async claim(name) {
      attempts ??= load();
      return (await attempts).claim(name, undefined);
    },
    settle: (name, failure) => void attempts?.then((queue) => queue.settle(name, failure)),
  };
}

/** Runs one attempt in its turn. @throws what it throws; {FinalFailure} without running it, where one has failed for good */
export async function attemptInTurn<T>(turns: AttemptTurns, name: string, run: () => T | Promise<T>): Promise<T> {
  const failed = await turns.claim(name);
  if (failed !== undefined) throw new FinalFailure(failed);
  let failure: string | undefined;
  try {
    return await run();
  } catch (error) {
    if (error instanceof FinalFailure) failure = error.message;
    throw error;
  } finally {
    turns.settle(name, failure);
  }
}
