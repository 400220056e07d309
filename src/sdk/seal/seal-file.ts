/** Seals and opens files through an edge: two chunks in memory at a time, and no output file unless all of it is good. */
import { wipe } from "../../base/wipe.ts";
import type { Client } from "../client/operations.ts";
import { ChunkStream } from "./chunk-stream.ts";
import {
  CHUNK_LENGTH,
  readSealedHeader,
  SEALED_CHUNK_LENGTH,
  SEALED_HEADER_LENGTH_MAX,
  type SealedHeader,
} from "./format.ts";
import { type Input, openInput } from "./input.ts";
import { type Output, openOutput } from "./output.ts";

/** Files are read and written synchronously; now and then the process must hear its signals. */
const CHUNKS_BETWEEN_PAUSES = 64;

export interface FileJob {
  readonly edge: Client;
  /** A path, or `-` for standard input. */
  readonly input: string;
  /** A path, or `-` for standard output. */
  readonly output: string;
  /** Whether an output that exists is replaced. */
  readonly force: boolean;
  /** Called after each chunk. How many bytes there are is what the system says: nothing for a pipe. */
  readonly progress?: (doneBytes: number, totalBytes: number | undefined) => void;
}

/** Makes a data key for the file, wraps it into the header, and seals the content under it. */
export async function sealFile(job: FileJob, key: { tenant: string; service: string }): Promise<void> {
  await withFiles(job, async (input, output) => {
    const { wrapped, plaintext } = await job.edge.createKey({ ...key, plaintext: true });
    if (plaintext === undefined) throw new Error("The edge answered without a data key. Is it of this version?");
    const { header, stream } = sealing(plaintext, wrapped);
    try {
      await output.write(header);
      await eachChunk(input, new Uint8Array(0), CHUNK_LENGTH, job.progress, async (chunk, isLast) => {
        for (const part of stream.seal(chunk, isLast)) await output.write(part);
      });
    } finally {
      stream.wipe();
    }
  });
}

/** Opens what `sealFile` made. Answers its format: of format 1, that does not commit to its key, a person may want to know. */
export async function openFile(job: FileJob): Promise<1 | 2> {
  return withFiles(job, async (input, output) => {
    const start = new Uint8Array(SEALED_HEADER_LENGTH_MAX);
    const length = await input.read(start);
    const header = readSealedHeader(start.subarray(0, length));
    const { plaintext } = await job.edge.decryptKey({ wrapped: header.wrapped });
    const stream = opening(plaintext, header);
    try {
      const rest = start.subarray(header.length, length);
      await eachChunk(input, rest, SEALED_CHUNK_LENGTH, job.progress, async (chunk, isLast) => {
        const content = stream.open(chunk, isLast);
        await output.write(content);
        wipe(content);
      });
    } finally {
      stream.wipe();
    }
    return header.format;
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

/**
 * Reads pieces of `length`, `start` first, telling which is the last; nothing at all is one empty chunk. One piece is read
 * ahead: the end is where reading gives nothing more, never where the system said that it would be.
 */
async function eachChunk(
  input: Input,
  start: Uint8Array,
  length: number,
  progress: FileJob["progress"],
  use: (chunk: Uint8Array, isLast: boolean) => Promise<void>,
): Promise<void> {
  let [current, next] = [new Uint8Array(length), new Uint8Array(length)];
  current.set(start);
  let filled = start.length + (await input.read(current.subarray(start.length)));
  let done = 0;
  for (let untilPause = CHUNKS_BETWEEN_PAUSES; ; untilPause--) {
    const ahead = filled < length ? 0 : await input.read(next);
    const isLast = ahead === 0;
    await use(current.subarray(0, filled), isLast);
    done += filled;
    progress?.(done, input.sizeBytes);
    if (isLast) break;
    [current, next, filled] = [next, current, ahead];
    if (untilPause === 0) {
      await new Promise((resume) => setImmediate(resume));
      untilPause = CHUNKS_BETWEEN_PAUSES;
    }
  }
  wipe(current);
  wipe(next);
}

/** Opens both, and commits the output once `work` has ended well. On any failure no output file is left. */
async function withFiles<Result>(
  job: FileJob,
  work: (input: Input, output: Output) => Promise<Result>,
): Promise<Result> {
  const input = openInput(job.input);
  let output: Output | undefined;
  try {
    output = await openOutput(job.output, job.force);
    const result = await work(input, output);
    output.commit();
    return result;
  } finally {
    output?.close();
    input.close();
  }
}
