/**
 * Short turns with the processor for the thread that answers. Linux gives each thread a slice before it looks who waits (1.4 ms or more), so
 * that a compiler's or collector's thread that has just begun, or a neighbour, holds up whoever should answer. A thread that asks for short
 * slices comes before those as soon as it has something to do, and gets no more of the processor than before (since Linux 6.12; sched(7)).
 */
import { LIBC, type NativeFunctions } from "./libc.ts";
import { foreignFunctions } from "./system-calls.ts";

/** The shortest that there is. */
const SLICE_NANOSECONDS = 100_000n;

interface Numbers {
  readonly get: number;
  readonly set: number;
}
/** Of `sched_getattr` and `sched_setattr`. */
const NUMBERS: Readonly<Partial<Record<string, Numbers>>> = {
  x64: { get: 315, set: 314 },
  arm64: { get: 275, set: 274 },
};
const SYSCALL = { syscall: { parameters: ["i64", "i64", "bytes", "i64", "i64"], result: "i64" } } as const;
const THIS_THREAD = 0;

/** `struct sched_attr`: its size, and where its parts stand. */
const BYTES = 56;
const SIZE = 0;
const POLICY = 4;
const FLAGS = 8;
const RUNTIME = 24;
/** SCHED_OTHER and SCHED_BATCH: the policies that have slices. */
const SLICED = new Set([0, 3]);
/** Threads and processes that this one makes have the slices that everyone has. */
const RESET_ON_FORK = 1n;

/**
 * Asks for the thread that calls it. Does nothing where the system has no such slices, where the thread has shorter ones, or where a
 * real-time policy was chosen for it. Never throws: what the system refuses stays as it is.
 */
export async function askForShortSlices(): Promise<void> {
  const numbers = NUMBERS[process.arch];
  if (process.platform !== "linux" || numbers === undefined) return;
  try {
    const foreign = await foreignFunctions();
    if (foreign !== undefined) shortenSlices(foreign.open(LIBC.linux, SYSCALL), numbers);
  } catch {
    // No library to call, or no right to: then slices are as the system makes them.
  }
}

function shortenSlices({ syscall }: NativeFunctions<"syscall">, { get, set }: Numbers): void {
  const bytes = new Uint8Array(BYTES);
  if (Number(syscall(get, THIS_THREAD, bytes, BYTES, 0)) !== 0) return;
  const attributes = new DataView(bytes.buffer);
  // Before Linux 6.12 it is 0: there the system alone decides.
  const sliceNanoseconds = attributes.getBigUint64(RUNTIME, true);
  if (!SLICED.has(attributes.getUint32(POLICY, true)) || sliceNanoseconds <= SLICE_NANOSECONDS) return;
  attributes.setUint32(SIZE, BYTES, true);
  attributes.setBigUint64(FLAGS, attributes.getBigUint64(FLAGS, true) | RESET_ON_FORK, true);
  attributes.setBigUint64(RUNTIME, SLICE_NANOSECONDS, true);
  syscall(set, THIS_THREAD, bytes, 0, 0);
}
