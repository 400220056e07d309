/** Time that passes by looking alone: slices end after the same items on every machine. */
import { spyOn } from "bun:test";

/** Items of no size in each slice then (base/time/turns.ts): three looks at the clock, one after each sixteen. */
export const ITEMS_OF_SLICE = 48;

const LOOK_MS = 0.1;

export function slowLooks(): Disposable {
  let nowMs = 0;
  return spyOn(performance, "now").mockImplementation(() => {
    nowMs += LOOK_MS;
    return nowMs;
  });
}
