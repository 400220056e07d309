/**
 * Memory for long bodies, of requests and of answers, used again. Memory that is new costs most when it is written first, and the collector stops the more often the more
 * of it is asked for: with one batch of megabytes after another it would stop for each.
 */
import { runInTurns } from "../../time/run-in-turns.ts";

/** A shorter body has memory of its own: that of a request for one key or value always. */
const LONG_BYTES = 131_073;
/** Together, of what nobody uses. */
const KEPT_BYTES_MAX = 33_554_432;
/** From the last use of any of it on. */
const KEPT_MS = 2_000;
/** What is wiped in one go. */
const WIPED_BYTES = 262_144;

/** Memory of a body, whoever uses it. All of what is kept is wiped. */
export class LongMemory {
  readonly #kept: Buffer[] = [];
  #keptBytes = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** At least so many bytes, whatever they hold. */
  take(length: number): Buffer {
    if (length < LONG_BYTES) return Buffer.allocUnsafeSlow(length);
    let best = -1;
    this.#kept.forEach((kept, index) => {
      if (kept.length >= length && (best < 0 || kept.length < this.#kept[best]!.length)) best = index;
    });
    if (best < 0) return Buffer.allocUnsafeSlow(length);
    const [buffer] = this.#kept.splice(best, 1);
    this.#keptBytes -= buffer!.length;
    return buffer!;
  }

  /** What nobody uses any more, of which `used` bytes were written: they are wiped first, in turns with everyone else's requests. */
  async give(buffer: Buffer, used: number): Promise<void> {
    if (buffer.length < LONG_BYTES) return;
    await runInTurns(Math.ceil(used / WIPED_BYTES), (index) => {
      buffer.subarray(index * WIPED_BYTES, Math.min(used, (index + 1) * WIPED_BYTES)).fill(0);
      return WIPED_BYTES;
    });
    if (this.#keptBytes + buffer.length > KEPT_BYTES_MAX) return;
    this.#kept.push(buffer);
    this.#keptBytes += buffer.length;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#letGo(), KEPT_MS);
    this.#timer.unref();
  }

  /** The same of the memory that `part` is of, which was written up to its end. A short one is wiped at once and is not used again. */
  giveBack(part: Buffer): void {
    const { buffer, byteOffset, length } = part;
    if (buffer.byteLength < LONG_BYTES) part.fill(0);
    else void this.give(Buffer.from(buffer as ArrayBuffer), byteOffset + length);
  }

  /** Of what nobody uses, in bytes. */
  get keptBytes(): number {
    return this.#keptBytes;
  }

  /** Now, not when the collector comes by: an edge that rests is not collected. */
  #letGo(): void {
    for (const { buffer } of this.#kept.splice(0)) (buffer as ArrayBuffer).transfer(0);
    this.#keptBytes = 0;
  }
}

/** The one of this process. */
export const longMemory = new LongMemory();
