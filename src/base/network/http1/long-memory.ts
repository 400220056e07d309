/**
 * Memory for long bodies, of requests and of answers, used again. Memory that is new costs most when it is written first, and the collector
 * stops the more often the more of it is asked for: with one batch of megabytes after another it would stop for each.
 */

/** A shorter body has memory of its own: that of a request for one key or value always. */
const LONG_BYTES = 131_073;
/** Together, of what nobody uses: the longest body that is taken, and some. */
const KEPT_BYTES_MAX = 20_971_520;
/** From the last time that some was given back. */
const KEPT_MS = 2_000;
/** What is wiped in one go. */
const WIPED_BYTES = 262_144;

let timer: ReturnType<typeof setTimeout> | undefined;

/** The one of this process. */
export const longMemory = {
  /** What nobody uses: all of it is wiped. */
  kept: [] as Buffer[],
  keptBytes: 0,

  /** At least so many bytes, whatever they hold. */
  take(length: number): Buffer {
    if (length < LONG_BYTES) return Buffer.allocUnsafeSlow(length);
    let best: Buffer | undefined;
    for (const buffer of longMemory.kept) {
      if (buffer.length >= length && buffer.length < (best?.length ?? Number.POSITIVE_INFINITY)) best = buffer;
    }
    if (best === undefined) return Buffer.allocUnsafeSlow(length);
    longMemory.kept.splice(longMemory.kept.indexOf(best), 1);
    longMemory.keptBytes -= best.length;
    return best;
  },

  /**
   * The memory that `part` is of, which nobody uses any more, and which was written up to the end of `part` at most. It is wiped first, a long
   * one in turns with everyone else's requests; a short one is not used again.
   */
  async give(part: Buffer): Promise<void> {
    if (part.buffer.byteLength < LONG_BYTES) return void part.fill(0);
    const buffer = Buffer.from(part.buffer as ArrayBuffer);
    const written = part.byteOffset + part.length;
    const { runInTurns } = await import("../../time/run-in-turns.ts");
    await runInTurns(Math.ceil(written / WIPED_BYTES), (index) => {
      buffer.subarray(index * WIPED_BYTES, Math.min(written, (index + 1) * WIPED_BYTES)).fill(0);
      return WIPED_BYTES;
    });
    if (longMemory.keptBytes + buffer.length > KEPT_BYTES_MAX) return free(buffer);
    longMemory.kept.push(buffer);
    longMemory.keptBytes += buffer.length;
    clearTimeout(timer);
    timer = setTimeout(() => {
      longMemory.kept.splice(0).forEach(free);
      longMemory.keptBytes = 0;
    }, KEPT_MS);
    timer.unref();
  },
};

/** Now, not when the collector comes by: an edge that rests is not collected. */
function free({ buffer }: Buffer): void {
  (buffer as ArrayBuffer).transfer(0);
}
