/**
 * A file that has no name until it is whole (Linux, `O_TMPFILE`): whatever ends the process before, SIGKILL and a power failure too, nothing
 * of it is left.
 */
import { closeSync, constants, openSync } from "node:fs";
import { LIBC } from "./libc.ts";
import { foreignFunctions } from "./system-calls.ts";

export interface UnnamedFile {
  readonly descriptor: number;
  /** Gives it a name in the folder's file system. @throws Error with the `code` `EEXIST` where something has it, or another's */
  link(path: string): void;
}

const O_TMPFILE = 0o20000000;
const AT_FDCWD = -100;
const AT_SYMLINK_FOLLOW = 0x400;
const EEXIST = 17;

/** Open for writing, for its owner alone; undefined where the runtime, the system or the folder's file system has no such files. */
export async function openUnnamedFile(folder: string): Promise<UnnamedFile | undefined> {
  if (process.platform !== "linux") return undefined;
  let descriptor: number | undefined;
  try {
    const foreign = await foreignFunctions();
    if (foreign === undefined) return undefined;
    const { linkat, __errno_location } = foreign.open(LIBC.linux, {
      linkat: { parameters: ["i32", "bytes", "i32", "bytes", "i32"], result: "i32" },
      __errno_location: { parameters: [], result: "u64" },
    });
    descriptor = openSync(folder, O_TMPFILE | constants.O_DIRECTORY | constants.O_RDWR, 0o600);
    const opened = descriptor;
    return {
      descriptor: opened,
      link(path) {
        const from = Buffer.from(`/proc/self/fd/${opened}\0`);
        if (Number(linkat(AT_FDCWD, from, AT_FDCWD, Buffer.from(`${path}\0`), AT_SYMLINK_FOLLOW)) === 0) return;
        const errno = foreign.readInt32(Number(__errno_location()));
        const code = errno === EEXIST ? "EEXIST" : `errno ${errno}`;
        throw Object.assign(new Error(`${path} can't be made (${code}): check its folder`), { code });
      },
    };
  } catch {
    // A file system without: overlays, network file systems; or no such folder, which the caller finds out too.
    if (descriptor !== undefined) closeSync(descriptor);
    return undefined;
  }
}
