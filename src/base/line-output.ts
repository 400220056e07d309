/**
 * Lines to a descriptor that must never hold anybody up: a log, or an audit on standard output. Whoever reads the other end may be
 * slow, stalled or gone, and the disk may be full; the process serves on. What can't be written now waits, up to a bound; beyond it
 * lines are dropped and counted, and the reader is told how many once it reads again.
 */
import { closeSync, constants, fstatSync, openSync, write, writeSync } from "node:fs";

export interface LineOutput {
  /** Takes a line, or several, with their line ends. Never throws, never waits. */
  write(text: string, lines?: number): void;
  /** Resolves when all is written, or `timeoutMs` have passed. */
  flush(timeoutMs: number): Promise<void>;
  /** Lines that were dropped. */
  readonly dropped: number;
  /** Bytes that wait for the reader. */
  readonly waitingBytes: number;
  /** The last failure's code, such as `ENOSPC` or `EAGAIN`; undefined while lines flow. */
  readonly failure: string | undefined;
}

export interface LineOutputOptions {
  /** What waits for a slow reader at most. */
  readonly waitingBytesMax?: number;
  /** The line that tells the reader of lines that it did not get, with its line end; left out where the lines show it themselves. */
  readonly droppedLine?: (count: number) => string;
}

const WAITING_BYTES_MAX = 1024 * 1024;
const RETRY_MS = 50;
/** A chunk that is written in one call. */
const CHUNK_BYTES = 64 * 1024;

/**
 * A pipe, a FIFO or a terminal is opened again without blocking, which leaves the description that is shared with other processes as
 * it is. A file is written at once. What can't be opened again (a socket, another user's terminal) is written by the runtime's own
 * threads, one write at a time.
 */
export function openLineOutput(descriptor: number, options: LineOutputOptions): LineOutput {
  const output = new DescriptorOutput(descriptor, options);
  opened.push(output);
  return output;
}

const opened: LineOutput[] = [];

/** At the end of the process: what still waits is written, for at most `timeoutMs` in all. @returns whether all was written. */
export async function flushLineOutputs(timeoutMs: number): Promise<boolean> {
  await Promise.all(opened.map((output) => output.flush(timeoutMs)));
  return opened.every(({ waitingBytes }) => waitingBytes === 0);
}

interface Waiting {
  readonly bytes: Buffer;
  readonly lines: number;
}

class DescriptorOutput implements LineOutput {
  readonly #options: LineOutputOptions;
  readonly #descriptor: number;
  readonly #threaded: boolean;
  #waiting: Waiting[] = [];
  waitingBytes = 0;
  dropped = 0;
  failure: string | undefined;
  #droppedUntold = 0;
  #writing = false;
  #retry: ReturnType<typeof setTimeout> | undefined;

  constructor(descriptor: number, options: LineOutputOptions) {
    this.#options = options;
    const { descriptor: own, threaded } = withoutBlocking(descriptor);
    this.#descriptor = own;
    this.#threaded = threaded;
  }

  write(text: string, lines = 1): void {
    const bytes = Buffer.from(text, "utf8");
    if (
      this.waitingBytes > 0 &&
      this.waitingBytes + bytes.length > (this.#options.waitingBytesMax ?? WAITING_BYTES_MAX)
    ) {
      this.#drop(lines);
      return;
    }
    this.#waiting.push({ bytes, lines });
    this.waitingBytes += bytes.length;
    // While it fails, the timer tries again: a full disk is not asked for each line.
    if (this.failure === undefined) this.#advance();
  }

  async flush(timeoutMs: number): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs;
    while (this.waitingBytes > 0 && performance.now() < deadlineMs) {
      this.#advance();
      if (this.waitingBytes === 0) return;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  #advance(): void {
    if (this.#threaded) {
      this.#advanceByThread();
      return;
    }
    try {
      while (this.#waiting.length > 0) this.#wrote(writeSync(this.#descriptor, this.#next()));
      this.#flowed();
    } catch (error) {
      this.#failed(error);
    }
  }

  #advanceByThread(): void {
    if (this.#writing || this.#waiting.length === 0) return;
    this.#writing = true;
    write(this.#descriptor, this.#next(), (error, written) => {
      this.#writing = false;
      if (error !== null) {
        this.#failed(error);
        return;
      }
      this.#wrote(written);
      this.#flowed();
      this.#advanceByThread();
    });
  }

  /** Small lines that wait go out together. */
  #next(): Buffer {
    if (this.#waiting.length > 1 && this.#waiting[0]!.bytes.length < CHUNK_BYTES) {
      let count = 0;
      let length = 0;
      while (count < this.#waiting.length && length < CHUNK_BYTES) length += this.#waiting[count++]!.bytes.length;
      const first = this.#waiting.slice(0, count);
      const lines = first.reduce((sum, each) => sum + each.lines, 0);
      this.#waiting.splice(0, count, { bytes: Buffer.concat(first.map(({ bytes }) => bytes)), lines });
    }
    return this.#waiting[0]!.bytes;
  }

  #wrote(written: number): void {
    const first = this.#waiting[0]!;
    this.waitingBytes -= written;
    if (written < first.bytes.length) this.#waiting[0] = { bytes: first.bytes.subarray(written), lines: first.lines };
    else this.#waiting.shift();
  }

  #drop(lines: number): void {
    this.dropped += lines;
    this.#droppedUntold += lines;
  }

  #flowed(): void {
    this.failure = undefined;
    if (this.#droppedUntold === 0) return;
    const count = this.#droppedUntold;
    this.#droppedUntold = 0;
    if (this.#options.droppedLine !== undefined) this.write(this.#options.droppedLine(count));
  }

  #failed(error: unknown): void {
    this.failure = (error as NodeJS.ErrnoException).code ?? "failed";
    // Nobody reads: what waits is for nobody. A FIFO may get another reader.
    if (this.failure === "EPIPE") {
      for (const { lines } of this.#waiting) this.#drop(lines);
      this.#waiting = [];
      this.waitingBytes = 0;
    }
    if (this.#retry !== undefined) return;
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      if (this.waitingBytes > 0) this.#advance();
      else this.failure = undefined;
    }, RETRY_MS);
    // A log that nobody reads does not keep the process.
    this.#retry.unref?.();
  }
}

function withoutBlocking(descriptor: number): { readonly descriptor: number; readonly threaded: boolean } {
  try {
    const kind = fstatSync(descriptor);
    if (kind.isFile()) return { descriptor, threaded: false };
    if (kind.isFIFO() || kind.isCharacterDevice()) {
      const flags = constants.O_WRONLY | constants.O_NONBLOCK | constants.O_APPEND | constants.O_NOCTTY;
      const own = openSync(`/proc/self/fd/${descriptor}`, flags);
      const opened = fstatSync(own);
      if (opened.ino === kind.ino && opened.dev === kind.dev) return { descriptor: own, threaded: false };
      closeSync(own);
    }
  } catch {
    // Closed, without /proc, or another user's: the runtime's threads write, and a failure is counted.
  }
  return { descriptor, threaded: true };
}
