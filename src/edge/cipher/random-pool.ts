import { randomFillSync } from "node:crypto";
import type { TakeMemory } from "./cipher.ts";

const POOL_LENGTH = 4096;

/**
 * Random bytes, drawn in advance from the operating system's generator by way of the crypto library. Each byte is handed out
 * once, and wiped from the pool as it is handed out (blob-format.md, "Rules for a writer"). `crypto.getRandomValues` won't do for
 * keys: Bun serves it from a pool that is not wiped, and that holds the next keys too.
 */
export class RandomPool {
  readonly #memory: ReturnType<TakeMemory>;
  readonly #bytes: Uint8Array;
  #next = POOL_LENGTH;
  #isClosed = false;

  /** The pool holds the next data keys: `takeMemory` gives it a place that others can't read, where there is such. */
  constructor(takeMemory: TakeMemory) {
    this.#memory = takeMemory(POOL_LENGTH);
    this.#bytes = this.#memory.bytes.subarray(0, POOL_LENGTH);
  }

  /** Fills `length` bytes of `target` from `offset` on; they are the caller's. */
  take(target: Uint8Array, offset = 0, length = target.length - offset): void {
    if (length > POOL_LENGTH) {
      randomFillSync(target.subarray(offset, offset + length));
      return;
    }
    if (this.#next + length > POOL_LENGTH) this.#refill();
    const bytes = this.#bytes;
    let from = this.#next;
    this.#next = from + length;
    for (let to = offset; to < offset + length; to++, from++) {
      target[to] = bytes[from]!;
      bytes[from] = 0;
    }
  }

  /** Forgets what was drawn in advance. */
  discard(): void {
    this.#bytes.fill(0);
    this.#next = POOL_LENGTH;
  }

  /** May be called twice: memory that was given back may be another's by then. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.discard();
    this.#memory.close();
  }

  #refill(): void {
    randomFillSync(this.#bytes);
    this.#next = 0;
  }
}
