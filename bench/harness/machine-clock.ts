/**
 * One clock for every process of this machine. `performance.now()` counts from each process's own start, and where that
 * start lies on the wall clock shifts as the wall clock is corrected.
 */
import { dlopen, ptr } from "bun:ffi";

const CLOCK_MONOTONIC = 1;

const library = dlopen("libc.so.6", { clock_gettime: { args: ["i32", "ptr"], returns: "i32" } });
const time = new BigInt64Array(2);
const timePointer = ptr(time);

/** Milliseconds since the machine's start, with a fraction. */
export function machineMs(): number {
  library.symbols.clock_gettime(CLOCK_MONOTONIC, timePointer);
  return Number(time[0]) * 1_000 + Number(time[1]) / 1e6;
}
