/**
 * One connection: messages are cut out of the stream, answered one after the other in the order in which they came, and wiped. Nothing is
 * read while an answer is being made or has not been taken, so a caller can't pile up work.
 */
import { messageOf } from "../../../base/errors.ts";
import { turnFor } from "../../../base/time/turns.ts";
import { allocateSecret, wipe } from "../../../base/wipe.ts";
import type { Caller } from "../../operations/operations.ts";
import type { DoorSocket, SocketLimits } from "../door.ts";
import { RESULT_REASON, TAG } from "./enumerations.ts";
import { invalidMessage, KmipFailure } from "./failure.ts";
import type { HandlerParts } from "./handler.ts";
import { answerMessage, type ResponseMessage, refuseMessage, writeFailure } from "./message.ts";
import { announcedLength, HEADER_LENGTH, readTag, TYPE } from "./ttlv.ts";

/** The longest request, head included: the objects that databases register are far smaller. */
const MESSAGE_LENGTH_MAX = 64 * 1024;
const SHORT_MESSAGE_LENGTH = 2 * 1024;
/** Of a slice of a turn of the event loop. */
const SENT_AHEAD_PART = 1 / 32;
/** How long a message may take to arrive, so that nobody holds a connection with a byte now and then. */
const MESSAGE_TIMEOUT_MS = 30_000;

export interface ConnectionParts extends HandlerParts {
  readonly monotonicMs: () => number;
}

/**
 * How long a connection that is one too many waits for its refusal. Its handshake is paid for already: what bounds the next ones is that most
 * clients make them one after the other.
 */
const REFUSAL_DELAY_MS = 1_000;

const OVERLOADED = new KmipFailure(
  RESULT_REASON.generalFailure,
  "The edge has too many requests in flight. Try again.",
);
const NOTHING = new Uint8Array(0);

export class KmipConnection {
  readonly #socket: DoorSocket;
  readonly #caller: Caller;
  readonly #limits: SocketLimits;
  readonly #parts: ConnectionParts;
  /** What the first message is answered with, where the connection itself is one too many. */
  readonly #refusal: KmipFailure | undefined;
  readonly #head = allocateSecret(HEADER_LENGTH);
  /** Undefined until the head has come. */
  #message: Uint8Array | undefined;
  #filled = 0;
  #begunMs = 0;
  /** What came behind the message that is being answered. */
  #unread: Uint8Array = NOTHING;
  #busy = false;
  #ended = false;
  #response: ResponseMessage | undefined;

