/** Where `seal` and `open` read: a file, or standard input. */
import { closeSync, constants, fstatSync, openSync, read, readSync } from "node:fs";
import { promisify } from "node:util";
import { messageOf } from "../../base/errors.ts";

/** Standard input, and for outputs standard output. */
export const STANDARD_STREAM = "-";
const AGAIN_MS = 5;
const readLater = promisify(read);

export interface Input {
  /** How long it seems to be: for a progress bar, and for nothing else; undefined for a pipe. Files in /proc say 0. */
  readonly sizeBytes: number | undefined;
  /** Fills `target` from where the last read ended, unless the input ends first; answers how far. */
  read(target: Uint8Array): Promise<number>;
  close(): void;
}

/** @throws Error for what can't be read, or is no file: opening never waits for somebody at the other end */
export function openInput(path: string): Input {
  if (path === STANDARD_STREAM) return inputOf(0, () => undefined);
  let file: number;
  try {
    // A named pipe would keep the program waiting before it can be seen to be one.
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw new Error(cannotBeRead(path, error));
  }
  if (fstatSync(file).isFile()) return inputOf(file, () => closeSync(file));
  closeSync(file);
  throw new Error(`${path} is not a file. To read from a pipe or a device, pass - and redirect standard input.`);
}

function inputOf(file: number, close: () => void): Input {
  const stats = fstatSync(file);
  const isFile = stats.isFile();
  return {
    sizeBytes: isFile ? stats.size : undefined,
    async read(target) {
      let filled = 0;
      while (filled < target.length) {
        const read = await readSome(file, isFile, target.subarray(filled));
        if (read === 0) break;
        filled += read;
      }
      return filled;
    },
    close,
  };
}

/** A file is read at once; a pipe beside the event loop, which has signals to hear while nothing comes. */
async function readSome(file: number, isFile: boolean, target: Uint8Array): Promise<number> {
  for (;;) {
    try {
      if (isFile) return readSync(file, target, 0, target.length, null);
      return (await readLater(file, target, 0, target.length, null)).bytesRead;
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === "EOF") return 0;
      if (code !== "EAGAIN") throw error;
      await new Promise((resume) => setTimeout(resume, AGAIN_MS));
    }
  }
}

function cannotBeRead(path: string, error: unknown): string {
  const reason = `${path} cannot be read: ${messageOf(error)}.`;
  // What is not UTF-8 in an argument reaches the program as this character.
  if (!path.includes("\ufffd")) return reason;
  return `${reason} Its name may not be UTF-8, which this program can't pass on: redirect it (crypto-edge seal - <FILE).`;
}
