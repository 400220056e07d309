/** The body of a request (RFC 9112, 6 and 7), put together as it comes. */
import { ChunkReader } from "./chunks.ts";
import { longMemory } from "./long-memory.ts";
import type { Http1Answer } from "./write.ts";

/** Reads one body. */
export interface BodyReader {
  /** What has come of it. */
  readonly pieces: GrowingBuffer;
  /** The whole of it once it is there. */
  readonly body: Buffer | undefined;
  /** Takes what is its own, returns what is left. @throws {Refusal} */
  take(bytes: Buffer): Buffer;
}

const EMPTY = Buffer.alloc(0);

/** A body whose length is known. */
export class MeasuredBody implements BodyReader {
  readonly #expected: number;
  readonly pieces: GrowingBuffer;

  constructor(expected: number) {
    this.#expected = expected;
    // All at once: its length counts against its caller already, and megabytes that are copied to a larger buffer hold others up.
    this.pieces = new GrowingBuffer(expected);
  }

  get body(): Buffer | undefined {
    return this.pieces.length === this.#expected ? this.pieces.bytes : undefined;
  }

  take(bytes: Buffer): Buffer {
    const missing = this.#expected - this.pieces.length;
    this.pieces.append(bytes.subarray(0, missing));
    return bytes.length > missing ? bytes.subarray(missing) : EMPTY;
  }
}

/** A body in chunks. */
export class ChunkedBody implements BodyReader {
  readonly #chunks: ChunkReader;
  readonly pieces = new GrowingBuffer(4_096);
  readonly #append = (part: Buffer): void => this.pieces.append(part);

  constructor(maxBytes: number) {
    this.#chunks = new ChunkReader(maxBytes);
  }

  get body(): Buffer | undefined {
    return this.#chunks.isOver ? this.pieces.bytes : undefined;
  }

  take(bytes: Buffer): Buffer {
    const taken = this.#chunks.take(bytes, this.#append);
    return taken < bytes.length ? bytes.subarray(taken) : EMPTY;
  }
}

/** Bytes copied together: many small pieces cost no more than their bytes. */
class GrowingBuffer {
  #buffer: Buffer;
  length = 0;

  constructor(capacity: number) {
    this.#buffer = longMemory.take(capacity);
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.length);
  }

  append(bytes: Uint8Array): void {
    const length = this.length + bytes.length;
    if (length > this.#buffer.length) {
      const larger = longMemory.take(Math.max(length, this.#buffer.length * 2));
      larger.set(this.bytes);
      void longMemory.give(this.bytes);
      this.#buffer = larger;
    }
    this.#buffer.set(bytes, this.length);
    this.length = length;
  }

  /**
   * Its memory is used again, now that the body is answered, or is abandoned: nobody refers to it any more. Not where something may: an answer
   * that is a part of it or has no end, what a defect has left behind.
   */
  release(answer?: Http1Answer): void {
    if (answer !== undefined) {
      const { status, body } = answer;
      if (status >= 500 || body instanceof ReadableStream) return;
      if (body instanceof Uint8Array && body.buffer === this.#buffer.buffer) return;
    }
    void longMemory.give(this.bytes);
    this.#buffer = EMPTY;
    this.length = 0;
  }
}
