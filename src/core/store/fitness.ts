/**
 * Whether this process may go on with its store. What is lost here comes back by a restart only: another program has the keys now, or
 * nobody knows who has.
 */
import { StoreUnfit } from "./store.ts";

export class Fitness {
  readonly #onLost: (reason: string) => void;
  #reason: string | undefined;

  /** `onLost` is called once at most. */
  constructor(onLost: (reason: string) => void = () => undefined) {
    this.#onLost = onLost;
  }

  /** A sentence; undefined while this process may go on. */
  get lost(): string | undefined {
    return this.#reason;
  }

  lose(reason: string): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#onLost(reason);
  }

  /** @throws StoreUnfit */
  check(): void {
    if (this.#reason !== undefined) throw new StoreUnfit(this.#reason);
  }
}
