/** The body of a request (RFC 9112, 6 and 7), put together as it comes. */
import { parseField } from "./head.ts";
import { Refusal } from "./refusal.ts";

/** Reads one body. */
export interface BodyReader {
  /** Of what has come of it. */
  readonly length: number;
  /** The whole of it once it is there. */
  readonly body: Buffer | undefined;
  /** Takes what is its own, returns what is left. @throws {Refusal} */
  take(bytes: Buffer): Buffer;
}

const EMPTY = Buffer.alloc(0);
/** All chunk extensions of a body together, and its trailers. */
const EXTENSIONS_MAX = 8_192;
const TRAILERS_MAX = 8_192;
const CHUNK_LINE_MAX = 1_024;
/** A size, and extensions by their grammar, which are dropped (RFC 9112, 7.1.1), without the spaces that it calls bad. */
const CHUNK_LINE =
  /^([0-9A-Fa-f]{1,8})((?:;[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:=(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+|"(?:[\t !#-[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"))?)*)$/;
/** What a trailer must not say: it has been decided before (RFC 9110, 6.5.1). */
const NO_TRAILERS = new Set(["content-length", "transfer-encoding", "host"]);

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

  take(bytes: Buffer): Buffer {
    const missing = this.#expected - this.#pieces.length;
    this.#pieces.append(bytes.subarray(0, missing));
    return bytes.length > missing ? bytes.subarray(missing) : EMPTY;
  }
}

/** A body in chunks. Extensions and trailers are read and dropped. */
export class ChunkedBody implements BodyReader {
  readonly #maxBytes: number;
  readonly #pieces = new GrowingBuffer(4_096);
  #expects: "size" | "bytes" | "break" | "trailer" | "nothing" = "size";
  /** Bytes of the current chunk that are still to come. */
  #remaining = 0;
  #extensionBytes = 0;
  #trailerBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get length(): number {
    return this.#pieces.length;
  }

  get body(): Buffer | undefined {
    return this.#expects === "nothing" ? this.#pieces.bytes : undefined;
  }

  take(bytes: Buffer): Buffer {
    let rest = bytes;
    for (;;) {
      const before = rest;
      const step = this.#expects;
      switch (step) {
        case "size":
          rest = this.#takeSize(rest);
          break;
        case "bytes":
          rest = this.#takeBytes(rest);
          break;
        case "break":
          rest = this.#takeBreak(rest);
          break;
        case "trailer":
          rest = this.#takeTrailer(rest);
          break;
        case "nothing":
          return rest;
      }
      if (rest === before && this.#expects === step) return rest;
    }
  }

  #takeSize(rest: Buffer): Buffer {
    const end = rest.indexOf("\r\n", 0, "latin1");
    if (end > CHUNK_LINE_MAX || (end < 0 && rest.length > CHUNK_LINE_MAX)) throw malformed();
    if (end < 0) {
      // What can never become a size need not wait for its line's end.
      const digits = rest.indexOf(";") < 0 ? rest.length : rest.indexOf(";");
      if (digits > 10) throw malformed();
      return rest;
    }
    const [, size, extension = ""] = CHUNK_LINE.exec(rest.toString("latin1", 0, end)) ?? [];
    this.#extensionBytes += extension.length;
    if (size === undefined || this.#extensionBytes > EXTENSIONS_MAX) throw malformed();
    this.#remaining = Number.parseInt(size, 16);
    if (this.#pieces.length + this.#remaining > this.#maxBytes) throw new Refusal(413, "the body is too long");
    this.#expects = this.#remaining === 0 ? "trailer" : "bytes";
    return rest.subarray(end + 2);
  }

  #takeBytes(rest: Buffer): Buffer {
    const part = rest.subarray(0, this.#remaining);
    this.#pieces.append(part);
    this.#remaining -= part.length;
    if (this.#remaining === 0) this.#expects = "break";
    return part.length === 0 ? rest : rest.subarray(part.length);
  }

  #takeBreak(rest: Buffer): Buffer {
    if (rest.length < 2) return rest;
    if (rest[0] !== 13 || rest[1] !== 10) throw new Refusal(400, "a chunk does not end where it should");
    this.#expects = "size";
    return rest.subarray(2);
  }

  #takeTrailer(rest: Buffer): Buffer {
    const end = rest.indexOf("\r\n", 0, "latin1");
    const length = end < 0 ? rest.length : end + 2;
    if (this.#trailerBytes + length > TRAILERS_MAX) throw new Refusal(431, "the trailers are too long");
    if (end < 0) return rest;
    if (end === 0) this.#expects = "nothing";
    else if (NO_TRAILERS.has(parseField(rest.toString("latin1", 0, end))[0])) {
      throw new Refusal(400, "a trailer says what only a header may");
    }
    this.#trailerBytes += length;
    return rest.subarray(length);
  }
}

function malformed(): Refusal {
  return new Refusal(400, "the size of a chunk is malformed");
}

/** Bytes copied together: many small pieces cost no more than their bytes. */
class GrowingBuffer {
  #buffer: Buffer;
  #length = 0;

  constructor(capacity: number) {
    this.#buffer = Buffer.allocUnsafe(capacity);
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
      const larger = Buffer.allocUnsafe(Math.max(length, this.#buffer.length * 2));
      larger.set(this.bytes);
      this.#buffer = larger;
    }
    this.#buffer.set(bytes, this.#length);
    this.#length = length;
  }
}
