/** The answer to a batch in JSON, `{"NAME":[…]}`, written as its items come: nothing is made of an item but its bytes. */
import type { OperationError } from "../../../base/errors.ts";
import { joinInTurns } from "../../../base/json/write-list.ts";
import { AnswerText } from "../../../base/network/http1/answer-text.ts";
import { longMemory } from "../../../base/network/http1/long-memory.ts";
import { problemOf } from "../../../base/network/problem.ts";
import { yieldToEventLoop } from "../../../base/time/turns.ts";

/** Items that are written before the room for the others is made, by their mean length. */
const ITEMS_AT_FIRST = 16;
/** What an item may have more than the mean of those before it: some digits, a name. */
const LONGER_BY = 1.1;
const PIECE_BYTES_MIN = 16_384;
const PIECE_BYTES_MAX = 8_388_608;
/** Behind a piece, for its last item: a piece that is too short for it would be copied to a larger buffer. The longest has about as many. */
const LAST_ITEM_BYTES = 98_304;

export class BatchText {
  readonly #text = new AnswerText();
  readonly #pieces: Buffer[] = [];
  readonly #count: number;
  #written = 0;
  #piecesBytes = 0;
  /** The next item begins another piece, or more room in this one, where the text is as long as this. */
  #room = PIECE_BYTES_MIN;

  /** Of `count` items. Where they are about alike, they come to lie in one piece: none of it is copied. */
  constructor(name: "keys" | "results", count: number) {
    this.#count = count;
    this.#text.ascii('{"').ascii(name).ascii('":[');
  }

  /** Of items so far. */
  get written(): number {
    return this.#written;
  }

  /** Where the next item is written. */
  next(): AnswerText {
    const text = this.#text;
    if (this.#written === ITEMS_AT_FIRST || text.length >= this.#room) this.#makeRoom();
    if (this.#written++ > 0) text.ascii(",");
    return text;
  }

  #makeRoom(): void {
    const text = this.#text;
    const itemBytes = (this.#piecesBytes + text.length) / this.#written;
    const wanted = Math.ceil(itemBytes * LONGER_BY * (this.#count - this.#written));
    if (text.length >= this.#room) {
      this.#piecesBytes += text.length;
      this.#pieces.push(text.takeBytes());
    }
    const bytes = Math.max(PIECE_BYTES_MIN, Math.min(PIECE_BYTES_MAX, wanted));
    text.reserve(bytes + Math.min(bytes, LAST_ITEM_BYTES));
    this.#room = text.length + bytes;
  }

  /** The whole of it, which is the caller's, to be given back to `longMemory`. */
  end(): Buffer | Promise<Buffer> {
    const last = this.#text.ascii("]}").takeBytes();
    if (this.#pieces.length === 0) return last;
    this.#pieces.push(last);
    return joinInTurns(this.#pieces, yieldToEventLoop);
  }

  /** Wipes it: nobody gets it. */
  discard(): void {
    for (const piece of [this.#text.takeBytes(), ...this.#pieces]) longMemory.giveBack(piece);
  }
}

/** The last problem that was written. Of the many bad items of a batch, most have the same. */
let lastCode = "";
let lastMessage = "";
let lastText = "";

/** In the place of an item. */
export function writeItsProblem(to: AnswerText, error: OperationError): void {
  const { code, message } = error;
  if (message !== lastMessage || code !== lastCode) {
    lastText = inAscii(JSON.stringify({ error: problemOf(error) }));
    lastCode = code;
    lastMessage = message;
  }
  to.ascii(lastText);
}

/** The same JSON, its letters beyond ASCII by their numbers. */
function inAscii(json: string): string {
  return json
    .replace(/[\u{80}-\u{ffff}]/gu, numbered)
    .replace(/[\u{10000}-\u{10ffff}]/gu, (pair) => numbered(pair[0]!) + numbered(pair[1]!));
}

const numbered = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
