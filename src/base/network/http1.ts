/**
 * HTTP/1.1 (RFC 9112) on a socket, for the requests of an edge: strict, small, and without an object for each request that
 * the answer does not need. `node:http` on Bun costs several times as much as TLS itself (bench/mtls.ts).
 *
 * Strict means: whatever two readers could understand in two ways is answered 400 and ends the connection. Only the origin
 * form of a target, one length or one `chunked` and never both, no folded lines, no bare line feeds, no chunk extensions,
 * no trailers, no upgrade.
 */

import { REASON_PHRASES } from "./reason-phrases.ts";

export interface Http1Request {
  readonly method: string;
  /** In origin form: begins with a slash. */
  readonly target: string;
  readonly headers: Http1Headers;
  /** Whole; a view of what was received, good until the answer is made. */
  readonly body: Buffer;
}

export interface Http1Headers {
  /** In lower case; a header that was sent several times is joined by commas. */
  readonly fields: ReadonlyMap<string, string>;
}

export interface Http1Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array;
  /** Ends the connection after the answer. */
  readonly close?: boolean;
}

export interface Http1Options {
  readonly maxHeaderBytes: number;
  readonly maxBodyBytes: number;
  /** Before the body is read: an answer turns the request away. `contentLength` is undefined for a chunked body. */
  readonly admit: (head: Http1Head) => Http1Answer | undefined;
  /** Answers a request. Must not throw or reject. */
  readonly answer: (request: Http1Request) => Http1Answer | Promise<Http1Answer>;
  /** The answer to a request that cannot be understood or is too large. */
  readonly refuse: (status: 400 | 413 | 417 | 431 | 501 | 505, reason: string) => Http1Answer;
  /** A head has come whose body has not: for whoever bounds the time that takes. */
  readonly bodyAwaited: () => void;
  /** So much has come of a body whose length nobody said: an answer turns it away. */
  readonly bodyGrew: (bytes: number) => Http1Answer | undefined;
  /** That body is there: its time is over, that of the answer begins. */
  readonly bodyTaken: () => void;
  /** An answer of this length waits for a caller who does not read it. */
  readonly answerWaits: (bytes: number) => void;
  /** The answer has been handed to the system whole, or its caller has gone. */
  readonly answered: () => void;
  /** An admitted request will not be answered: its caller has gone, or broke the protocol in its body. */
  readonly abandoned: () => void;
  /** This side has ended the connection. */
  readonly ended: () => void;
  /** A defect; the connection is cut. */
  readonly failed: (error: unknown) => void;
}

export interface Http1Head {
  readonly method: string;
  readonly target: string;
  readonly headers: Http1Headers;
  readonly contentLength: number | undefined;
  readonly chunked: boolean;
  readonly keepAlive: boolean;
  readonly expectsContinue: boolean;
}

/** The part of a socket that is used here. */
export interface Http1Socket {
  /** Takes all of it, text in ASCII; false: the other side reads slower than this, wait for `drain` before the next. */
  write(data: string | Uint8Array, encoding?: BufferEncoding): boolean;
  end(): void;
  destroy(): void;
  pause(): void;
  resume(): void;
  /** Undefined on a Unix socket. */
  readonly remoteAddress?: string | undefined;
  on(event: "data", listener: (bytes: Buffer) => void): unknown;
  on(event: "close" | "end" | "drain", listener: () => void): unknown;
  readonly destroyed: boolean;
}

const HEADERS_MAX = 100;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: the point is to find them
const BAD_VALUE = /[\x00-\x08\x0a-\x1f\x7f]/;
const BAD_TARGET = /[^\x21-\x7e]/;
/** A name, an address or nothing, with a port or not (RFC 9110, 7.2). */
const HOST = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]*)(:\d{0,5})?$/;
const CHUNK_SIZE = /^[0-9A-Fa-f]{1,8}$/;
const EMPTY = Buffer.alloc(0);
/** What is wrong with a head; caught where it is answered. */
class Refusal extends Error {
  readonly status: 400 | 413 | 417 | 431 | 501 | 505;

  constructor(status: Refusal["status"], reason: string) {
    super(reason);
    this.status = status;
  }
}

