/**
 * The crypto library copies the key of a `createCipheriv` into a block of its own, and frees the block unwiped: 24
 * of the 32 bytes stay there until something else is put in. This puts something else in.
 */
import type { Clock } from "../../base/time/clock.ts";
import { WRAPPING_KEY_LENGTH } from "./key-derivation.ts";

/** More than there are free blocks of that size in a busy edge. */
const BLOCKS = 65_536;
/** As many as are taken at one go, in about a millisecond: requests come between. */
const BLOCKS_AT_ONCE = 4096;
const PAUSE_MS = 1;
/** From the first session wiped to the overwriting: what a revocation has to do first comes before it. */
const DELAY_MS = 250;
/** From one overwriting to the next, when sessions end one after another. */
const INTERVAL_MS = 2000;

/** Takes free blocks of the size of a key, overwriting each with zeros. */
function takeBlocks(count: number): ArrayBuffer[] {
  return Array.from({ length: count }, () => new ArrayBuffer(WRAPPING_KEY_LENGTH));
}

/** Overwrites the freed keys now. Takes some 30 ms: the edge does it in small steps. */
export function overwriteFreedKeys(): number {
  return takeBlocks(BLOCKS).length;
}

/**
 * Answers a function to call when a session has been wiped. The overwriting then begins `DELAY_MS` later, or `INTERVAL_MS`
 * after it last began if that is later, and is done in steps.
 */
export function createFreedKeyOverwriter(clock: Clock): () => void {
  let overwriter = overwriters.get(clock);
  if (overwriter === undefined) {
    overwriter = makeOverwriter(clock);
    overwriters.set(clock, overwriter);
  }
  return overwriter;
}

/** The free blocks are the process's: edges that share it share the work too. */
const overwriters = new WeakMap<Clock, () => void>();

function makeOverwriter(clock: Clock): () => void {
  let scheduled = false;
  let beganMs = Number.NEGATIVE_INFINITY;

  const begin = (): void => {
    scheduled = false;
    beganMs = clock.monotonicMs();
    // Held until all are taken: a block given back would be given out again.
    const held: ArrayBuffer[][] = [];
    const step = (): void => {
      held.push(takeBlocks(BLOCKS_AT_ONCE));
      if (held.length * BLOCKS_AT_ONCE < BLOCKS) clock.schedule(PAUSE_MS, step);
    };
    step();
  };

  return () => {
    if (scheduled) return;
    scheduled = true;
    clock.schedule(Math.max(DELAY_MS, beganMs + INTERVAL_MS - clock.monotonicMs()), begin);
  };
}
