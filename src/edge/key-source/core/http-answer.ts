/** The Core's answers as HTTP/1.1 has them (RFC 9112, 4 to 7): the head, and where the body ends. What two readers could understand in two ways is refused. */
import { parseField } from "../../../base/network/http1/head.ts";

export interface AnswerHead {
  readonly status: number;
  /** By their names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
}

/** How the end of a body is known: by its length, by its last chunk, or by the end of the connection. */
export type Framing = number | "chunked" | "close";

export interface ReadHead extends AnswerHead {
  readonly framing: Framing;
  /** Whether another call may follow on the connection. */
  readonly keepAlive: boolean;
}

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: .*)?$/;
const HEADERS_MAX = 100;
const BODILESS = new Set([204, 304]);

/** The last one, which most of those that come in the same second are equal to. */
let lastText = "";
let lastHead: ReadHead | undefined;

/** From the text up to the empty line, which is left away. @throws Error */
export function parseAnswerHead(text: string): ReadHead {
  if (lastHead === undefined || text !== lastText) {
    lastHead = parse(text);
    lastText = text;
  }
  return lastHead;
}

function parse(text: string): ReadHead {
  const lines = text.split("\r\n");
  const [, minor, digits] = STATUS_LINE.exec(lines[0]!) ?? [];
  if (digits === undefined || lines.length - 1 > HEADERS_MAX) throw new Error("its answer is not of HTTP/1.1");
  const headers = new Map<string, string>();
  for (let index = 1; index < lines.length; index++) {
    const [name, value] = parseField(lines[index]!);
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  const status = Number(digits);
  const isLatest = minor === "1";
  const framing = framingOf(status, isLatest, headers);
  const connection = headers.get("connection");
  const keepAlive = isLatest && framing !== "close" && (connection === undefined || !/\bclose\b/i.test(connection));
  return { status, headers, framing, keepAlive };
}

function framingOf(status: number, isLatest: boolean, headers: ReadonlyMap<string, string>): Framing {
  const length = headers.get("content-length");
  const coding = headers.get("transfer-encoding");
  if (coding !== undefined) {
    if (length !== undefined || !isLatest || coding.toLowerCase() !== "chunked") {
      throw new Error("it is not clear where its answer ends");
    }
    return "chunked";
  }
  if (length !== undefined && !/^\d{1,15}$/.test(length)) throw new Error("it is not clear where its answer ends");
  if (status < 200 || BODILESS.has(status)) return 0;
  return length === undefined ? "close" : Number(length);
}

const LINE_MAX = 1_024;
const TRAILERS_MAX = 8_192;
const CHUNK_SIZE = /^([0-9A-Fa-f]{1,8})(?:[ \t]*;.*)?$/;

/** A body in chunks, given on as it comes. Extensions and trailers are dropped. */
export class ChunkReader {
  #expects: "size" | "bytes" | "break" | "trailer" | "nothing" = "size";
  /** Bytes of the current chunk that are still to come. */
  #remaining = 0;
  /** What has come of a line. */
  #line = "";
  #trailerBytes = 0;

  get isOver(): boolean {
    return this.#expects === "nothing";
  }

  /** Gives on what is the body's, and returns how many of the bytes it has read: all but those behind the body's end. @throws Error */
  take(bytes: Buffer, give: (part: Buffer) => void): number {
    let place = 0;
    while (place < bytes.length && this.#expects !== "nothing") {
      if (this.#expects === "bytes") {
        const end = Math.min(bytes.length, place + this.#remaining);
        this.#remaining -= end - place;
        if (this.#remaining === 0) this.#expects = "break";
        give(bytes.subarray(place, end));
        place = end;
      } else {
        place = this.#takeLine(bytes, place);
      }
    }
    return place;
  }

  #takeLine(bytes: Buffer, place: number): number {
    const found = bytes.indexOf(0x0a, place);
    const end = found < 0 ? bytes.length : found + 1;
    if (this.#line.length + end - place > LINE_MAX) throw malformed();
    this.#line += bytes.toString("latin1", place, end);
    if (found < 0) return end;
    const line = this.#line;
    this.#line = "";
    if (!line.endsWith("\r\n")) throw malformed();
    this.#endLine(line.slice(0, -2));
    return end;
  }

  #endLine(line: string): void {
    if (this.#expects === "size") {
      const [, size] = CHUNK_SIZE.exec(line) ?? [];
      if (size === undefined) throw malformed();
      this.#remaining = Number.parseInt(size, 16);
      this.#expects = this.#remaining === 0 ? "trailer" : "bytes";
    } else if (this.#expects === "break") {
      if (line !== "") throw malformed();
      this.#expects = "size";
    } else {
      this.#trailerBytes += line.length;
      if (this.#trailerBytes > TRAILERS_MAX) throw malformed();
      if (line === "") this.#expects = "nothing";
    }
  }
}

function malformed(): Error {
  return new Error("a chunk of its answer is malformed");
}