/** Serves requests on a socket, one after another, until either side ends it. */
export function serveHttp1(socket: Http1Socket, options: Http1Options): void {
  let received: Buffer = EMPTY;
  /** The head of the request whose body is being read. */
  let head: Http1Head | undefined;
  let chunks: ChunkReader | undefined;
  /** What has come of a body that has a length, where it did not come whole. */
  let pieces: GrowingBuffer | undefined;
  let answering = false;
  /** An answer waits for a caller who does not read it: no more of its requests are taken. */
  let draining = false;
  /** That answer is the connection's last. */
  let closesThen = false;
  let bodyAwaited = false;
  /** The other side sends no more. */
  let halfClosed = false;
  let ended = false;
  /** With its end. */
  let lastHeadBytes: Buffer | undefined;
  let lastHead: Http1Head | undefined;

  socket.on("data", (bytes) => {
    if (ended) return;
    received = received.length === 0 ? bytes : Buffer.concat([received, bytes]);
    if (answering || draining) {
      // Requests sent ahead wait in the kernel, not here.
      if (received.length > options.maxHeaderBytes) socket.pause();
      return;
    }
    advance();
  });
  socket.on("end", () => {
    halfClosed = true;
    if (!answering && !draining) stop();
  });
  socket.on("drain", () => {
    if (!draining) return;
    draining = false;
    answered(closesThen);
    goOn();
  });
  socket.on("close", stop);

  function stop(): void {
    const awaited = head !== undefined && !answering;
    ended = true;
    head = undefined;
    received = EMPTY;
    if (awaited) options.abandoned();
    if (draining) {
      draining = false;
      options.answered();
    }
    if (!socket.destroyed) close();
  }

  function advance(): void {
    takeRequests();
    // What was asked in whole has been answered.
    if (halfClosed && !answering && !draining && !ended) stop();
  }

  /** Takes as many requests as are there in whole, while their answers are made at once. */
  function takeRequests(): void {
    try {
      while (!answering && !draining && !ended) {
        if (head === undefined && !takeHead()) return;
        const body = takeBody(head!);
        if (body === undefined) return;
        if (bodyAwaited) {
          bodyAwaited = false;
          options.bodyTaken();
        }
        const request: Http1Request = { method: head!.method, target: head!.target, headers: head!.headers, body };
        const { keepAlive } = head!;
        const asHead = head!.method === "HEAD";
        answering = true;
        const answer = options.answer(request);
        if (answer instanceof Promise) {
          void answer.then((later) => {
            finish(later, keepAlive, asHead);
            goOn();
          });
          return;
        }
        finish(answer, keepAlive, asHead);
      }
    } catch (error) {
      if (head !== undefined) options.abandoned();
      head = undefined;
      if (!(error instanceof Refusal)) {
        options.failed(error);
        return void socket.destroy();
      }
      end(options.refuse(error.status, error.message));
    }
  }

  function goOn(): void {
    if (ended || draining) return;
    socket.resume();
    advance();
  }

  function finish(answer: Http1Answer, keepAlive: boolean, asHead: boolean): void {
    head = undefined;
    chunks = undefined;
    pieces = undefined;
    answering = false;
    const last = !keepAlive || answer.close === true || ended;
    if (socket.destroyed || writeAnswer(socket, answer, !last, asHead)) {
      answered(last);
      return;
    }
    options.answerWaits(answer.body.length);
    draining = true;
    closesThen = last;
  }

  function answered(last: boolean): void {
    options.answered();
    if (last) close();
  }

  function end(answer: Http1Answer, asHead = false): void {
    if (!socket.destroyed) writeAnswer(socket, answer, false, asHead);
    close();
  }

  function close(): void {
    ended = true;
    received = EMPTY;
    options.ended();
    // What still comes is thrown away, so that the answer gets through.
    socket.resume();
    socket.end();
  }

  /** False: not there yet. */
  function takeHead(): boolean {
    // A line break before a request is let pass (RFC 9112, 2.2).
    while (received.length >= 2 && received[0] === 13 && received[1] === 10) received = received.subarray(2);
    if (received.length === 0) return false;
    const length = lastHeadBytes?.length ?? 0;
    // The same client sends the same head again and again.
    if (lastHead !== undefined && lastHeadBytes!.compare(received, 0, Math.min(length, received.length)) === 0) {
      received = received.subarray(length);
    } else if (!parseReceived()) {
      return false;
    }
    const parsed = lastHead!;
    if ((parsed.contentLength ?? 0) > options.maxBodyBytes) throw new Refusal(413, "the body is too long");
    const refused = options.admit(parsed);
    if (refused !== undefined) {
      end(refused, parsed.method === "HEAD");
      return false;
    }
    head = parsed;
    if (parsed.chunked) chunks = new ChunkReader(options.maxBodyBytes);
    if (!parsed.chunked && (parsed.contentLength ?? 0) <= received.length) return true;
    bodyAwaited = true;
    options.bodyAwaited();
    if (parsed.expectsContinue) socket.write("HTTP/1.1 100 Continue\r\n\r\n", "latin1");
    return true;
  }

  /** False: not there yet. */
  function parseReceived(): boolean {
    const length = received.indexOf("\r\n\r\n", 0, "latin1");
    if (length < 0 || length > options.maxHeaderBytes) {
      if (received.length > options.maxHeaderBytes) throw new Refusal(431, "the head of the request is too long");
      return false;
    }
    lastHead = parseHead(received.toString("latin1", 0, length));
    lastHeadBytes = Buffer.from(received.subarray(0, length + 4));
    received = received.subarray(length + 4);
    return true;
  }

  /** Undefined: not there yet. */
  function takeBody({ contentLength = 0 }: Http1Head): Buffer | undefined {
    if (chunks !== undefined) {
      received = chunks.take(received);
      const refused = options.bodyGrew(chunks.length);
      if (refused === undefined) return chunks.body;
      options.abandoned();
      head = undefined;
      end(refused);
      return undefined;
    }
    if (pieces === undefined) {
      if (received.length >= contentLength) {
        const all = received;
        if (all.length === contentLength) {
          received = EMPTY;
          return all;
        }
        received = all.subarray(contentLength);
        return all.subarray(0, contentLength);
      }
      pieces = new GrowingBuffer();
    }
    const missing = contentLength - pieces.length;
    pieces.append(received.subarray(0, missing));
    received = received.length > missing ? received.subarray(missing) : EMPTY;
    return pieces.length === contentLength ? pieces.bytes : undefined;
  }
}

