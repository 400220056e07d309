/**
 * The text of an answer's body, written once, where it goes out from: no string is made of it, and nothing is left for the collector. One
 * for the process, since an answer that is made at once is sent at once; whoever waits takes its text with it (`take`).
 */
import { toBase64url } from "../../base64url.ts";
import { longMemory } from "./long-memory.ts";
import type { Http1Socket } from "./socket.ts";

/** Before the body, for the answer's head. */
const HEAD_ROOM = 1_024;
const BYTES_AT_FIRST = 16_384;
/** What grew larger for one long answer is let go with it. */
const BYTES_KEPT = 262_144;
/** From this length on the runtime's own encoder is quicker, though it makes a string. */
const LONG_BYTES = 1_024;
const DIGIT_0 = 0x30;
const NOTHING = Buffer.alloc(0);

const LETTERS = Buffer.from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");

export class AnswerText {
  #bytes: Buffer = Buffer.alloc(BYTES_AT_FIRST);
  #end = HEAD_ROOM;
  #isSecret = false;

  /** Bytes of the body. */
  get length(): number {
    return this.#end - HEAD_ROOM;
  }

  /** Begins another text. What a secret one left is wiped. */
  begin(): this {
    this.#forget();
    return this;
  }

  /** Text in ASCII. */
  ascii(text: string): this {
    this.reserve(text.length);
    const bytes = this.#bytes;
    let end = this.#end;
    for (let index = 0; index < text.length; index++) bytes[end++] = text.charCodeAt(index);
    this.#end = end;
    return this;
  }

  /** A whole number from 0. */
  number(value: number): this {
    if (value > 9) this.number(Math.floor(value / 10));
    this.reserve(1);
    this.#bytes[this.#end++] = DIGIT_0 + (value % 10);
    return this;
  }

  /** Bytes as base64url without padding. */
  base64url(data: Uint8Array): this {
    if (data.length >= LONG_BYTES) return this.#long(toBase64url(data));
    this.reserve(Math.ceil((data.length * 4) / 3));
    const bytes = this.#bytes;
    let end = this.#end;
    let index = 0;
    for (; index + 2 < data.length; index += 3) {
      const bits = (data[index]! << 16) | (data[index + 1]! << 8) | data[index + 2]!;
      bytes[end++] = LETTERS[bits >> 18]!;
      bytes[end++] = LETTERS[(bits >> 12) & 63]!;
      bytes[end++] = LETTERS[(bits >> 6) & 63]!;
      bytes[end++] = LETTERS[bits & 63]!;
    }
    const rest = data.length - index;
    if (rest > 0) {
      const bits = (data[index]! << 16) | (rest === 2 ? data[index + 1]! << 8 : 0);
      bytes[end++] = LETTERS[bits >> 18]!;
      bytes[end++] = LETTERS[(bits >> 12) & 63]!;
      if (rest === 2) bytes[end++] = LETTERS[(bits >> 6) & 63]!;
    }
    this.#end = end;
    return this;
  }

  /** The same of a secret: its text is wiped once it has been sent, or when the next begins. */
  secret(data: Uint8Array): this {
    this.#isSecret = true;
    return this.base64url(data);
  }

  /** The text as a string, for whoever can't send it at once. */
  take(): string {
    const text = this.#bytes.toString("latin1", HEAD_ROOM, this.#end);
    this.#forget();
    return text;
  }

  /** The text as bytes, which are the caller's, to be given back to `longMemory` if nobody else has them. */
  takeBytes(): Buffer {
    const text = this.#bytes.subarray(HEAD_ROOM, this.#end);
    this.#bytes = NOTHING;
    this.#isSecret = false;
    this.#end = HEAD_ROOM;
    return text;
  }

  /** Sends the head and the text in one write, and forgets the text. `head` ends where the number of the content's length goes. */
  send(head: Uint8Array, socket: Http1Socket): boolean {
    const bytes = this.#bytes;
    let start = HEAD_ROOM - 4;
    bytes[start] = 13;
    bytes[start + 1] = 10;
    bytes[start + 2] = 13;
    bytes[start + 3] = 10;
    let length = this.length;
    do {
      bytes[--start] = DIGIT_0 + (length % 10);
      length = Math.floor(length / 10);
    } while (length > 0);
    start -= head.length;
    if (start < 0) throw new RangeError("The head of this answer is too long.");
    bytes.set(head, start);
    const flows =
      socket.writePart === undefined
        ? socket.write(Buffer.from(bytes.subarray(start, this.#end)))
        : socket.writePart(bytes, start, this.#end);
    this.#forget();
    return flows;
  }

  #long(text: string): this {
    this.reserve(text.length);
    this.#end += this.#bytes.write(text, this.#end, "latin1");
    return this;
  }

  /** Makes room for so many bytes more: so many that are written then are not copied to a larger buffer in between. */
  reserve(length: number): void {
    const { length: held } = this.#bytes;
    if (this.#end + length <= held) return;
    // Not filled with zeros first: what nobody has written is not sent, and megabytes of them take a millisecond.
    const larger = longMemory.take(Math.max(this.#end + length, held * 2, BYTES_AT_FIRST));
    larger.set(this.#bytes.subarray(0, this.#end));
    if (this.#isSecret) this.#bytes.fill(0);
    void longMemory.give(this.#bytes, this.#end);
    this.#bytes = larger;
  }

  #forget(): void {
    if (this.#isSecret) this.#bytes.fill(0, HEAD_ROOM, this.#end);
    if (this.#bytes.length > BYTES_KEPT) {
      void longMemory.give(this.#bytes, this.#end);
      this.#bytes = Buffer.alloc(BYTES_AT_FIRST);
    }
    this.#isSecret = false;
    this.#end = HEAD_ROOM;
  }
}

/** The one that answers are written into. */
export const answerText = new AnswerText();
