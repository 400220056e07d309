import { randomFillSync } from "node:crypto";

const POOL_LENGTH = 4096;

/**
 * Random bytes, drawn in advance from the operating system's generator by way of the crypto library. Each byte is handed out
 * once, and wiped from the pool as it is handed out (blob-format.md, "Rules for a writer"). `crypto.getRandomValues` won't do for
 * keys: Bun serves it from a pool that is not wiped, and that holds the next keys too.
 */
export class RandomPool {
  readonly #fill: (bytes: Uint8Array) => void;
  /** Of its own backing store: `randomFillSync` then makes no copy. */
  readonly #bytes = new Uint8Array(new ArrayBuffer(POOL_LENGTH));
  #next = POOL_LENGTH;

  constructor(fill: (bytes: Uint8Array) => void = randomFillSync) {
    this.#fill = fill;
  }

  /** Fills `length` bytes of `target` from `offset` on; they are the caller's. */
  take(target: Uint8Array, offset = 0, length = target.length - offset): void {
    if (length > POOL_LENGTH) {
      this.#fill(target.subarray(offset, offset + length));
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

  #refill(): void {
    this.#fill(this.#bytes);
    this.#next = 0;
  }
}
