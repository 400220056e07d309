/** Which sockets have something to be read, or have ended: the system is asked, and nothing is read. */
import { LIBC } from "./libc.ts";
import { foreignFunctions } from "./system-calls.ts";

/** Of each descriptor, in their order. At most `DESCRIPTORS_MAX`; a negative one is never readable. */
export type AskReadable = (descriptors: readonly number[]) => readonly boolean[];

/** In one call: some 20 µs. */
export const DESCRIPTORS_MAX = 256;

/** The same on Linux and macOS, as is `struct pollfd { int fd; short events; short revents; }`. */
const POLLIN = 1;
const INTS = 2;

/** Undefined where the system can't be asked: on others than Linux and macOS, and in a runtime without foreign functions. */
export async function openAskReadable(): Promise<AskReadable | undefined> {
  const { platform } = process;
  if (platform !== "linux" && platform !== "darwin") return undefined;
  try {
    const foreign = await foreignFunctions();
    if (foreign === undefined) return undefined;
    const { poll } = foreign.open(LIBC[platform], {
      poll: { parameters: ["bytes", "u64", "i32"], result: "i32" },
    });
    const asked = new Int32Array(INTS * DESCRIPTORS_MAX);
    const bytes = new Uint8Array(asked.buffer);
    return (descriptors) => {
      for (const [index, descriptor] of descriptors.entries()) {
        asked[INTS * index] = descriptor;
        asked[INTS * index + 1] = POLLIN;
      }
      const found = Number(poll(bytes, descriptors.length, 0));
      // `revents` is the higher half; an error and an end are told there too.
      return descriptors.map((_, index) => found > 0 && asked[INTS * index + 1]! >>> 16 !== 0);
    };
  } catch {
    // No library to call.
    return undefined;
  }
}
