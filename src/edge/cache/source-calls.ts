/**
 * The calls to the key source: how many at once, how fast after a failure, and in which order. One failing source must not
 * take the edge down, and 10,000 edges must not take a returning Core down (design.md, "Leases").
 *
 * Written here rather than taken from a library because every wait must run on the injected clock and random numbers, so
 * that the simulation can replay it; the libraries read `Date.now` and `Math.random` themselves (and a breaker on the wall
 * clock stays open for as long as that clock was set back).
 */
import type { Timer } from "../../base/time/clock.ts";
import { checkGrant, wipeGrant } from "../key-source/grant.ts";
import { type KeySource, KeySourceError, type LeaseGrant, type LeaseRequest } from "../key-source/key-source.ts";
import type { LeaseClock } from "./lease-clock.ts";

export interface SourceCallLimits {
  /** A call that has not answered after this is aborted, and has failed. */
  readonly callTimeoutMs: number;
  /** Calls in flight, at most. The bound in force moves between 1 and this: it grows with success, halves with failure. */
  readonly maxInFlight: number;
  /** Calls that somebody waits for and that have not begun, at most. */
  readonly maxWaiting: number;
  /** How long one of them may wait to begin. */
  readonly maxWaitMs: number;
  /** Failures in a row that open the circuit. */
  readonly failuresToOpen: number;
  /** The first wait of an open circuit is random up to this; each further one up to twice as much … */
  readonly openBaseMs: number;
  /** … up to this, so that service is back soon after the source; */
  readonly openMaxMs: number;
  /** or, after a long outage, up to a fortieth of its length, when a whole fleet has lost its leases; at most this. */
  readonly openLongestMs: number;
  /** `Retry-After` is kept to, up to this. */
  readonly retryAfterMaxMs: number;
  /** Calls that bear no fruit (no such key, a failure), a second and at once: what made-up names can do to the source. */
  readonly fruitlessPerSecond: number;
  readonly fruitlessBurst: number;
}

export const DEFAULT_CALL_LIMITS: SourceCallLimits = {
  callTimeoutMs: 5_000,
  maxInFlight: 32,
  maxWaiting: 10_000,
  maxWaitMs: 5_000,
  failuresToOpen: 5,
  openBaseMs: 200,
  openMaxMs: 1_500,
  openLongestMs: 15_000,
  retryAfterMaxMs: 300_000,
  fruitlessPerSecond: 20,
  fruitlessBurst: 64,
};

const INITIAL_IN_FLIGHT = 4;

/** `closed`: calls are made; `open`: none is; `half_open`: one is, to try. */
export type CircuitState = "closed" | "open" | "half_open";

/** A grant that keeps the contract, with the moment of asking: its lease counts from there. */
export interface Answer {
  readonly grant: LeaseGrant;
  /** Lease time. */
  readonly askedMs: number;
  readonly askedWallMs: number;
}

/** The source was not asked at all. */
export class NotAsked extends Error {
  override readonly name = "NotAsked";
  readonly reason: "circuit_open" | "busy" | "fruitless" | "closed";
  readonly retryAfterMs: number;

  constructor(reason: NotAsked["reason"], message: string, retryAfterMs: number) {
    super(message);
    this.reason = reason;
    this.retryAfterMs = Math.max(1, Math.ceil(retryAfterMs));
  }
}

export interface SourceCallsOptions {
  readonly source: KeySource;
  readonly time: LeaseClock;
  readonly schedule: (delayMs: number, callback: () => void) => Timer;
  readonly random: () => number;
  readonly limits: SourceCallLimits;
  readonly onCircuit: (state: CircuitState, reason: string, retryAfterMs: number) => void;
}

/** One call, waiting to begin or in flight. */
export class SourceCall {
  /** Rejects with `KeySourceError` or `NotAsked`. Whoever takes the grant wipes its keys. */
  readonly answer: Promise<Answer>;
  readonly request: LeaseRequest;
  /** Set by `SourceCalls` alone. */
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

export class SourceCalls {
  readonly #source: KeySource;
  readonly #time: LeaseClock;
  readonly #schedule: SourceCallsOptions["schedule"];
  readonly #random: () => number;
  readonly #limits: SourceCallLimits;
  readonly #onCircuit: SourceCallsOptions["onCircuit"];

  readonly #demanded: SourceCall[] = [];
  readonly #background: SourceCall[] = [];
  readonly #aborts = new Set<AbortController>();
  #waitTimer: Timer | undefined;

  #state: CircuitState = "closed";
  /** Grows with each change of state: an answer to a call from before changes nothing any more. */
  #period = 0;
  /** Calls in flight that began in this period. */
  #inPeriod = 0;
  #openUntilMs = 0;
  #openedTimes = 0;
  #outageSinceMs = 0;
  #failuresInRow = 0;
  #closed = false;

  /** The bound in force, and up to where it grows by one per success (then by one per round). */
  #bound: number;
  #threshold: number;
  #halvedMs = Number.NEGATIVE_INFINITY;

  #fruitless: number;
  #fruitlessFilledMs: number;

