/** Where `seal` and `open` write: a file that gets its name when all of it is good, standard output, or a device. */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  lstatSync,
  openSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeSync,
} from "node:fs";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { openUnnamedFile, type UnnamedFile } from "../../base/system/unnamed-file.ts";
import { STANDARD_STREAM } from "./input.ts";

const AGAIN_MS = 5;

export interface Output {
  write(bytes: Uint8Array): Promise<void>;
  /** All is written and good: the file gets its name. */
  commit(): void;
  /** Lets go of it; a file that was not committed is gone. May be called after `commit`. */
  close(): void;
}

/** @throws Error for what exists where `force` was not given, and for what can be neither replaced nor written to */
export async function openOutput(path: string, force: boolean): Promise<Output> {
  if (path === "") throw new Error("the output has no name: give one with -o");
  if (path === STANDARD_STREAM) {
    if (isClosed(1))
      throw new Error("standard output is closed: redirect it to a file or a pipe, or name a file with -o");
    return written(1, () => {});
  }
  const there = statOf(path);
  if (there?.isCharacterDevice()) {
    const device = openSync(path, "w");
    return written(device, () => closeSync(device));
  }
  if (there !== undefined && !there.isFile()) {
    throw new Error(`${path} is no file, and is not replaced by one. To write to a pipe, pass -o - and redirect it.`);
  }
  if (there !== undefined && !force) throw alreadyThere(path);
  // A link goes on leading to the file that is replaced.
  const target = there === undefined ? path : realpathSync(path);
  const file = await openUnnamedFile(dirname(target));
  return file === undefined ? replaced(target, force) : unnamed(file, target, force);
}

const CLOSE_ON_EXEC = 0o2_000_000;

/**
 * Whether this process was started without that stream: the runtime then opens the null device in its place, where all that is written is
 * lost. What a process is started with is never closed on exec; where the system does not tell (no /proc), nobody knows.
 */
function isClosed(stream: number): boolean {
  try {
    const [, flags = "0"] = /^flags:\s*([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${stream}`, "latin1")) ?? [];
    return (Number.parseInt(flags, 8) & CLOSE_ON_EXEC) !== 0 && readlinkSync(`/proc/self/fd/${stream}`) === "/dev/null";
  } catch (error) {
    return (error as { code?: string }).code === "ENOENT" && existsSync("/proc/self/fd");
  }
}

/** What is written goes out at once, and can't be taken back. */
function written(file: number, close: () => void): Output {
  return { write: (bytes) => writeAll(file, bytes), commit() {}, close };
}

/** Nothing is seen of it, and nothing is left of it, until it gets the output's name at the end. */
function unnamed(file: UnnamedFile, path: string, force: boolean): Output {
  let isOpen = true;
  return {
    write: (bytes) => writeAll(file.descriptor, bytes),
    commit() {
      fsyncSync(file.descriptor);
      if (force) {
        const partial = partialName(path);
        file.link(partial);
        renameSync(partial, path);
        return;
      }
      try {
        file.link(path);
      } catch (error) {
        throw (error as { code?: string }).code === "EEXIST" ? alreadyThere(path) : error;
      }
    },
    close() {
      if (isOpen) closeSync(file.descriptor);
      isOpen = false;
    },
  };
}

/** Short, whatever the length of the output's. */
function partialName(path: string): string {
  return join(dirname(path), `.${randomBytes(6).toString("hex")}.partial`);
}

/** Where there are no unnamed files: a file beside the output, of a short name, that takes the output's name at the end. */
function replaced(path: string, force: boolean): Output {
  const partial = partialName(path);
  const remove = (): void => rmSync(partial, { force: true });
  const forget = onSignals(remove);
  let file: number | undefined;
  try {
    file = openSync(partial, "wx", 0o600);
  } catch (error) {
    forget();
    throw error;
  }
  return {
    write: (bytes) => writeAll(file!, bytes),
    commit() {
      fsyncSync(file!);
      if (force) renameSync(partial, path);
      else claim(partial, path);
    },
    close() {
      forget();
      if (file !== undefined) closeSync(file);
      file = undefined;
      remove();
    },
  };
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;

/** Runs `cleanUp` when a signal ends the program. A signal that is ignored (nohup) stays so. Returns what takes that back. */
function onSignals(cleanUp: () => void): () => void {
  const ignored = ignoredSignals();
  const heeded = SIGNALS.filter((signal) => (ignored & (1n << BigInt(constants.signals[signal] - 1))) === 0n);
  const onSignal = (signal: NodeJS.Signals): void => {
    cleanUp();
    process.exit(128 + constants.signals[signal]);
  };
  for (const signal of heeded) process.on(signal, onSignal);
  return () => {
    for (const signal of heeded) process.off(signal, onSignal);
  };
}

/** A bit for each signal that this process was started to ignore; none where the system does not say. */
function ignoredSignals(): bigint {
  try {
    return BigInt(`0x${/^SigIgn:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "latin1"))?.[1] ?? "0"}`);
  } catch {
    return 0n;
  }
}

/** What is at a path, links followed; undefined for nothing. */
function statOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch (error) {
    if ((error as { code?: string }).code !== "ENOENT") throw error;
  }
  if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) {
    throw new Error(`${path} is a link to ${readlinkSync(path)}, which is not there. Remove it, or name the file.`);
  }
  return undefined;
}

/** Gives `partial` its name without ever replacing a file that came to be meanwhile. */
function claim(partial: string, path: string): void {
  try {
    linkSync(partial, path);
  } catch (error) {
    if ((error as { code?: string }).code === "EEXIST") throw alreadyThere(path);
    // A file system without hard links.
    if (statOf(path) !== undefined) throw alreadyThere(path);
    renameSync(partial, path);
  }
}

function alreadyThere(path: string): Error {
  return new Error(`${path} exists. Choose another with -o, or replace it with --force.`);
}

async function writeAll(file: number, bytes: Uint8Array): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    try {
      written += writeSync(file, bytes, written, bytes.length - written);
    } catch (error) {
      if ((error as { code?: string }).code !== "EAGAIN") throw error;
      await new Promise((resume) => setTimeout(resume, AGAIN_MS));
    }
  }
}
