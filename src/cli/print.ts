/** What a command prints on standard output: whole, in order, and never lost without a word. */
import { writeSync } from "node:fs";
import { OUTPUT_ENDED } from "./exit-codes.ts";

const STANDARD_OUTPUT = 1;
/** How long it waits before it asks a slow reader again, whose pipe another process has set not to block. */
const RETRY_MS = 5;

/**
 * Prints a text and the end of its line; waits for a slow reader.
 * @throws Error named `OUTPUT_ENDED` when nobody reads any more
 * @throws Error when the text can't be written, on a full disk for example
 */
export function print(text: string): void {
  write(`${text}\n`);
}

/** The same without the end of a line. */
export function write(text: string): void {
  let rest: Uint8Array = Buffer.from(text, "utf8");
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(STANDARD_OUTPUT, rest));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EAGAIN") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
      else if (code === "EPIPE") {
        throw Object.assign(new Error("Nobody reads standard output any more."), { name: OUTPUT_ENDED });
      } else throw new Error(`standard output can't be written (${code}): give it a place with room, or a reader`);
    }
  }
}
