/**
 * Sheds load early: what would wait too long is answered at once, with 503 or 429 and `Retry-After`, so that what is let
 * in stays quick. One gate for each listener.
 */
import { type Problem, problem, responseOf, writeProblem } from "../problem.ts";

export interface GateLimits {
  readonly requestsMax: number;
  readonly requestsPerCallerMax: number;
  readonly bodyBytesMax: number;
  /** Of all bodies in flight together. */
  readonly bodiesBytesMax: number;
}

/** What one caller has in flight. */
export interface CallerLoad {
  requests: number;
}

/** A request that is turned away. */
export interface GateRefusal {
  readonly details: Problem;
  readonly retryAfterMs?: number;
}

const RETRY_AFTER_MS = 1_000;
/** Bodies up to this are not counted: the bound on requests bounds them too. */
const SMALL_BODY_BYTES = 16_384;

export class RequestGate {
  readonly #limits: GateLimits;
  #requests = 0;
  #bodiesBytes = 0;

  constructor(limits: GateLimits) {
    this.#limits = limits;
  }

  /** What a body counts for, in bytes: one without a length as the largest. */
  weightOf(contentLength: number | undefined, hasBody: boolean): number {
    return hasBody ? (contentLength ?? this.#limits.bodyBytesMax) : 0;
  }

  /** Undefined: let in. Then `leave` is called once with the same two, when its answer has been made. */
  enter(caller: CallerLoad, weight: number): GateRefusal | undefined {
    const limits = this.#limits;
    if (this.#requests >= limits.requestsMax) return overloaded("This edge has too many requests in flight");
    if (caller.requests >= limits.requestsPerCallerMax) {
      const sentence = "This principal has too many requests in flight. Ask again a little later.";
      return { details: problem(429, "rate_limited", sentence), retryAfterMs: RETRY_AFTER_MS };
    }
    if (!(weight <= limits.bodyBytesMax)) return TOO_LARGE;
    if (weight > SMALL_BODY_BYTES) {
      if (this.#bodiesBytes + weight > limits.bodiesBytesMax) {
        return overloaded("This edge is reading too many large requests");
      }
      this.#bodiesBytes += weight;
    }
    this.#requests++;
    caller.requests++;
    return undefined;
  }

  leave(caller: CallerLoad, weight: number): void {
    this.#requests--;
    caller.requests--;
    if (weight > SMALL_BODY_BYTES) this.#bodiesBytes -= weight;
  }

  get requests(): number {
    return this.#requests;
  }
}

export const TOO_LARGE: GateRefusal = {
  details: problem(413, "too_large", "The request's body is too long. Split the batch, or raise limits.max_body."),
};

export function overloaded(what: string): GateRefusal {
  const details = problem(503, "overloaded", `${what}. Ask again after the time in Retry-After.`);
  return { details, retryAfterMs: RETRY_AFTER_MS };
}

export function answerRefusal({ details, retryAfterMs }: GateRefusal): Response {
  return responseOf(writeProblem(details, retryAfterMs));
}