/** A body as it comes, copied together: many small pieces cost no more than their bytes. */
class GrowingBuffer {
  #buffer = Buffer.allocUnsafe(4_096);
  #length = 0;

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

/** @throws {Refusal} */
function parseHead(text: string): Http1Head {
  const lines = text.split("\r\n");
  const [method = "", target = "", version = "", ...rest] = (lines[0] ?? "").split(" ");
  if (rest.length > 0 || !TOKEN.test(method) || target === "") throw new Refusal(400, "the request line is malformed");
  if (version !== "HTTP/1.1" && version !== "HTTP/1.0") {
    throw /^HTTP\/\d\.\d$/.test(version)
      ? new Refusal(505, "this version of HTTP is not spoken here")
      : new Refusal(400, "the request line is malformed");
  }
  if (!target.startsWith("/") || BAD_TARGET.test(target)) throw new Refusal(400, "the target is not a path");
  if (lines.length - 1 > HEADERS_MAX) throw new Refusal(431, "there are too many headers");

  const fields = new Map<string, string>();
  for (let index = 1; index < lines.length; index++) {
    const line = lines[index]!;
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(colon, 0)).toLowerCase();
    if (!TOKEN.test(name)) throw new Refusal(400, "a header is malformed");
    const value = line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, "");
    if (BAD_VALUE.test(value)) throw new Refusal(400, "a header holds a control character");
    const before = fields.get(name);
    if (before !== undefined && (name === "content-length" || name === "transfer-encoding" || name === "host")) {
      throw new Refusal(400, `the header ${name} comes twice`);
    }
    fields.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  const isLatest = version === "HTTP/1.1";
  const host = fields.get("host");
  if (isLatest && host === undefined) throw new Refusal(400, "the header host is missing");
  if (host !== undefined && !HOST.test(host)) throw new Refusal(400, "the header host is no host");

