/** One call to the key source, and what can come of it. */
import { CodedError } from "../../base/errors.ts";
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

export class QueuedCall implements SourceCall {
  readonly answer: Promise<Answer>;
  readonly request: LeaseRequest;
  /** When somebody began to wait for it. */
  queuedMs: number;
  begun = false;
  demanded: boolean;
  resolve!: (answer: Answer) => void;
  reject!: (error: unknown) => void;

  constructor(request: LeaseRequest, demanded: boolean, queuedMs: number) {
    this.request = request;
    this.demanded = demanded;
    this.queuedMs = queuedMs;
    this.answer = new Promise<Answer>((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }
}

export function closed(): SourceNotCalled {
  return new SourceNotCalled("closed", "This edge is stopping.", 1_000);
}
