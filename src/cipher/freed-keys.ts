/**
 * The crypto library copies the key of every `createCipheriv` into a block of its own, and frees the block unwiped: 24
 * of the 32 bytes stay there until something else is put in. This puts something else in.
 */
import type { Clock } from "../clock/clock.ts";
import { WRAPPING_KEY_LENGTH } from "./key-derivation.ts";

/** More than the free blocks of that size in a busy edge; about 2 ms. */
const BLOCKS = 4096;
/** How long a wiped session's copies may stay when sessions end one after another. */
const INTERVAL_MS = 1000;

/** Takes every free block of the size of a key, overwriting each with zeros, and lets go of them. */
export function overwriteFreedKeys(): number {
  // Held until all are taken: a block given back would be given out again.
  const blocks = new Array<ArrayBuffer>(BLOCKS);
  for (let index = 0; index < BLOCKS; index++) blocks[index] = new ArrayBuffer(WRAPPING_KEY_LENGTH);
  return blocks.length;
}

/** Answers a function to call when a session has been wiped: the overwriting follows at once, but not twice a second. */
export function createFreedKeyOverwriter(clock: Clock): () => void {
  let scheduled = false;
  let lastMs = Number.NEGATIVE_INFINITY;
  return () => {
    if (scheduled) return;
    scheduled = true;
    clock.schedule(Math.max(0, lastMs + INTERVAL_MS - clock.monotonicMs()), () => {
      scheduled = false;
      overwriteFreedKeys();
      lastMs = clock.monotonicMs();
    });
  };
}
