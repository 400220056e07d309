/** Parts of a sealed file, wherever it is stored, without reading the rest. */
import {
  CHUNK_LENGTH,
  CHUNK_TAG_LENGTH,
  readSealedHeader,
  SEALED_CHUNK_LENGTH,
  SEALED_HEADER_LENGTH_MAX,
  SealedFileError,
  type SealedHeader,
} from "../seal/format.ts";
import type { FileKey } from "./file-key.ts";
import { type FilesEdge, openFileKey } from "./streams.ts";

/** Where a sealed file's bytes are: a file, an object of a store with ranges. A `Blob` is one as it is. */
export interface RangeSource {
  /** Of the sealed file, in bytes. */
  readonly size: number;
  /** The bytes from `start` to before `end`, all of them. */
  read(start: number, end: number): Promise<Uint8Array>;
}

/** An open sealed file, of which any part can be read. It holds the data key in memory; let it go when done. */
export interface SealedFile {
  /** Of the content, in bytes; verified, since the last chunk was opened. */
  readonly size: number;
  /**
   * The content from `start` to before `end` (the end of the file unless given). The chunks that it is in are verified.
   *
   * @throws {RangeError} for a range that is not within the file
   * @throws {SealedFileError} for chunks that were altered
   */
  read(start: number, end?: number): Promise<Uint8Array>;
  /** The same as a stream, chunk after chunk. */
  stream(start?: number, end?: number): ReadableStream<Uint8Array>;
}

/**
 * Opens a sealed file for reading parts of it. The header and the last chunk are read at once, so that a file that was cut short does not open.
 *
 * @example
 * ```ts
 * const file = await openSealedFile(edge, await fs.openAsBlob("video.mp4.sealed"));
 * const part = await file.read(1_000_000, 1_065_536);
 * ```
 * @throws {SealedFileError} @throws {CryptoEdgeError} the edge's
 */
export async function openSealedFile(edge: FilesEdge, source: RangeSource | Blob): Promise<SealedFile> {
  const ranges = source instanceof Blob ? blobSource(source) : source;
  const header = readSealedHeader(await readExactly(ranges, 0, Math.min(ranges.size, SEALED_HEADER_LENGTH_MAX)));
  const key = await openFileKey(edge, header);
  const sealedLength = ranges.size - header.length;
  const chunks = Math.max(1, Math.ceil(sealedLength / SEALED_CHUNK_LENGTH));
  const size = sealedLength - chunks * CHUNK_TAG_LENGTH;
  if (size < 0) throw new SealedFileError("The sealed file was cut short.");
  const reader = new ChunkReader(ranges, header, key, chunks);
  await reader.chunk(chunks - 1);

  function check(start: number, end: number): void {
    if (Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && start <= end && end <= size) return;
    throw new RangeError(`Bytes ${start} to ${end} are not within the file's ${size}.`);
  }

  /** The parts of the chunks that the range is in. */
  async function* parts(start: number, end: number): AsyncGenerator<Uint8Array> {
    for (let position = start; position < end; ) {
      const number = Math.floor(position / CHUNK_LENGTH);
      const from = number * CHUNK_LENGTH;
      const chunk = await reader.chunk(number);
      yield chunk.subarray(position - from, Math.min(chunk.length, end - from));
      position = from + CHUNK_LENGTH;
    }
  }

  return {
    size,
    async read(start, end = size) {
      check(start, end);
      const content = new Uint8Array(end - start);
      let filled = 0;
      for await (const part of parts(start, end)) {
        content.set(part, filled);
        filled += part.length;
      }
      return content;
    },
    stream(start = 0, end = size) {
      check(start, end);
      const iterator = parts(start, end);
      return new ReadableStream({
        async pull(controller) {
          const { done, value } = await iterator.next();
          if (done) controller.close();
          else controller.enqueue(value);
        },
      });
    },
  };
}

class ChunkReader {
  readonly #source: RangeSource;
  readonly #header: SealedHeader;
  readonly #key: FileKey;
  readonly #chunks: number;

  constructor(source: RangeSource, header: SealedHeader, key: FileKey, chunks: number) {
    this.#source = source;
    this.#header = header;
    this.#key = key;
    this.#chunks = chunks;
  }

  async chunk(number: number): Promise<Uint8Array> {
    const start = this.#header.length + number * SEALED_CHUNK_LENGTH;
    const sealed = await readExactly(this.#source, start, Math.min(start + SEALED_CHUNK_LENGTH, this.#source.size));
    return this.#key.open(sealed, number, number === this.#chunks - 1);
  }
}

async function readExactly(source: RangeSource, start: number, end: number): Promise<Uint8Array> {
  const bytes = await source.read(start, end);
  if (bytes.length !== end - start) throw new SealedFileError("The sealed file was cut short while it was read.");
  return bytes;
}

function blobSource(blob: Blob): RangeSource {
  return {
    size: blob.size,
    read: async (start, end) => new Uint8Array(await blob.slice(start, end).arrayBuffer()),
  };
}
