/** Random bytes of libcrypto's own generator, drawn in advance into the scratch memory, where they stay until they are used. */
import { check, type Library } from "./library.ts";
import { POOL, POOL_LENGTH, type Scratch, wholeWords } from "./scratch.ts";

/** In bits: as strong as the keys. */
const STRENGTH = 256;

export class RandomDraws {
  readonly #library: Library;
  readonly #scratch: Scratch;
  /** For tests that need a known salt and nonce. */
  readonly #fill: ((bytes: Uint8Array) => void) | undefined;
  #next = POOL + POOL_LENGTH;

  constructor(library: Library, scratch: Scratch, fill: ((bytes: Uint8Array) => void) | undefined) {
    this.#library = library;
    this.#scratch = scratch;
    this.#fill = fill;
  }

  /** Where in the scratch memory the next `length` random bytes are. Whoever draws them wipes them there. */
  draw(length: number): number {
    if (this.#fill !== undefined) {
      this.#fill(this.#scratch.bytes.subarray(POOL, POOL + length));
      return POOL;
    }
    const place = this.#next;
    const end = place + wholeWords(length);
    if (end > POOL + POOL_LENGTH) return this.#refill(length);
    this.#next = end;
    return place;
  }

  fill(target: Uint8Array): void {
    const { bytes } = this.#scratch;
    for (let offset = 0; offset < target.length; offset += POOL_LENGTH) {
      const part = target.subarray(offset, offset + POOL_LENGTH);
      const place = this.draw(part.length);
      part.set(bytes.subarray(place, place + part.length));
      this.#scratch.wipeWords(place, part.length);
    }
  }

  /** Forgets what was drawn in advance; what comes is of a new seed. */
  reseed(): void {
    const { functions: call, context } = this.#library;
    const generator = Number(call.RAND_get0_public(context));
    // With prediction resistance: from the operating system, by way of every generator between.
    check(call.EVP_RAND_reseed(generator, 1, 0, 0, 0, 0));
    this.#scratch.bytes.fill(0, POOL, POOL + POOL_LENGTH);
    this.#next = POOL + POOL_LENGTH;
  }

  #refill(length: number): number {
    const { functions: call, context } = this.#library;
    check(call.RAND_bytes_ex(context, this.#scratch.address + POOL, POOL_LENGTH, STRENGTH));
    this.#next = POOL + wholeWords(length);
    return POOL;
  }
}
