/**
 * HTTP/1.1 (RFC 9112) on a socket, for the requests of an edge: strict, small, and without an object for each request that
 * the answer does not need. `node:http` on Bun costs several times as much as TLS itself (bench/mtls.ts).
 */
import { isTurnUsed, useTurn, whenTurnHasRoom } from "../../time/turns.ts";
import { AnswerStream } from "./answer-stream.ts";
import { AnswerText } from "./answer-text.ts";
import { type BodyReader, ChunkedBody, MeasuredBody } from "./body.ts";
import type { Http1Handler } from "./handler.ts";
import { type Http1Head, parseHead } from "./head.ts";
import { KnownHeads } from "./known-heads.ts";
import { longMemory } from "./long-memory.ts";
import { partOf } from "./part.ts";
import { Refusal } from "./refusal.ts";
import type { Http1Socket } from "./socket.ts";
import { type Http1Answer, writeAnswer } from "./write.ts";

/**
 * `admitting`, `answering`: for a promise. `draining`: an answer waits for a caller who does not read it, and no more of its requests are
 * taken. `streaming`: the answer has no end yet.
 */
type Phase = "head" | "admitting" | "body" | "answering" | "draining" | "streaming" | "ended";

const EMPTY = Buffer.alloc(0);
/** Of POST. */
const LETTER_P = 0x50;
/** What of an answer is a slice of a turn of the event loop (base/time/turns.ts), and what a request counts besides. */
const TURN_ANSWER_BYTES = 131_072;
const REQUEST_BYTES = 4_096;
/** Of reports: they are put together anew for each request. */
const GET_BYTES = 16_384;
/** What is read of a connection before others have their turn: a turn's work. */
const READ_BYTES = 65_536;

/** A caller's one request with a short answer does not count: it never waits for what others do. */
const SHORT_ANSWER_BYTES = 8_192;

/** Serves requests on a socket, one after another, until either side ends it. */
export function serveHttp1(socket: Http1Socket, handler: Http1Handler): void {
  const connection = new Http1Connection(socket, handler);
  socket.on("data", (bytes) => connection.onData(bytes));
  socket.on("end", () => connection.onEnd());
  socket.on("drain", () => connection.onDrain());
  socket.on("close", () => connection.onClose());
}

class Http1Connection {
  readonly #socket: Http1Socket;
  readonly #handler: Http1Handler;
  #phase: Phase = "head";
  #received: Buffer = EMPTY;
  /**
   * How much of it has been taken already. A place, not a view: `subarray` of bytes just received moves them out of the collector's heap,
   * and what is there is freed one by one while the collector stops everything.
   */
  #taken = 0;
  /** Of the request that was admitted and is not answered yet. */
  #head: Http1Head | undefined;
  #body: BodyReader | undefined;
  /** The memory of an answer that is being sent, from a socket that keeps nothing of what it has sent. */
  #lent: Buffer | undefined;
  /** The answer that is draining is the connection's last. */
  #closesThen = false;
  /** The other side sends no more. */
  #halfClosed = false;
  /** A request has been answered since others had their turn; an answer that came by a promise may be of the same turn. */
  #isAhead = false;
  /** Others have their turn before the next request that was sent ahead. */
  #yields = false;
  /** Bytes that came since reading rested. */
  #readBytes = 0;
  readonly #knownHeads = new KnownHeads();
  #stream: AnswerStream | undefined;

  constructor(socket: Http1Socket, handler: Http1Handler) {
    this.#socket = socket;
    this.#handler = handler;
  }