  const length = fields.get("content-length");
  const coding = fields.get("transfer-encoding");
  if (length !== undefined && !/^\d{1,15}$/.test(length)) throw new Refusal(400, "the length is not a number");
  if (coding !== undefined) {
    if (length !== undefined) throw new Refusal(400, "a length and a transfer coding stand side by side");
    if (!isLatest || coding.toLowerCase() !== "chunked") throw new Refusal(400, "the transfer coding is not chunked");
  }
  const expect = fields.get("expect")?.toLowerCase();
  if (expect !== undefined && expect !== "100-continue") throw new Refusal(417, "this expectation is not met here");
  const connection = fields.get("connection")?.toLowerCase() ?? "";
  return {
    method,
    target,
    headers: { fields },
    contentLength: length === undefined ? undefined : Number(length),
    chunked: coding !== undefined,
    keepAlive: isLatest && !/(^|[ ,])close($|[ ,])/.test(connection),
    expectsContinue: expect !== undefined && isLatest,
  };
}

/** Reads a chunked body (RFC 9112, 7.1). */
class ChunkReader {
  readonly #maxBytes: number;
  readonly #body = new GrowingBuffer();
  /** Bytes of the current chunk that are still to come; undefined: a size comes next. */
  #remaining: number | undefined;
  #ended = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Of what has come of the body. */
  get length(): number {
    return this.#body.length;
  }

  /** The whole body once it is there. */
  get body(): Buffer | undefined {
    return this.#ended ? this.#body.bytes : undefined;
  }

  /** Takes what it can, returns what it left. @throws {Refusal} */
  take(bytes: Buffer): Buffer {
    let rest = bytes;
    while (!this.#ended) {
      if (this.#remaining === undefined) {
        const end = rest.indexOf("\r\n", 0, "latin1");
        if (end < 0) {
          if (rest.length > 10) throw new Refusal(400, "the size of a chunk is malformed");
          return rest;
        }
        const size = rest.toString("latin1", 0, end);
        if (!CHUNK_SIZE.test(size)) throw new Refusal(400, "the size of a chunk is malformed");
        this.#remaining = Number.parseInt(size, 16);
        if (this.#body.length + this.#remaining > this.#maxBytes) throw new Refusal(413, "the body is too long");
        rest = rest.subarray(end + 2);
        continue;
      }
      if (this.#remaining > 0) {
        if (rest.length === 0) return rest;
        const part = rest.subarray(0, this.#remaining);
        this.#body.append(part);
        this.#remaining -= part.length;
        rest = rest.subarray(part.length);
        if (this.#remaining > 0) return rest;
        this.#remaining = -1;
        continue;
      }
      // The line break after a chunk's bytes (-1), or after the last chunk (0): trailers are not taken.
      if (rest.length < 2) return rest;
      if (rest[0] !== 13 || rest[1] !== 10) throw new Refusal(400, "a chunk does not end where it should");
      this.#ended = this.#remaining === 0;
      this.#remaining = undefined;
      rest = rest.subarray(2);
    }
    return rest;
  }
}

let dateLine = "";
let dateAtS = 0;

/** The header, made once a second. */
function currentDateLine(): string {
  const nowS = Math.floor(Date.now() / 1000);
  if (nowS !== dateAtS) {
    dateAtS = nowS;
    dateLine = `Date: ${new Date(nowS * 1000).toUTCString()}\r\n`;
  }
  return dateLine;
}

/** False: the socket is to drain first. */
function writeAnswer(socket: Http1Socket, answer: Http1Answer, keepAlive: boolean, asHead: boolean): boolean {
  const { status, headers, body } = answer;
  let text = `HTTP/1.1 ${status} ${REASON_PHRASES[status] ?? "Status"}\r\n${currentDateLine()}`;
  for (const name in headers)
    if (name !== "content-length" && name !== "Content-Length") text += `${name}: ${headers[name]}\r\n`;
  if (!keepAlive) text += "Connection: close\r\n";
  // What a GET would be answered with may be known without its body.
  const length = asHead ? (headers["content-length"] ?? headers["Content-Length"]) : undefined;
  if (length !== undefined) return socket.write(`${text}Content-Length: ${length}\r\n\r\n`, "latin1");
  if (typeof body === "string") {
    const isAscii = Buffer.byteLength(body) === body.length;
    if (isAscii) {
      return socket.write(`${text}Content-Length: ${body.length}\r\n\r\n${asHead ? "" : body}`, "latin1");
    }
  }
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  const flowing = socket.write(`${text}Content-Length: ${bytes.length}\r\n\r\n`, "latin1");
  return asHead || bytes.length === 0 ? flowing : socket.write(bytes);
}
