import { closeSync, constants, fstatSync, openSync, readSync, statSync } from "node:fs";
import { messageOf } from "./errors.ts";

/** A configuration, a certificate, a secret: more than any of them has. */
const FILE_BYTES_MAX = 16 * 1024 * 1024;

/**
 * The bytes of a file that an operator named. What is no regular file (a FIFO, a device, a folder) is refused before it is read, so that
 * nothing hangs on it or reads for ever; a symbolic link counts as what it points to. The end is where reading ends, not where the
 * system says.
 *
 * @param what For the message, when the path alone does not say it: `the Core's certificate`.
 * @throws Error "WHAT PATH can't be read (CODE): check the path and its permissions", or that it is no file, or too large. Never with
 * anything of the file.
 */
export function readFileBytes(path: string, what?: string): Buffer {
  const name = what === undefined ? path : `${what} ${path}`;
  let descriptor: number;
  try {
    // A FIFO without a writer would block the open.
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw unreadable(name, error);
  }
  try {
    if (!fstatSync(descriptor).isFile()) throw notAFile(name);
    return readWhole(descriptor, name);
  } finally {
    closeSync(descriptor);
  }
}

/** As `readFileBytes`, for a text in UTF-8. */
export function readFileText(path: string, what?: string): string {
  return readFileBytes(path, what).toString("utf8");
}

/** As `readFileText`, without the line's end that an editor leaves: for a secret in a file of its own. */
export function readFileLine(path: string, what?: string): string {
  return readFileText(path, what).replace(/\r?\n$/, "");
}

/**
 * For what is read in pieces, or by a library: refuses what is no regular file before it is opened, as `readFileBytes` does.
 *
 * @throws Error "PATH can't be read (CODE): …", or that it is not a file
 */
export function requireRegularFile(path: string): void {
  let isFile: boolean;
  try {
    isFile = statSync(path).isFile();
  } catch (error) {
    throw unreadable(path, error);
  }
  if (!isFile) throw notAFile(path);
}

/** What is there is a folder, a device, a FIFO or a socket. */
export function notAFile(path: string): Error {
  return new Error(`${path} is not a file: give the path of a regular file`);
}

function readWhole(descriptor: number, name: string): Buffer {
  const pieces: Buffer[] = [];
  let length = 0;
  for (;;) {
    const piece = Buffer.alloc(64 * 1024);
    let read: number;
    try {
      read = readSync(descriptor, piece);
    } catch (error) {
      throw unreadable(name, error);
    }
    if (read === 0) return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
    length += read;
    if (length > FILE_BYTES_MAX)
      throw new Error(`${name} is larger than 16 MiB, which no such file is: check the path`);
    pieces.push(piece.subarray(0, read));
  }
}

function unreadable(name: string, error: unknown): Error {
  const code = (error as NodeJS.ErrnoException).code ?? messageOf(error);
  return new Error(`${name} can't be read (${code}): check the path and its permissions`, { cause: error });
}