  /** Calls made, and how many of them failed (an authoritative refusal is no failure). */
  calls = 0;
  failures = 0;
  inFlight = 0;

  constructor(options: SourceCallsOptions) {
    this.#source = options.source;
    this.#time = options.time;
    this.#schedule = options.schedule;
    this.#random = options.random;
    this.#limits = options.limits;
    this.#onCircuit = options.onCircuit;
    this.#bound = Math.min(INITIAL_IN_FLIGHT, options.limits.maxInFlight);
    this.#threshold = options.limits.maxInFlight;
    this.#fruitless = options.limits.fruitlessBurst;
    this.#fruitlessFilledMs = options.time.nowMs;
  }

  get state(): CircuitState {
    return this.#state;
  }

  /** Calls that have not begun. */
  get waiting(): number {
    return this.#demanded.length + this.#background.length;
  }

  /** How many calls may be in flight now. */
  get bound(): number {
    return Math.floor(this.#bound);
  }

  /** Asks the source when its turn comes: `demanded` calls go first, in order. The promise never rejects unheard. */
  ask(request: LeaseRequest, demanded: boolean): SourceCall {
    const nowMs = this.#time.read();
    const call = new SourceCall(request, demanded, nowMs);
    call.answer.catch(() => {});
    if (this.#closed) {
      call.reject(closing());
    } else if (this.isOpen(nowMs)) {
      call.reject(this.circuitOpen(nowMs));
    } else if (demanded && this.#demanded.length >= this.#limits.maxWaiting) {
      call.reject(new NotAsked("busy", "Too many requests wait for the key source.", 1_000));
    } else {
      (demanded ? this.#demanded : this.#background).push(call);
      this.#begin();
    }
    return call;
  }

  /** Whether no call is made now; `circuitOpen` says why. */
  isOpen(nowMs: number): boolean {
    return this.#state === "open" && nowMs < this.#openUntilMs;
  }

  circuitOpen(nowMs: number): NotAsked {
    const message = "The key source failed and is left alone for a moment.";
    return new NotAsked("circuit_open", message, this.#openUntilMs - nowMs);
  }

  /** Somebody waits for this call now. */
  demand(call: SourceCall): void {
    if (call.demanded) return;
    call.demanded = true;
    if (call.begun) return;
    remove(this.#background, call);
    call.queuedMs = this.#time.read();
    this.#demanded.push(call);
    this.#begin();
  }

  /** Aborts what is in flight and refuses what waits. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#refuseWaiting(closing());
    for (const abort of this.#aborts) abort.abort(closing());
  }

  #begin(): void {
    const nowMs = this.#time.nowMs;
    if (this.#state === "open" && nowMs >= this.#openUntilMs) this.#enter("half_open", "trying", 0);
    for (;;) {
      // Calls of an earlier period may still hang: they must not keep the one that tries from being made.
      const trying = this.#state === "half_open";
      const inFlight = trying ? this.#inPeriod : this.inFlight;
      const bound = trying ? 1 : Math.floor(this.#bound);
      if (this.#state === "open" || inFlight >= bound) break;
      // Background renewals leave half of the room to those who wait.
      const mayRenew = inFlight < Math.max(1, bound >> 1);
      const call = this.#demanded.shift() ?? (mayRenew ? this.#background.shift() : undefined);
      if (call === undefined) break;
      if (call.demanded && !this.#mayBeFruitless(nowMs)) {
        call.reject(
          new NotAsked(
            "fruitless",
            "Too many requests were for keys that are not there. Ask again later.",
            1_000 / this.#limits.fruitlessPerSecond,
          ),
        );
      } else {
        this.#make(call);
      }
    }
    this.#watchWaiting();
  }

  #make(call: SourceCall): void {
    const { callTimeoutMs } = this.#limits;
    const period = this.#period;
    const charged = call.demanded;
    if (charged) this.#fruitless--;
    call.begun = true;
    this.calls++;
    this.inFlight++;
    this.#inPeriod++;

    const askedMs = this.#time.read();
    const askedWallMs = this.#time.wallMs;
    const abort = new AbortController();
    this.#aborts.add(abort);
    let settled = false;
    const settle = (finish: () => void): void => {
      settled = true;
      timer.cancel();
      this.#aborts.delete(abort);
      this.inFlight--;
      if (period === this.#period) this.#inPeriod--;
      this.#time.read();
      finish();
      this.#begin();
    };
    const fail = (error: unknown): void => {
      if (settled) return;
      settle(() => {
        if (error instanceof NotAsked) return call.reject(error);
        const refusal = error instanceof KeySourceError ? error : unavailable(error);
        if (refusal.authoritative) this.#succeeded(period);
        else this.#failed(period, askedMs, refusal);
        call.reject(refusal);
      });
    };
    const timer = this.#schedule(callTimeoutMs, () => {
      const late = new KeySourceError("unavailable", `The key source gave no answer within ${callTimeoutMs} ms.`);
      fail(late);
      abort.abort(late);
    });
    abort.signal.addEventListener("abort", () => fail(abort.signal.reason), { once: true });

    let promise: Promise<LeaseGrant>;
    try {
      promise = this.#source.lease(call.request, abort.signal);
    } catch (error) {
      promise = Promise.reject(error);
    }
    promise.then((grant) => {
      if (settled) return wipeGrant(grant);
      try {
        checkGrant(call.request, grant);
      } catch (error) {
        wipeGrant(grant);
        return fail(error);
      }
      settle(() => {
        if (charged) this.#fruitless = Math.min(this.#limits.fruitlessBurst, this.#fruitless + 1);
        this.#succeeded(period);
        call.resolve({ grant, askedMs, askedWallMs });
      });
    }, fail);
  }

  /** The source has spoken. */
  #succeeded(period: number): void {
    if (period !== this.#period) return;
    this.#failuresInRow = 0;
    if (this.#state === "half_open") {
      this.#openedTimes = 0;
      this.#bound = 1;
      this.#threshold = Math.max(2, this.#limits.maxInFlight / 2);
      this.#enter("closed", "the key source answers again", 0);
    }
    const step = this.#bound < this.#threshold ? 1 : 1 / this.#bound;
    this.#bound = Math.min(this.#limits.maxInFlight, this.#bound + step);
  }

  #failed(period: number, askedMs: number, error: KeySourceError): void {
    this.failures++;
    if (period !== this.#period || this.#closed) return;
    const nowMs = this.#time.nowMs;
    this.#failuresInRow++;
    if (askedMs > this.#halvedMs) {
      this.#halvedMs = nowMs;
      this.#bound = Math.max(1, this.#bound / 2);
      this.#threshold = Math.max(2, this.#bound);
    }
    const wishMs = error.retryAfterMs;
    if (wishMs !== undefined && wishMs > 0) {
      // Up to twice the wish: those whom the source sent away together must not come back together.
      const waitMs = Math.min(wishMs, this.#limits.retryAfterMaxMs) * (1 + this.#random());
      this.#open(nowMs, waitMs, error.message);
    } else if (this.#state === "half_open" || this.#failuresInRow >= this.#limits.failuresToOpen) {
      const { openBaseMs, openMaxMs, openLongestMs } = this.#limits;
      if (this.#openedTimes === 0) this.#outageSinceMs = nowMs;
      const longestMs = Math.max(openMaxMs, Math.min(openLongestMs, (nowMs - this.#outageSinceMs) / 40));
      const waitMs = this.#random() * Math.min(longestMs, openBaseMs * 2 ** Math.min(this.#openedTimes, 20));
      this.#open(nowMs, waitMs, error.message);
    }
  }

  #open(nowMs: number, waitMs: number, reason: string): void {
    if (this.#openedTimes === 0) this.#outageSinceMs = nowMs;
    this.#openedTimes++;
    this.#openUntilMs = nowMs + waitMs;
    this.#enter("open", reason, waitMs);
    this.#refuseWaiting(this.circuitOpen(nowMs));
  }

  #enter(state: CircuitState, reason: string, retryAfterMs: number): void {
    this.#state = state;
    this.#period++;
    this.#inPeriod = 0;
    this.#failuresInRow = 0;
    this.#onCircuit(state, reason, retryAfterMs);
  }

  #refuseWaiting(error: NotAsked): void {
    for (const call of [...this.#demanded.splice(0), ...this.#background.splice(0)]) call.reject(error);
    this.#watchWaiting();
  }

  /** Whether one more call that somebody demands may turn out to bear no fruit. */
  #mayBeFruitless(nowMs: number): boolean {
    const { fruitlessPerSecond, fruitlessBurst } = this.#limits;
    const filled = this.#fruitless + ((nowMs - this.#fruitlessFilledMs) / 1_000) * fruitlessPerSecond;
    this.#fruitless = Math.min(fruitlessBurst, filled);
    this.#fruitlessFilledMs = nowMs;
    return this.#fruitless >= 1;
  }

  /** Refuses calls that have waited too long to begin: the queue is in order, so one timer for its first is enough. */
  #watchWaiting(): void {
    const first = this.#demanded[0];
    if (first === undefined) {
      this.#waitTimer?.cancel();
      this.#waitTimer = undefined;
      return;
    }
    if (this.#waitTimer !== undefined) return;
    const { maxWaitMs } = this.#limits;
    this.#waitTimer = this.#schedule(Math.max(0, first.queuedMs + maxWaitMs - this.#time.nowMs), () => {
      this.#waitTimer = undefined;
      const nowMs = this.#time.read();
      while (this.#demanded.length > 0 && this.#demanded[0]!.queuedMs + maxWaitMs <= nowMs) {
        this.#demanded.shift()!.reject(new NotAsked("busy", "The key source is too slow for its callers.", 1_000));
      }
      this.#watchWaiting();
    });
  }
}

function remove(calls: SourceCall[], call: SourceCall): void {
  const index = calls.indexOf(call);
  if (index >= 0) calls.splice(index, 1);
}

function unavailable(error: unknown): KeySourceError {
  return new KeySourceError("unavailable", "The key source failed in a way that it should not.", { cause: error });
}

function closing(): NotAsked {
  return new NotAsked("closed", "This edge is stopping.", 1_000);
}
