/** A body in chunks (RFC 9112, 7.1), of a request or of an answer. What two readers could understand in two ways is refused. */
import { parseField } from "./head.ts";
import { Refusal } from "./refusal.ts";

const LF = 10;
const CR = 13;
const LINE_MAX = 1_024;
/** All chunk extensions of a body together, and its trailers. */
const EXTENSIONS_MAX = 8_192;
const TRAILERS_MAX = 8_192;
/** Of a line that has not ended: what can never become a size need not be waited for. */
const SIZE_MAX = 10;
/** A size, and extensions by their grammar, which are dropped (RFC 9112, 7.1.1), without the spaces that it calls bad. */
const CHUNK_LINE =
  /^([0-9A-Fa-f]{1,8})((?:;[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:=(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+|"(?:[\t !#-[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"))?)*)$/;
/** What a trailer must not say: it has been decided before (RFC 9110, 6.5.1). */
const NO_TRAILERS = new Set(["content-length", "transfer-encoding", "host"]);

/** Reads one body and gives it on as it comes. Extensions and trailers are read and dropped. */
export class ChunkReader {
  readonly #maxBytes: number;
  #expects: "size" | "bytes" | "return" | "line feed" | "trailer" | "nothing" = "size";
  /** Of the body, those of the current chunk that are still to come too. */
  #length = 0;
  /** Bytes of the current chunk that are still to come. */
  #remaining = 0;
  /** What has come of a line. */
  #line = "";
  #extensionBytes = 0;
  #trailerBytes = 0;

  /** A body of more than `maxBytes` is refused by the size of its chunk, before that comes. */
  constructor(maxBytes = Number.POSITIVE_INFINITY) {
    this.#maxBytes = maxBytes;
  }

  get isOver(): boolean {
    return this.#expects === "nothing";
  }

  /** Gives on what is the body's, and returns how many of the bytes it has read: all but those behind the body's end. @throws {Refusal} */
  take(bytes: Buffer, give: (part: Buffer) => void): number {
    let place = 0;
    while (place < bytes.length && this.#expects !== "nothing") {
      switch (this.#expects) {
        case "bytes": {
          const end = Math.min(bytes.length, place + this.#remaining);
          this.#remaining -= end - place;
          if (this.#remaining === 0) this.#expects = "return";
          give(bytes.subarray(place, end));
          place = end;
          break;
        }
        case "return":
          this.#expects = this.#breaks(bytes[place++] === CR, "line feed");
          break;
        case "line feed":
          this.#expects = this.#breaks(bytes[place++] === LF, "size");
          break;
        default:
          place = this.#takeLine(bytes, place);
      }
    }
    return place;
  }

  #breaks<Next>(isBreak: boolean, next: Next): Next {
    if (!isBreak) throw new Refusal(400, "a chunk does not end where it should");
    return next;
  }

  #takeLine(bytes: Buffer, place: number): number {
    const found = bytes.indexOf(LF, place);
    const end = found < 0 ? bytes.length : found + 1;
    const isSize = this.#expects === "size";
    this.#checkLength(isSize, this.#line.length + end - place);
    this.#line += bytes.toString("latin1", place, end);
    const line = this.#line;
    if (found < 0) {
      if (isSize && line.length > SIZE_MAX && !line.slice(0, SIZE_MAX + 1).includes(";")) throw malformed();
      return end;
    }
    this.#line = "";
    if (line.charCodeAt(line.length - 2) !== CR) {
      throw isSize ? malformed() : new Refusal(400, "a trailer is malformed");
    }
    if (isSize) this.#endSize(line.slice(0, -2));
    else this.#endTrailer(line.slice(0, -2));
    return end;
  }

  /** Of a line with its end, or what has come of it. */
  #checkLength(isSize: boolean, length: number): void {
    if (isSize && length > LINE_MAX + 2) throw malformed();
    if (!isSize && this.#trailerBytes + length > TRAILERS_MAX) throw new Refusal(431, "the trailers are too long");
  }

  #endSize(line: string): void {
    const [, size, extension = ""] = CHUNK_LINE.exec(line) ?? [];
    this.#extensionBytes += extension.length;
    if (size === undefined || this.#extensionBytes > EXTENSIONS_MAX) throw malformed();
    this.#remaining = Number.parseInt(size, 16);
    this.#length += this.#remaining;
    if (this.#length > this.#maxBytes) throw new Refusal(413, "the body is too long");
    this.#expects = this.#remaining === 0 ? "trailer" : "bytes";
  }

  #endTrailer(line: string): void {
    this.#trailerBytes += line.length + 2;
    if (line === "") this.#expects = "nothing";
    else if (NO_TRAILERS.has(parseField(line)[0])) throw new Refusal(400, "a trailer says what only a header may");
  }
}

function malformed(): Refusal {
  return new Refusal(400, "the size of a chunk is malformed");
}