  constructor(
    socket: DoorSocket,
    caller: Caller,
    limits: SocketLimits,
    parts: ConnectionParts,
    refusal: KmipFailure | undefined,
  ) {
    this.#socket = socket;
    this.#caller = caller;
    this.#limits = limits;
    this.#parts = parts;
    this.#refusal = refusal;
    socket.on("error", () => socket.destroy());
    socket.on("end", () => this.#end());
    socket.on("close", () => this.#closed());
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
  }

  #receive(chunk: Uint8Array): void {
    if (this.#ended) return void wipe(chunk);
    const { monotonicMs } = this.#parts;
    if (this.#filled === 0 && !this.#busy) this.#begunMs = monotonicMs();
    else if (!this.#busy && monotonicMs() - this.#begunMs > MESSAGE_TIMEOUT_MS) return void this.#socket.destroy();
    if (this.#busy) {
      const unread = allocateSecret(this.#unread.length + chunk.length);
      unread.set(this.#unread);
      unread.set(chunk, this.#unread.length);
      wipe(this.#unread);
      this.#unread = unread;
    } else this.#consume(chunk);
    wipe(chunk);
  }

  /** Takes messages out of the bytes until one has to be answered; the rest is kept. */
  #consume(bytes: Uint8Array): void {
    let offset = 0;
    while (offset < bytes.length && !this.#busy && !this.#ended) offset += this.#take(bytes.subarray(offset));
    if (offset < bytes.length && !this.#ended) {
      this.#unread = allocateSecret(bytes.length - offset);
      this.#unread.set(bytes.subarray(offset));
    }
  }

  /** Takes what belongs to the head or to the message, and returns how many bytes that was. */
  #take(bytes: Uint8Array): number {
    const target = this.#message ?? this.#head;
    const count = Math.min(bytes.length, target.length - this.#filled);
    target.set(bytes.subarray(0, count), this.#filled);
    this.#filled += count;
    if (this.#filled < target.length) return count;
    if (this.#message === undefined) this.#beginMessage();
    if (this.#message !== undefined && this.#filled === this.#message.length) this.#answer(this.#message);
    return count;
  }

  #beginMessage(): void {
    const head = this.#head;
    const length = HEADER_LENGTH + announcedLength(head);
    if (readTag(head, 0) !== TAG.requestMessage || head[3] !== TYPE.structure || length % 8 !== 0) {
      return void this.#giveUp("This is not a request message of KMIP.");
    }
    const lengthMax = Math.min(MESSAGE_LENGTH_MAX, this.#limits.messageBytesMax);
    if (length > lengthMax) return void this.#giveUp(`A message has at most ${lengthMax} bytes.`);
    this.#message = allocateSecret(length);
    this.#message.set(head);
  }

  /** Where the next message begins can't be known any more. */
  #giveUp(why: string): void {
    const { nowSeconds } = this.#parts;
    this.#send({ writer: writeFailure(invalidMessage(why), 10, nowSeconds()), last: true });
  }

  #answer(message: Uint8Array): void {
    this.#busy = true;
    this.#message = undefined;
    this.#filled = 0;
    this.#socket.pause();
    const { length } = message;
    const refuse = (failure: KmipFailure): void => {
      const writer = refuseMessage(message, failure, this.#parts.nowSeconds());
      wipe(message);
      this.#send({ writer, last: true });
    };
    if (this.#refusal !== undefined) return void setTimeout(refuse, REFUSAL_DELAY_MS, this.#refusal).unref();
    if (!this.#limits.enter(length)) return void refuse(OVERLOADED);
    const answered = (response: ResponseMessage): void => {
      wipe(message);
      this.#limits.leave(length);
      this.#send(response);
    };
    // A long message is a slice of a turn of the event loop: of many connections that send one at once, one is answered in each.
    const turn = length > SHORT_MESSAGE_LENGTH ? turnFor(length / MESSAGE_LENGTH_MAX) : undefined;
    const made = (): Promise<ResponseMessage> => answerMessage(message, this.#caller, this.#parts);
    (turn === undefined ? made() : turn.then(made)).then(answered).catch((error: unknown) => {
      this.#parts.log.error(
        { err: error, reason: messageOf(error) },
        "a KMIP connection failed by a defect of the edge",
      );
      this.#socket.destroy();
    });
  }

  #send(response: ResponseMessage): void {
    if (this.#socket.destroyed) return void response.writer.wipe();
    this.#busy = true;
    this.#response = response;
    if (response.last) this.#ended = true;
    this.#socket.write(response.writer.bytes, () => this.#sent(response));
  }

  #sent(response: ResponseMessage): void {
    response.writer.wipe();
    this.#response = undefined;
    // Of messages that were sent ahead a turn of the event loop takes a few.
    const turn = this.#unread.length === 0 ? undefined : turnFor(SENT_AHEAD_PART);
    if (turn === undefined) this.#goOn();
    else void turn.then(() => this.#goOn());
  }

  #goOn(): void {
    this.#busy = false;
    if (this.#ended) return void this.#end();
    const unread = this.#unread;
    this.#unread = NOTHING;
    this.#begunMs = this.#parts.monotonicMs();
    this.#consume(unread);
    wipe(unread);
    if (!this.#busy && !this.#ended) this.#socket.resume();
  }

  /** After the last response, or when the caller has no more to send: an answer that is being made still goes out. */
  #end(): void {
    this.#ended = true;
    if (!this.#busy) this.#socket.end();
  }

  #closed(): void {
    this.#ended = true;
    this.#response?.writer.wipe();
    wipe(this.#unread);
    if (this.#message !== undefined) wipe(this.#message);
  }
}
