/** One call to the Core: sent, waited for so long, and its answer put together. */
import type { Clock } from "../../../base/time/clock.ts";
import { Deadline, type DeadlineCause, type DeadlineOptions } from "../../../base/time/deadline.ts";
import { CoreCallError } from "./core-call-error.ts";
import type { CoreSocket } from "./core-socket.ts";
import type { QueuedExchange } from "./core-sockets.ts";
import { CoreStream } from "./core-stream.ts";
import type { AnswerHead } from "./http-answer.ts";

export interface CoreRequest {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Of the answer's body. */
  readonly maxBytes: number;
  readonly signal?: AbortSignal | undefined;
  /** An answer of status 200 is a stream, on a connection of its own, which ends with it. */
  readonly stream?: boolean;
}

export interface CoreAnswer extends AnswerHead {
  /** Empty where there is a fault or a stream. */
  readonly body: Buffer;
  /** Why the body did not come, or not all of it. */
  readonly fault?: CoreCallError;
  readonly stream?: CoreStream;
}

/** Who makes calls: what all of them have in common. */
export interface CoreCaller {
  /** The Core, in a sentence. */
  readonly core: string;
  readonly clock: Clock;
  /** To the head of the answer; and again to the body's end. */
  readonly timeoutMs: number;
  readonly explain: (error: NodeJS.ErrnoException) => CoreCallError;
  /** The kept connection had been closed meanwhile: not this call's fault, so it is to begin once more. */
  readonly onStale: (call: CoreCall) => void;
  /** Nothing is waited for any more. */
  readonly onOver: (call: CoreCall) => void;
}

export interface CoreCallOptions {
  readonly request: CoreRequest;
  /** Of the request, as it is sent. */
  readonly head: string;
  readonly resolve: (answer: CoreAnswer) => void;
  readonly reject: (error: CoreCallError) => void;
}

export const CLOSED = "the connection to the Core is closed";
export const GIVEN_UP = "the call to the Core was given up";

const NOTHING = Buffer.alloc(0);

export class CoreCall implements QueuedExchange, DeadlineOptions {
  readonly #caller: CoreCaller;
  readonly #options: CoreCallOptions;
  readonly #deadline: Deadline;
  #socket: CoreSocket | undefined;
  #wasStale = false;
  #answer: AnswerHead | undefined;
  #body: Buffer = NOTHING;
  /** The parts of a body of several. */
  #parts: Buffer[] | undefined;
  #length = 0;
  #stream: CoreStream | undefined;

  constructor(caller: CoreCaller, options: CoreCallOptions) {
    this.#caller = caller;
    this.#options = options;
    this.#deadline = new Deadline(this);
  }

  get head(): string {
    return this.#options.head;
  }

  get body(): string | Uint8Array | undefined {
    return this.#options.request.body;
  }

  get clock(): Clock {
    return this.#caller.clock;
  }

  get timeoutMs(): number {
    return this.#caller.timeoutMs;
  }

  get signal(): AbortSignal | undefined {
    return this.#options.request.signal;
  }

  get isOver(): boolean {
    return this.#deadline.settled;
  }

  /** The connection to the Core is closed. */
  close(): void {
    if (this.#settle()) this.#giveUp(CLOSED);
  }

  onBegin(socket: CoreSocket): void {
    this.#socket = socket;
  }

  onHead(head: AnswerHead): void {
    this.#answer = head;
    if (this.#options.request.stream !== true || head.status !== 200) return;
    const { status, headers } = head;
    this.#stream = new CoreStream(this.#socket!);
    this.#settle();
    this.#options.resolve({ status, headers, body: NOTHING, stream: this.#stream });
  }

  onBodyAwaited(): void {
    this.#deadline.extend();
  }

  onBytes(bytes: Buffer): void {
    if (this.#stream !== undefined) {
      this.#stream.onBytes(bytes);
      return;
    }
    this.#length += bytes.length;
    if (this.#length > this.#options.request.maxBytes) {
      if (this.#settle()) this.#giveUp(`the answer of ${this.#caller.core} is too large`);
    } else if (this.#length === bytes.length) {
      this.#body = bytes;
    } else {
      this.#parts ??= [this.#body];
      this.#parts.push(bytes);
    }
  }

  onEnd(): void {
    if (this.#stream !== undefined) this.#stream.onEnd();
    if (!this.#settle()) return;
    const { status, headers } = this.#answer!;
    const body = this.#parts === undefined ? this.#body : Buffer.concat(this.#parts, this.#length);
    this.#options.resolve({ status, headers, body });
  }

  onFault(error: NodeJS.ErrnoException): void {
    if (this.#stream !== undefined) this.#stream.onFault(error);
    if (this.isOver) return;
    const { core, explain, onStale } = this.#caller;
    if (this.#answer !== undefined) {
      this.#settle();
      this.#giveUp(`${core} broke off its answer`, error);
      return;
    }
    const isStale = this.#socket!.isReused && (error.code === "ECONNRESET" || error.code === "EPIPE");
    if (isStale && !this.#wasStale) {
      this.#wasStale = true;
      this.#deadline.extend();
      onStale(this);
    } else {
      this.#settle();
      this.#options.reject(explain(error));
    }
  }

  /** Of its deadline: the time is over, or the signal has aborted. */
  onOver(cause: DeadlineCause): void {
    const { core, timeoutMs, onOver } = this.#caller;
    onOver(this);
    if (cause === "aborted") this.#giveUp(GIVEN_UP);
    else if (this.#answer === undefined) this.#giveUp(`${core} did not answer within ${timeoutMs} ms`);
    else this.#giveUp(`${core} was too slow to finish its answer`);
  }

  /** True for the first word about it. */
  #settle(): boolean {
    if (!this.#deadline.settle()) return false;
    this.#caller.onOver(this);
    return true;
  }

  #giveUp(reason: string, cause?: unknown): void {
    this.#socket?.destroy();
    const fault = new CoreCallError(reason, cause === undefined ? {} : { cause });
    if (this.#answer === undefined) {
      this.#options.reject(fault);
    } else {
      const { status, headers } = this.#answer;
      this.#options.resolve({ status, headers, body: NOTHING, fault });
    }
  }
}
