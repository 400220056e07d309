/** Whose turn an attempt is (attempts.ts). */

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
