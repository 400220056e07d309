/** One call to the key source, and what can come of it. */
import { CodedError } from "../../base/errors.ts";
import type { Clock } from "../../base/time/clock.ts";
import type { Deadline, DeadlineCause, DeadlineOptions } from "../../base/time/deadline.ts";
import type { LeaseGrant, LeaseRequest } from "../key-source/key-source.ts";

/** An answer that keeps the contract, with the moment of asking: its lease counts from there. */
export interface Answer {
  readonly grant: LeaseGrant;
  /** Lease time. */
  readonly askedMs: number;
  readonly askedWallMs: number;
}

/** The source was not called at all. */
export class SourceNotCalled extends CodedError<"circuit_open" | "busy" | "misses_exhausted" | "closed"> {
  override readonly name = "SourceNotCalled";
  override readonly retryAfterMs: number;

  constructor(code: SourceNotCalled["code"], message: string, retryAfterMs: number) {
    super(code, message);
    this.retryAfterMs = Math.max(1, Math.ceil(retryAfterMs));
  }
}

/** One call, waiting to begin or in flight. */
export interface SourceCall {
  /** Rejects with `KeySourceError` or `SourceNotCalled`. Whoever takes the grant wipes its keys. */
  readonly answer: Promise<Answer>;
  /** Whether the source has been called. */
  readonly begun: boolean;
}

/** Who makes calls: what the deadlines of all have in common. */
export interface CallMaker {
  readonly clock: Pick<Clock, "schedule">;
  readonly timeoutMs: number;
  onOver(call: QueuedCall, cause: DeadlineCause): void;
}

/** It is its own deadline's options, and keeps what its answer is judged by: a renewal makes no closures of it. */
export class QueuedCall implements SourceCall, DeadlineOptions {
  readonly answer: Promise<Answer>;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
  readonly request: LeaseRequest;
  readonly clock: Pick<Clock, "schedule">;
  readonly timeoutMs: number;
  readonly #maker: CallMaker;
  /** When somebody began to wait for it. */
  queuedMs: number;
  demanded: boolean;
  begun = false;

  // What it has from its beginning on:
  /** Tells the source that nobody waits any more. */
  abort!: AbortController;
  deadline!: Deadline;
  /** The circuit's. */
  period = 0;
  /** Whether it took of the budget for misses. */
  charged = false;
  /** Lease time. */
  askedMs = 0;
  askedWallMs = 0;

  constructor(maker: CallMaker, request: LeaseRequest, demanded: boolean, queuedMs: number) {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    this.answer = promise;
    this.resolve = resolve;
    this.reject = reject;
    this.request = request;
    this.clock = maker.clock;
    this.timeoutMs = maker.timeoutMs;
    this.#maker = maker;
    this.demanded = demanded;
    this.queuedMs = queuedMs;
  }

  onOver(cause: DeadlineCause): void {
    this.#maker.onOver(this, cause);
  }
}

export function closed(): SourceNotCalled {
  return new SourceNotCalled("closed", "This edge is stopping.", 1_000);
}
