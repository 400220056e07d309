/**
 * Attempts that the processes of one edge must not repeat blindly, such as a login to a token that locks after a few wrong PINs: one at a
 * time, and never again once one has failed for good, until the edge is started anew.
 */

/** An attempt has failed in a way that trying again makes worse. Its message is what every later attempt ends with. */
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

/** Of one process, or of the supervisor of several. `holder` tells claims of different processes apart. */
export class Attempts<Holder = undefined> {
  readonly #failures = new Map<string, string>();
  readonly #turns = new Map<
    string,
    { holder: Holder; waiting: { holder: Holder; go: (failed: string | undefined) => void }[] }
  >();

  claim(name: string, holder: Holder): Promise<string | undefined> {
    const failed = this.#failures.get(name);
    if (failed !== undefined) return Promise.resolve(failed);
    const turn = this.#turns.get(name);
    if (turn !== undefined) return new Promise((go) => turn.waiting.push({ holder, go }));
    this.#turns.set(name, { holder, waiting: [] });
    return Promise.resolve(undefined);
  }

  settle(name: string, failure: string | undefined): void {
    const turn = this.#turns.get(name);
    if (turn === undefined) return;
    if (failure !== undefined) {
      this.#failures.set(name, failure);
      this.#turns.delete(name);
      for (const { go } of turn.waiting) go(failure);
      return;
    }
    const next = turn.waiting.shift();
    if (next === undefined) this.#turns.delete(name);
    else {
      turn.holder = next.holder;
      next.go(undefined);
    }
  }

  /** A process has ended. How an attempt of its that was under way went is not known: nobody tries again. */
  gone(holder: Holder): void {
    for (const [name, turn] of [...this.#turns]) {
      turn.waiting = turn.waiting.filter((each) => each.holder !== holder);
      if (turn.holder === holder)
        this.settle(name, "a process ended in the midst of it; start the edge anew to try again");
    }
  }
}

/** The turns of a process that is alone. */
export function aloneTurns(): AttemptTurns {
  const attempts = new Attempts();
  return {
    claim: (name) => attempts.claim(name, undefined),
    settle: (name, failure) => attempts.settle(name, failure),
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
