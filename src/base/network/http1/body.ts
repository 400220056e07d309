/** The body of a request (RFC 9112, 6 and 7), put together as it comes. */

import { ChunkReader } from "./chunks.ts";
import { longMemory } from "./long-memory.ts";
import type { Http1Answer } from "./write.ts";

/** Reads one body. */
export interface BodyReader {
  /** Of what has come of it. */
  readonly length: number;
  /** The whole of it once it is there. */
  readonly body: Buffer | undefined;
  /** Nobody refers to the body any more, nor to a part of it: its memory is used again. */
  release(): void;
  /** The same once it is answered, but where something may refer to it: an answer that is a part of it or has no end, what a defect left. */
  releaseAfter(answer: Http1Answer): void;
  /** Takes what is its own, returns what is left. @throws {Refusal} */
  take(bytes: Buffer): Buffer;
}

const EMPTY = Buffer.alloc(0);

/** A body whose length is known. */
export class MeasuredBody implements BodyReader {
  readonly #expected: number;
  readonly #pieces: GrowingBuffer;

  constructor(expected: number) {
    this.#expected = expected;
    // All at once: its length counts against its caller already, and megabytes that are copied to a larger buffer hold others up.
    this.#pieces = new GrowingBuffer(expected);
  }

  get length(): number {
    return this.#pieces.length;
  }

  get body(): Buffer | undefined {
    return this.#pieces.length === this.#expected ? this.#pieces.bytes : undefined;
  }

  release(): void {
    this.#pieces.release();
  }

  releaseAfter(answer: Http1Answer): void {
    this.#pieces.releaseAfter(answer);
  }

  take(bytes: Buffer): Buffer {
    const missing = this.#expected - this.#pieces.length;
    this.#pieces.append(bytes.subarray(0, missing));
    return bytes.length > missing ? bytes.subarray(missing) : EMPTY;
  }
}

/** A body in chunks. */
export class ChunkedBody implements BodyReader {
  readonly #chunks: ChunkReader;
  readonly #pieces = new GrowingBuffer(4_096);
  readonly #append = (part: Buffer): void => this.#pieces.append(part);

  constructor(maxBytes: number) {
    this.#chunks = new ChunkReader(maxBytes);
  }

  get length(): number {
    return this.#pieces.length;
  }

  get body(): Buffer | undefined {
    return this.#chunks.isOver ? this.#pieces.bytes : undefined;
  }

  release(): void {
    this.#pieces.release();
  }

  releaseAfter(answer: Http1Answer): void {
    this.#pieces.releaseAfter(answer);
  }

  take(bytes: Buffer): Buffer {
    const taken = this.#chunks.take(bytes, this.#append);
    return taken < bytes.length ? bytes.subarray(taken) : EMPTY;
  }
}

/** Bytes copied together: many small pieces cost no more than their bytes. */
class GrowingBuffer {
  #buffer: Buffer;
  #length = 0;

  constructor(capacity: number) {
    this.#buffer = longMemory.take(capacity);
  }

  get length(): number {
    return this.#length;
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  append(bytes: Uint8Array): void {
    const length = this.#length + bytes.length;
    if (length > this.#buffer.length) {
      const larger = longMemory.take(Math.max(length, this.#buffer.length * 2));
      larger.set(this.bytes);
      void longMemory.give(this.#buffer, this.#length);
      this.#buffer = larger;
    }
    this.#buffer.set(bytes, this.#length);
    this.#length = length;
  }

  release(): void {
    const buffer = this.#buffer;
    this.#buffer = EMPTY;
    void longMemory.give(buffer, this.#length);
    this.#length = 0;
  }

  releaseAfter({ status, body }: Http1Answer): void {
    const isPart = body instanceof Uint8Array && body.buffer === this.#buffer.buffer;
    if (!isPart && !(body instanceof ReadableStream) && status < 500) this.release();
  }
}
