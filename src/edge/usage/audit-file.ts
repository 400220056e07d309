/**
 * The audit as a file of chained lines, rotated by size. The chain goes on from the file's last line: over restarts, and over
 * rotation, where the next file's first line continues the last of the one before.
 */
import {
  closeSync,
  existsSync,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { messageOf } from "../../base/errors.ts";
import { notAFile } from "../../base/read-file.ts";
import type { Clock } from "../../base/time/clock.ts";
import { CHAIN_START, type ChainHead, readChainedLine } from "./audit-chain.ts";
import type { AuditLock } from "./audit-lock.ts";
import type { LineSink } from "./audit-log.ts";

/**
 * When lines that were written are also forced to the disk: what a power loss can take. A killed process takes nothing that was
 * written. `rotation` means when a file is full and at the end.
 */
export type FsyncPolicy = "write" | "second" | "rotation";

export interface AuditFileOptions {
  readonly path: string;
  readonly clock: Clock;
  /** A file that would grow beyond is put aside under its name and its last line's number. */
  readonly maxBytes: number;
  /** How many of those are kept; 0 keeps all. */
  readonly keepFiles: number;
  readonly fsync: FsyncPolicy;
  /** Of this file, held already; released with it. */
  readonly lock?: AuditLock;
  readonly warn: (message: string) => void;
}

/** How the file was found. */
export interface AuditFileStart {
  readonly head: ChainHead;
  /** `new`: there was none. `stopped`: its last line is a stop. `killed`: it is not. `damaged`: put aside, a new chain begins. */
  readonly after: "new" | "stopped" | "killed" | "damaged";
  /** Bytes of a last line that was not written to its end, cut off. */
  readonly tornBytes: number;
}

/** What waits while the disk refuses it; beyond, lines are dropped, which the chain shows. */
const MOST_PENDING_BYTES = 8 * 1024 * 1024;
const SECOND_MS = 1000;

export class AuditFile implements LineSink {
  readonly name = "file";
  readonly start: AuditFileStart;
  readonly #options: AuditFileOptions;
  #descriptor: number;
  #sizeBytes: number;
  /** Of the last line in the file. */
  #headSeq: number;
  /** Of the last line that was given to be written. */
  #pendingSeq: number;
  /** Not yet written; its first bytes may be the rest of a line whose beginning is on the disk. */
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #syncing = false;
  #unsynced = false;
  #lastSyncMs: number;
  #followedMs: number;
  #failing = false;
  #toldOfAside = false;
  #closed = false;
  errors = 0;
  dropped = 0;

  /** @throws when the file can't be opened or read. */
  constructor(options: AuditFileOptions) {
    this.#options = options;
    mkdirSync(dirname(options.path), { recursive: true });
    const there = statSync(options.path, { throwIfNoEntry: false });
    if (there !== undefined && !there.isFile()) throw notAFile(options.path);
    requireAuditFile(options.path);
    this.start = findStart(options.path, options.warn);
    this.#headSeq = this.#pendingSeq = this.start.head.seq;
    this.#descriptor = openSync(options.path, "a", 0o640);
    this.#sizeBytes = fstatSync(this.#descriptor).size;
    this.#lastSyncMs = this.#followedMs = options.clock.monotonicMs();
  }

  get failing(): boolean {
    return this.#failing;
  }

  write(lines: readonly string[], head: ChainHead): void {
    if (this.#closed) return;
    const chunk = Buffer.from(`${lines.join("\n")}\n`, "utf8");
    if (this.#pendingBytes > 0 && this.#pendingBytes + chunk.length > MOST_PENDING_BYTES) {
      this.dropped += lines.length;
    } else {
      this.#pending.push(chunk);
      this.#pendingBytes += chunk.length;
      this.#pendingSeq = head.seq;
    }
    this.#writePending();
  }

  /** Tries again what could not be written, syncs when it is time, and sees whether the file is still there. */
  tick(): void {
    if (this.#closed) return;
    this.#followPath();
    if (this.#pendingBytes > 0) this.#writePending();
    this.#syncIfDue(false);
  }

  close(): void {
    if (this.#closed) return;
    this.tick();
    this.#closed = true;
    try {
      fdatasyncSync(this.#descriptor);
      closeSync(this.#descriptor);
    } catch {
      this.errors++;
    }
    this.#options.lock?.release();
  }

  #writePending(): void {
    try {
      const wholeLines = !this.#failing;
      if (wholeLines && this.#sizeBytes > 0 && this.#sizeBytes + this.#pendingBytes > this.#options.maxBytes) {
        this.#rotate();
      }
      while (this.#pending.length > 0) {
        const chunk = this.#pending[0]!;
        const written = writeSync(this.#descriptor, chunk);
        this.#sizeBytes += written;
        this.#pendingBytes -= written;
        if (written < chunk.length) this.#pending[0] = chunk.subarray(written);
        else this.#pending.shift();
      }
      this.#headSeq = this.#pendingSeq;
      this.#unsynced = true;
      if (this.#failing) this.#options.warn("The audit file can be written again.");
      this.#failing = false;
      this.#syncIfDue(true);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** A descriptor outlives its name: what is written to a file that was moved or deleted is found by nobody. */
  #followPath(): void {
    const { path, clock, warn } = this.#options;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#followedMs < SECOND_MS) return;
    this.#followedMs = nowMs;
    try {
      const own = fstatSync(this.#descriptor);
      const there = statSync(path, { throwIfNoEntry: false });
      if (there !== undefined && there.ino === own.ino && there.dev === own.dev) return;
      if (there !== undefined && !there.isFile()) throw new Error("something else than a file has taken its place");
      mkdirSync(dirname(path), { recursive: true });
      const next = openSync(path, "a", 0o640);
      closeSync(this.#descriptor);
      this.#descriptor = next;
      this.#sizeBytes = fstatSync(next).size;
      this.errors++;
      warn(
        `The audit file ${path} was ${own.nlink === 0 ? "deleted" : "moved"} while it was written. It is made anew, and the chain goes on there after line ${this.#headSeq}.`,
      );
    } catch (error) {
      this.#fail(error);
    }
  }

  #rotate(): void {
    const { path, keepFiles, warn } = this.#options;
    const aside = `${path}.${String(this.#headSeq).padStart(12, "0")}`;
    if (existsSync(aside)) {
      // Of another chain, which a damaged file ended: never overwritten.
      if (!this.#toldOfAside) warn(`${aside} exists: the audit file grows beyond its size until that is moved away.`);
      this.#toldOfAside = true;
      return;
    }
    fdatasyncSync(this.#descriptor);
    const isThere = existsSync(path);
    if (isThere) renameSync(path, aside);
    let next: number;
    try {
      next = openSync(path, "a", 0o640);
    } catch (error) {
      if (isThere) renameSync(aside, path);
      throw error;
    }
    // Not before: the number of a descriptor that was closed is soon that of another file.
    closeSync(this.#descriptor);
    this.#descriptor = next;
    this.#toldOfAside = false;
    this.#sizeBytes = 0;
    this.#unsynced = false;
    if (keepFiles > 0) for (const old of rotatedFiles(path).slice(0, -keepFiles)) rmSync(old, { force: true });
  }

  #syncIfDue(afterWrite: boolean): void {
    const { fsync, clock } = this.#options;
    if (!this.#unsynced || this.#syncing || fsync === "rotation") return;
    if (fsync === "second" && clock.monotonicMs() - this.#lastSyncMs < SECOND_MS) return;
    if (fsync === "write" && !afterWrite && !this.#unsynced) return;
    this.#syncing = true;
    this.#unsynced = false;
    this.#lastSyncMs = clock.monotonicMs();
    // Off the event loop: a slow disk must not delay an answer. EBADF means that the file was rotated, and synced then.
    fdatasync(this.#descriptor, (error) => {
      this.#syncing = false;
      if (error !== null && error.code !== "EBADF") this.#fail(error);
    });
  }

  #fail(error: unknown): void {
    this.errors++;
    if (!this.#failing) {
      this.#options.warn(`The audit file can't be written (${messageOf(error)}); up to 8 MiB of it wait in memory.`);
    }
    this.#failing = true;
  }
}

const LINE_START = Buffer.from('{"seq":');

/**
 * Whatever else lies at a path that was mistaken, a key for example, is neither written to nor cut nor put aside. A line that was torn at
 * its beginning, and what a power loss left as zeros, are an audit's.
 *
 * @throws Error with a sentence
 */
export function requireAuditFile(path: string): void {
  if (!existsSync(path)) return;
  const start = Buffer.alloc(LINE_START.length);
  const descriptor = openSync(path, "r");
  try {
    const found = start.subarray(0, readSync(descriptor, start));
    if (found.every((byte) => byte === 0) || found.equals(LINE_START.subarray(0, found.length))) return;
  } finally {
    closeSync(descriptor);
  }
  throw new Error(`${path} is there and is no audit file: choose another path`);
}

/** Files put aside, oldest first. */
export function rotatedFiles(path: string): string[] {
  const prefix = `${basename(path)}.`;
  return readdirSync(dirname(path))
    .filter((name) => name.startsWith(prefix) && /^\d{12}$/.test(name.slice(prefix.length)))
    .sort()
    .map((name) => join(dirname(path), name));
}

function findStart(path: string, warn: (message: string) => void): AuditFileStart {
  const newest = existsSync(path) ? path : rotatedFiles(path).at(-1);
  if (newest === undefined) return { head: CHAIN_START, after: "new", tornBytes: 0 };
  const { line, tornBytes } = lastLine(newest);
  if (line === undefined) {
    // Nothing but, perhaps, a torn first line: the file before it says where the chain stands.
    const before = newest === path ? rotatedFiles(path).at(-1) : undefined;
    const earlier = before === undefined ? undefined : lastLine(before).line;
    const read = earlier === undefined ? undefined : readChainedLine(earlier);
    if (typeof read !== "object") return { head: CHAIN_START, after: tornBytes > 0 ? "killed" : "new", tornBytes };
    return { head: { seq: read.seq, hash: read.hash }, after: "killed", tornBytes };
  }
  const read = readChainedLine(line);
  if (typeof read === "string") {
    const aside = `${newest}.damaged-${Math.floor(Date.now() / 1000)}`;
    renameSync(newest, aside);
    warn(`The last line of ${newest} ${read}: the file is now ${aside}, and a new chain begins.`);
    return { head: CHAIN_START, after: "damaged", tornBytes };
  }
  return {
    head: { seq: read.seq, hash: read.hash },
    after: read.fields.operation === "stop" && tornBytes === 0 ? "stopped" : "killed",
    tornBytes,
  };
}

const TAIL_BYTES = 128 * 1024;

/** The last complete line; what follows it without a line end is cut off the file. */
function lastLine(path: string): { readonly line: string | undefined; readonly tornBytes: number } {
  const descriptor = openSync(path, "r+");
  try {
    const { size } = fstatSync(descriptor);
    const tail = Buffer.alloc(Math.min(size, TAIL_BYTES));
    readSync(descriptor, tail, 0, tail.length, size - tail.length);
    const end = tail.lastIndexOf(10);
    const tornBytes = tail.length - (end + 1);
    if (tornBytes > 0) ftruncateSync(descriptor, size - tornBytes);
    if (end === -1) return { line: undefined, tornBytes };
    return { line: tail.toString("utf8", tail.lastIndexOf(10, end - 1) + 1, end), tornBytes };
  } finally {
    closeSync(descriptor);
  }
}