  onData(bytes: Buffer): void {
    this.#readBytes += bytes.length;
    if (this.#readBytes >= READ_BYTES) this.#rest();
    if (this.#phase === "ended") return;
    const received = this.#takeReceived();
    this.#received = received.length === 0 ? bytes : Buffer.concat([received, bytes]);
    if (!this.#yields) this.#isAhead = false;
    if (!this.#yields && (this.#phase === "head" || this.#phase === "body")) return void this.#advance();
    // Requests sent ahead wait in the kernel, not here.
    if (this.#received.length > this.#handler.maxHeaderBytes) this.#socket.pause();
  }

  onEnd(): void {
    this.#halfClosed = true;
    if (this.#yields) return;
    if (this.#phase === "head" || this.#phase === "body") this.onClose();
  }

  onDrain(): void {
    if (this.#phase === "streaming") return void this.#stream?.onDrain();
    if (this.#phase !== "draining") return;
    this.#phase = "head";
    this.#answered(this.#closesThen);
    this.#goOn();
  }

  /** The other side has gone, or sends no more and has nothing to wait for. */
  onClose(): void {
    const phase = this.#phase;
    if (phase === "ended") return;
    this.#phase = "ended";
    this.#received = EMPTY;
    this.#taken = 0;
    if (phase === "body") this.#abandon();
    if (phase === "draining" || phase === "streaming") this.#answered(true);
    this.#stream?.cancel();
    if (!this.#socket.destroyed) this.#close();
  }

  #goOn(): void {
    if (this.#yields) return;
    if (this.#phase !== "head" && this.#phase !== "body") return;
    this.#socket.resume();
    this.#advance();
  }

  /** Reads on in a turn that has room. */
  #rest(): void {
    this.#readBytes = 0;
    if (this.#phase === "ended" && this.#socket.discard?.() === true) return;
    this.#socket.pause();
    whenTurnHasRoom(() => {
      useTurn(1);
      const waits = this.#phase === "admitting" || this.#phase === "answering" || this.#phase === "draining";
      if (!waits || this.#received.length <= this.#handler.maxHeaderBytes) this.#socket.resume();
    });
  }

  /** What was received and is not taken yet. */
  #takeReceived(): Buffer {
    if (this.#taken > 0) {
      this.#received = this.#taken === this.#received.length ? EMPTY : this.#received.subarray(this.#taken);
      this.#taken = 0;
    }
    return this.#received;
  }

  #yieldToOthers(): void {
    this.#yields = true;
    whenTurnHasRoom(() => {
      this.#yields = false;
      this.#isAhead = false;
      useTurn(REQUEST_BYTES / TURN_ANSWER_BYTES);
      this.#goOn();
    });
  }

  /** Takes as many requests as are there in whole, while their answers are made at once and cost no more than a turn may. */
  #advance(): void {
    try {
      for (;;) {
        // What comes next is one of many that were sent ahead, or a report; a caller's one operation is no turn's work.
        const mayWait = this.#isAhead || (this.#phase === "head" && this.#received[this.#taken] !== LETTER_P);
        if (mayWait && isTurnUsed() && this.#received.length > this.#taken) return void this.#yieldToOthers();
        if (this.#phase === "head" && !this.#takeHead()) break;
        if (this.#phase !== "body") break;
        const body = this.#takeBody();
        if (body === undefined) break;
        this.#answer(body);
      }
    } catch (error) {
      this.#abandon();
      if (error instanceof Refusal) return void this.#end(this.#handler.refuse(error.status, error.message));
      this.#phase = "ended";
      this.#handler.failed(error);
      return void this.#socket.destroy();
    }
    // What was asked in whole has been answered.
    if (this.#halfClosed && (this.#phase === "head" || this.#phase === "body")) this.onClose();
  }

  #abandon(): void {
    this.#body?.pieces.release();
    this.#body = undefined;
    if (this.#head !== undefined) this.#handler.abandoned();
    this.#head = undefined;
  }

  /** False: not there yet, or refused. */
  #takeHead(): boolean {
    const head = this.#parseReceived();
    if (head === undefined) return false;
    const refused = this.#handler.admit(head);
    if (!(refused instanceof Promise)) return this.#admitted(head, refused);
    this.#phase = "admitting";
    void refused.then((later) => {
      if (this.#phase === "ended") {
        if (later === undefined) this.#handler.abandoned();
        return;
      }
      this.#phase = "head";
      if (this.#admitted(head, later)) this.#goOn();
    });
    return false;
  }

  #admitted(head: Http1Head, refused: Http1Answer | undefined): boolean {
    if (refused !== undefined) {
      this.#end(refused, head.method === "HEAD");
      return false;
    }
    this.#head = head;
    this.#phase = "body";
    const { contentLength = 0, chunked } = head;
    if (!chunked && contentLength <= this.#received.length - this.#taken) return true;
    this.#body = chunked ? new ChunkedBody(this.#handler.maxBodyBytes) : new MeasuredBody(contentLength);
    this.#handler.bodyAwaited();
    if (head.expectsContinue) this.#socket.write("HTTP/1.1 100 Continue\r\n\r\n", "latin1");
    return true;
  }

  /** Undefined: not there yet. @throws {Refusal} */
  #parseReceived(): Http1Head | undefined {
    // A line break before a request is let pass (RFC 9112, 2.2).
    let received = this.#takeReceived();
    if (received[0] === 13 && received[1] === 10) {
      let start = 2;
      while (received[start] === 13 && received[start + 1] === 10) start += 2;
      received = received.subarray(start);
      this.#received = received;
    }
    if (received.length === 0) return undefined;
    const known = this.#knownHeads.find(received);
    if (known !== undefined) {
      this.#taken = known.bytes.length;
      return known.head;
    }
    const length = received.indexOf("\r\n\r\n", 0, "latin1");
    if (length < 0 || length > this.#handler.maxHeaderBytes) {
      // Whoever ends lines by line feeds alone waits for an answer.
      const line = received.indexOf(10);
      if (line >= 0 && received[line - 1] !== 13) throw new Refusal(400, "a line ends without a carriage return");
      if (received.length > this.#handler.maxHeaderBytes) throw new Refusal(431, "the head of the request is too long");
      return undefined;
    }
    const head = parseHead(received.toString("latin1", 0, length));
    this.#knownHeads.add(received.subarray(0, length + 4), head);
    this.#taken = length + 4;
    return head;
  }

  /** Undefined: not there yet, or refused. @throws {Refusal} */
  #takeBody(): Buffer | undefined {
    const reader = this.#body;
    if (reader === undefined) {
      const { contentLength = 0 } = this.#head!;
      const start = this.#taken;
      this.#taken += contentLength;
      const body = partOf(this.#received, start, this.#taken);
      // What a caller chose is not kept until its next request.
      if (this.#taken === this.#received.length) this.#takeReceived();
      return body;
    }
    this.#received = reader.take(this.#takeReceived());
    const refused = this.#handler.bodyGrew(reader.pieces.bytes);
    if (refused !== undefined) {
      this.#abandon();
      this.#end(refused);
      return undefined;
    }
    const { body } = reader;
    if (body === undefined) return undefined;
    this.#handler.bodyTaken();
    return body;
  }

  #answer(body: Buffer): void {
    const head = this.#head!;
    this.#phase = "answering";
    const reader = this.#body;
    this.#body = undefined;
    const answer = this.#handler.answer({ head, body });
    if (!(answer instanceof Promise)) {
      this.#finish(head, answer);
      return void reader?.pieces.release(answer);
    }
    void answer.then((later) => {
      reader?.pieces.release(later);
      // Another request's answer stands where this one was written: nobody gets it.
      if (later.body instanceof AnswerText) {
        this.#handler.failed(new Error("An answer waited and did not take its text with it."));
        return void this.#socket.destroy();
      }
      this.#finish(head, later);
      this.#goOn();
    });
  }

  #finish(head: Http1Head, answer: Http1Answer): void {
    const { body } = answer;
    const isStream = body instanceof ReadableStream;
    const asHead = head.method === "HEAD";
    const gone = this.#phase === "ended" || this.#socket.destroyed;
    const last = !head.keepAlive || answer.close === true || gone || isStream;
    this.#head = undefined;
    if (!gone) this.#phase = "head";
    if (isStream && !gone && !asHead) return void this.#beginStream(answer, body);
    if (isStream) void body.cancel().catch(() => undefined);
    // Nobody gets it: what is secret in it does not wait for the next one.
    if (gone && body instanceof AnswerText) body.begin();
    const bodyLength = isStream ? 0 : (body as string | Uint8Array | AnswerText).length;
    const isGet = head.method === "GET";
    if (this.#isAhead || isGet || bodyLength > SHORT_ANSWER_BYTES) {
      useTurn((bodyLength + (isGet ? GET_BYTES : REQUEST_BYTES)) / TURN_ANSWER_BYTES);
    }
    this.#isAhead = true;
    if (answer.lent === true && (gone || this.#socket.writePart !== undefined)) this.#lent = body as Buffer;
    if (gone || writeAnswer(this.#socket, answer, !last, asHead)) return void this.#answered(last);
    this.#handler.answerWaits(isStream ? 0 : bodyLength);
    this.#phase = "draining";
    this.#closesThen = last;
  }

  #beginStream(answer: Http1Answer, body: ReadableStream<Uint8Array>): void {
    this.#phase = "streaming";
    this.#handler.answerStreams();
    const stream = new AnswerStream(this.#socket, this.#handler, body);
    this.#stream = stream;
    void stream.write(answer).then((isOver) => {
      if (!isOver || this.#phase !== "streaming") return;
      this.#phase = "head";
      this.#stream = undefined;
      this.#answered(true);
    });
  }

  #answered(last: boolean): void {
    if (this.#lent !== undefined) void longMemory.give(this.#lent);
    this.#lent = undefined;
    this.#handler.answered();
    if (last && this.#phase !== "ended") this.#close();
  }

  /** Turns a request away; what comes after on the connection is not read as a request. */
  #end(answer: Http1Answer, asHead = false): void {
    if (!this.#socket.destroyed) writeAnswer(this.#socket, answer, false, asHead);
    this.#close();
  }

  #close(): void {
    this.#phase = "ended";
    this.#received = EMPTY;
    this.#taken = 0;
    this.#handler.ended();
    // What still comes is thrown away, so that the answer gets through.
    this.#socket.resume();
    this.#socket.end();
  }
}
