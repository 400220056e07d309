/** The port between the reader of a connection (connection.ts) and whoever answers its requests: what may be asked, when, in which order. */
import type { Http1Head } from "./head.ts";
import type { RefusalStatus } from "./refusal.ts";
import type { Http1Answer } from "./write.ts";

export interface Http1Request {
  /** The same object for each request of a connection whose head is the same, byte for byte. */
  readonly head: Http1Head;
  /** Whole; its reader's to change, and good until the answer is made. */
  readonly body: Buffer;
}

export interface Http1Handler {
  readonly maxHeaderBytes: number;
  /** The longest body whose length nobody said; of the others `admit` says so. */
  readonly maxBodyBytes: number;
  /**
   * Before the body is read: an answer turns the request away. While a promise is pending nothing more is read than a head's worth. Must
   * not throw or reject.
   */
  admit(head: Http1Head): Http1Answer | undefined | Promise<Http1Answer | undefined>;
  /** Answers a request. Must not throw or reject. */
  answer(request: Http1Request): Http1Answer | Promise<Http1Answer>;
  /** The answer to a request that cannot be understood or is too large. */
  refuse(status: RefusalStatus, reason: string): Http1Answer;
  /** A head has come whose body has not: for whoever bounds the time that takes. */
  bodyAwaited(): void;
  /** So much has come of a body that comes in parts, perhaps all: an answer turns it away. `bytes` are the reader's. */
  bodyGrew(bytes: Buffer): Http1Answer | undefined;
  /** That body is there: its time is over, that of the answer begins. */
  bodyTaken(): void;
  /** An answer of this length waits for a caller who does not read it. */
  answerWaits(bytes: number): void;
  /** The answer has no end of its own. */
  answerStreams(): void;
  /** A caller who did not read reads again: of answers without an end. */
  answerFlows(): void;
  /** The answer has been handed to the system whole, or its caller has gone. */
  answered(): void;
  /** An admitted request will not be answered: its caller has gone, or broke the protocol in its body. */
  abandoned(): void;
  /** This side has ended the connection. */
  ended(): void;
  /** A defect; the connection is cut. */
  failed(error: unknown): void;
}
