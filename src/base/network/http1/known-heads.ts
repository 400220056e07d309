/** Heads that a connection has sent before: a client sends the same few again and again, and each is read once. */
import type { Http1Head } from "./head.ts";

/** A client has one for each path that it calls, and for each length of a body. */
const HEADS_MAX = 6;

interface KnownHead {
  /** With the empty line at its end. */
  readonly bytes: Buffer;
  readonly head: Http1Head;
}

export class KnownHeads {
  readonly #known: KnownHead[] = [];
  #oldest = 0;

  /** The head that these bytes begin with, and how long it is. */
  find(received: Buffer): KnownHead | undefined {
    for (let index = 0; index < this.#known.length; index++) {
      const known = this.#known[index]!;
      const { length } = known.bytes;
      if (received.length >= length && known.bytes.compare(received, 0, length) === 0) return known;
    }
    return undefined;
  }

  /** `bytes` is copied. */
  add(bytes: Uint8Array, head: Http1Head): void {
    const known = { bytes: Buffer.from(bytes), head };
    if (this.#known.length < HEADS_MAX) {
      this.#known.push(known);
      return;
    }
    this.#known[this.#oldest] = known;
    this.#oldest = (this.#oldest + 1) % HEADS_MAX;
  }
}
