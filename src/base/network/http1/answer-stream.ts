import type { Http1Handler } from "./handler.ts";
import type { Http1Socket } from "./socket.ts";
import { type Http1Answer, writeAnswer } from "./write.ts";

/** An answer without a known end: written as it comes, at the pace of the caller. */
export class AnswerStream {
  readonly #socket: Http1Socket;
  readonly #handler: Http1Handler;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #cancelled = false;
  #onDrain: (() => void) | undefined;

  constructor(socket: Http1Socket, handler: Http1Handler, body: ReadableStream<Uint8Array>) {
    this.#socket = socket;
    this.#handler = handler;
    this.#reader = body.getReader();
  }

  /** Resolves to whether it was written to its end: not where it was cancelled, or broke off and the connection with it. */
  async write(answer: Http1Answer): Promise<boolean> {
    try {
      let flowing = writeAnswer(this.#socket, answer, false, false);
      for (;;) {
        if (!flowing && !this.#cancelled) await this.#drained();
        if (this.#cancelled) return false;
        const { done, value } = await this.#reader.read();
        if (this.#cancelled) return false;
        if (done) return true;
        flowing = this.#socket.write(value);
      }
    } catch (error) {
      if (!this.#cancelled) {
        this.#handler.failed(error);
        this.#socket.destroy();
      }
      return false;
    }
  }

  /** The caller has read what was written. */
  onDrain(): void {
    this.#onDrain?.();
  }

  /** Nobody reads it any more. */
  cancel(): void {
    this.#cancelled = true;
    void this.#reader.cancel().catch(() => undefined);
    this.#onDrain?.();
  }

  #drained(): Promise<void> {
    this.#handler.answerWaits(0);
    return new Promise((resolve) => {
      this.#onDrain = () => {
        this.#onDrain = undefined;
        this.#handler.answerFlows();
        resolve();
      };
    });
  }
}
