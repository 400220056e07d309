/**
 * Sheds load early: what would wait too long is answered at once, with 503 or 429 and `Retry-After`, so that what is let
 * in stays quick. One gate for each listener.
 */
import { OperationError } from "../errors.ts";

export interface GateLimits {
  readonly requestsMax: number;
  readonly requestsPerCallerMax: number;
  readonly bodyBytesMax: number;
  /** Of all bodies in flight together, of answers in the making and those that nobody has read; a caller has a quarter of it. */
  readonly bodiesBytesMax: number;
}

/** What one caller has in flight. */
export interface CallerLoad {
  requests: number;
  bytes: number;
  /** Of what a caller may have, this one's part: 1, or less. */
  readonly part: number;
}

const RETRY_AFTER_MS = 1_000;
/** Bodies up to this are not counted: the bound on requests bounds them too. */
const SMALL_BODY_BYTES = 16_384;
const TOO_MANY_BYTES = "This principal has too many bytes in flight";
const TOO_MANY_BODIES = "This edge is reading too many large requests";

export class RequestGate {
  readonly #limits: GateLimits;
  readonly #callerBytesMax: number;
  #requests = 0;
  #bytes = 0;

  constructor(limits: GateLimits) {
    this.#limits = limits;
    this.#callerBytesMax = Math.max(limits.bodiesBytesMax / 4, limits.bodyBytesMax);
  }

  /** Undefined: let in. `weight`: the body's length, 0 where it is not known yet. Then `leave` is called once with the newest. */
  enter(caller: CallerLoad, weight: number): OperationError | undefined {
    const limits = this.#limits;
    if (this.#requests >= limits.requestsMax) return overloaded("This edge has too many requests in flight");
    if (caller.requests >= Math.max(1, limits.requestsPerCallerMax * caller.part)) {
      return limited("This principal has too many requests in flight");
    }
    if (!(weight <= limits.bodyBytesMax)) return TOO_LARGE;
    // Answers that are not read are there already: no more of them are made.
    if (caller.bytes >= this.#callerBytesMax * caller.part) return limited(TOO_MANY_BYTES);
    if (this.#bytes >= limits.bodiesBytesMax) return overloaded(TOO_MANY_BODIES);
    const refused = this.grow(caller, 0, weight);
    if (refused !== undefined) return refused;
    this.#requests++;
    caller.requests++;
    return undefined;
  }

  /** The weight of one that was let in goes from one number to a larger; not so when it is refused. */
  grow(caller: CallerLoad, from: number, to: number): OperationError | undefined {
    const bytes = counted(to) - counted(from);
    if (bytes <= 0) return undefined;
    if (caller.bytes + bytes > this.#callerBytesMax * caller.part) return limited(TOO_MANY_BYTES);
    if (this.#bytes + bytes > this.#limits.bodiesBytesMax) return overloaded(TOO_MANY_BODIES);
    this.#add(caller, bytes);
    return undefined;
  }

  /** The same for an answer that its caller does not read: it is there, whatever the bounds are. */
  charge(caller: CallerLoad, from: number, to: number): void {
    this.#add(caller, counted(to) - counted(from));
  }

  leave(caller: CallerLoad, weight: number): void {
    this.#requests--;
    caller.requests--;
    this.#add(caller, -counted(weight));
  }

  #add(caller: CallerLoad, bytes: number): void {
    this.#bytes += bytes;
    caller.bytes += bytes;
  }

  get requests(): number {
    return this.#requests;
  }
}

function counted(weight: number): number {
  return weight > SMALL_BODY_BYTES ? weight : 0;
}

function limited(what: string): OperationError {
  return new OperationError("rate_limited", `${what}. Ask again after the time in Retry-After.`, {
    retryAfterMs: RETRY_AFTER_MS,
  });
}

export const TOO_LARGE = new OperationError(
  "too_large",
  "The body is too long for this operation. Split the batch, or raise limits.max_body.",
);

export function overloaded(what: string): OperationError {
  return new OperationError("overloaded", `${what}. Ask again after the time in Retry-After.`, {
    retryAfterMs: RETRY_AFTER_MS,
  });
}
