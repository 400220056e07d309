/** Seals and opens files through an edge: one chunk in memory at a time, and no output unless all of it is good. */
import { randomBytes } from "node:crypto";
import { closeSync, fstatSync, fsyncSync, linkSync, openSync, readSync, renameSync, rmSync, writeSync } from "node:fs";
import { messageOf } from "../../base/errors.ts";
import { wipe } from "../../base/wipe.ts";
import type { Client } from "../client/client.ts";
import { ChunkStream } from "./chunk-stream.ts";
import {
  CHUNK_LENGTH,
  readSealedHeader,
  SEALED_CHUNK_LENGTH,
  SEALED_HEADER_LENGTH_MAX,
  type SealedHeader,
} from "./format.ts";

/** Reading and writing are synchronous; now and then the process must hear its signals. */
const CHUNKS_BETWEEN_PAUSES = 64;

export interface FileJob {
  readonly edge: Client;
  readonly input: string;
  readonly output: string;
  /** Whether an output that exists is replaced. */
  readonly force: boolean;
  /** Called after each chunk. */
  readonly progress?: (doneBytes: number, totalBytes: number) => void;
}

/** Makes a data key for the file, wraps it into the header, and seals the content under it. */
export async function sealFile(job: FileJob, key: { tenant: string; service: string }): Promise<void> {
  await withFiles(job, async (input, output) => {
    const { wrapped, plaintext } = await job.edge.createKey({ ...key, plaintext: true });
    if (plaintext === undefined) throw new Error("The edge answered without a data key. Is it of this version?");
    const { header, stream } = sealing(plaintext, wrapped);
    try {
      writeAll(output, header);
      await eachChunk(input, 0, CHUNK_LENGTH, job.progress, (chunk, isLast) => {
        for (const part of stream.seal(chunk, isLast)) writeAll(output, part);
      });
    } finally {
      stream.wipe();
    }
  });
}

/** Opens what `sealFile` made. */
export async function openFile(job: FileJob): Promise<void> {
  await withFiles(job, async (input, output) => {
    const start = new Uint8Array(SEALED_HEADER_LENGTH_MAX);
    const header = readSealedHeader(start.subarray(0, readFully(input, start, 0)));
    const { plaintext } = await job.edge.decryptKey({ wrapped: header.wrapped });
    const stream = opening(plaintext, header);
    try {
      await eachChunk(input, header.length, SEALED_CHUNK_LENGTH, job.progress, (chunk, isLast) => {
        const content = stream.open(chunk, isLast);
        writeAll(output, content);
        wipe(content);
      });
    } finally {
      stream.wipe();
    }
  });
}

function sealing(dataKey: Uint8Array, wrapped: Uint8Array): ReturnType<typeof ChunkStream.seal> {
  try {
    return ChunkStream.seal(dataKey, wrapped);
  } finally {
    wipe(dataKey);
  }
}

function opening(dataKey: Uint8Array, header: SealedHeader): ChunkStream {
  try {
    return ChunkStream.open(dataKey, header);
  } finally {
    wipe(dataKey);
  }
}

/** Reads from `offset` in pieces of `length`, telling which is the last; an empty file is one empty chunk. */
async function eachChunk(
  input: number,
  offset: number,
  length: number,
  progress: FileJob["progress"],
  use: (chunk: Uint8Array, isLast: boolean) => void,
): Promise<void> {
  const total = fstatSync(input).size;
  const chunk = new Uint8Array(length);
  let position = offset;
  let untilPause = CHUNKS_BETWEEN_PAUSES;
  for (;;) {
    const read = readFully(input, chunk, position);
    position += read;
    const isLast = position >= total;
    if (!isLast && read < length) throw new Error("The input changed while it was being read.");
    use(chunk.subarray(0, read), isLast);
    progress?.(position, total);
    if (isLast) break;
    if (--untilPause === 0) {
      await new Promise((resume) => setImmediate(resume));
      untilPause = CHUNKS_BETWEEN_PAUSES;
    }
  }
  wipe(chunk);
}

/**
 * Opens the input and a file beside the output, and gives that file the output's name once `work` has ended well. On any
 * failure nothing is left.
 */
async function withFiles(job: FileJob, work: (input: number, output: number) => Promise<void>): Promise<void> {
  const input = openForReading(job.input);
  const partial = `${job.output}.${randomBytes(6).toString("hex")}.partial`;
  const removePartial = (): void => rmSync(partial, { force: true });
  const onSignal = (signal: NodeJS.Signals): void => {
    removePartial();
    process.exit(signal === "SIGINT" ? 130 : 143);
  };
  let output: number | undefined;
  try {
    if (!job.force && exists(job.output)) throw alreadyThere(job.output);
    process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
    output = openSync(partial, "wx", 0o600);
    await work(input, output);
    fsyncSync(output);
    if (job.force) renameSync(partial, job.output);
    else claim(partial, job.output);
  } finally {
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
    if (output !== undefined) closeSync(output);
    removePartial();
    closeSync(input);
  }
}

function openForReading(path: string): number {
  try {
    const file = openSync(path, "r");
    if (fstatSync(file).isFile()) return file;
    closeSync(file);
  } catch (error) {
    throw new Error(`${path} cannot be read: ${messageOf(error)}.`);
  }
  throw new Error(`${path} is not a file.`);
}

/** Gives `partial` its name without ever replacing a file that came to be meanwhile. */
function claim(partial: string, output: string): void {
  try {
    linkSync(partial, output);
  } catch (error) {
    if ((error as { code?: string }).code === "EEXIST") throw alreadyThere(output);
    // A file system without hard links.
    if (exists(output)) throw alreadyThere(output);
    renameSync(partial, output);
  }
}

function exists(path: string): boolean {
  try {
    closeSync(openSync(path, "r"));
    return true;
  } catch (error) {
    return (error as { code?: string }).code !== "ENOENT";
  }
}

function alreadyThere(path: string): Error {
  return new Error(`${path} exists. Choose another with -o, or replace it with --force.`);
}

function readFully(file: number, target: Uint8Array, position: number): number {
  let filled = 0;
  while (filled < target.length) {
    const read = readSync(file, target, filled, target.length - filled, position + filled);
    if (read === 0) break;
    filled += read;
  }
  return filled;
}

function writeAll(file: number, bytes: Uint8Array): void {
  let written = 0;
  while (written < bytes.length) written += writeSync(file, bytes, written, bytes.length - written);
}
