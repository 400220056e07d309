/** The answer to a batch in JSON, `{"NAME":[…]}`, written as its items come: nothing is made of an item but its bytes. */
import type { OperationError } from "../../../base/errors.ts";
import { joinInTurns } from "../../../base/json/write-list.ts";
import { AnswerText } from "../../../base/network/http1/answer-text.ts";
import { problemOf } from "../../../base/network/problem.ts";
import { yieldToEventLoop } from "../../../base/time/turns.ts";

/** Of items of different lengths. A larger buffer for all of them would be copied in one. */
const PIECE_BYTES = 49_152;

export class BatchText {
  readonly #text = new AnswerText();
  readonly #pieces: Buffer[] = [];
  #count = 0;

  constructor(name: "keys" | "results") {
    this.#text.ascii('{"').ascii(name).ascii('":[');
  }

  /** Of items so far. */
  get count(): number {
    return this.#count;
  }

  /** Where the next item is written. */
  next(): AnswerText {
    const text = this.#text;
    if (text.length >= PIECE_BYTES) this.#pieces.push(text.takeBytes());
    if (this.#count++ > 0) text.ascii(",");
    return text;
  }

  /** The same of items that are as long as the first, of which there are `count`: all of them in one piece. */
  nextOf(count: number): AnswerText {
    const text = this.#text;
    if (this.#count === 1) text.reserve(count * (text.length + LONGER_BYTES));
    if (this.#count++ > 0) text.ascii(",");
    return text;
  }

  /** The whole of it, which is the caller's. */
  end(): Buffer | Promise<Buffer> {
    const last = this.#text.ascii("]}").takeBytes();
    if (this.#pieces.length === 0) return last;
    this.#pieces.push(last);
    return joinInTurns(this.#pieces, yieldToEventLoop);
  }

  /** Wipes it: nobody gets it. */
  discard(): void {
    this.#text.takeBytes().fill(0);
    for (const piece of this.#pieces) piece.fill(0);
  }
}

/** What a later item may have more than the first: some digits. */
const LONGER_BYTES = 8;

/** In the place of an item. */
export function writeItsProblem(to: AnswerText, error: OperationError): void {
  to.ascii(inAscii(JSON.stringify({ error: problemOf(error) })));
}

/** The same JSON, its letters beyond ASCII by their numbers. */
function inAscii(json: string): string {
  return json
    .replace(/[\u{80}-\u{ffff}]/gu, numbered)
    .replace(/[\u{10000}-\u{10ffff}]/gu, (pair) => numbered(pair[0]!) + numbered(pair[1]!));
}

const numbered = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
