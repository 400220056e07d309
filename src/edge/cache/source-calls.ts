/**
 * Calls to the key source: bounded in number and time, those that somebody waits for first, with a circuit that leaves a
 * failing source alone. What keeps a fleet from flattening a returning Core down (design.md, "Leases").
 *
 * Every wait runs on the injected clock and random numbers, so that the simulation can replay it.
 */
import { type Backoff, longestBackoffMs } from "../../base/time/backoff.ts";
import { CircuitBreaker, type CircuitState } from "../../base/time/circuit-breaker.ts";
import type { Timer } from "../../base/time/clock.ts";
import { Deadline, type DeadlineCause } from "../../base/time/deadline.ts";
import { TokenBucket } from "../../base/time/token-bucket.ts";
import { checkGrant, wipeGrant } from "../key-source/grant.ts";
import { type KeySource, KeySourceError, type LeaseGrant, type LeaseRequest } from "../key-source/key-source.ts";
import { CallWindow } from "./call-window.ts";
import type { LeaseClock } from "./lease-clock.ts";
import { type CallMaker, closed, QueuedCall, type SourceCall, SourceNotCalled } from "./source-call.ts";

export interface SourceCallLimits {
  /** A call that has not answered after this is aborted, and has failed. */
  readonly callTimeoutMs: number;
  /** Calls in flight, at most. The bound in force moves between 1 and this. */
  readonly maxInFlight: number;
  /** Calls that somebody waits for and that have not begun, at most. */
  readonly maxWaiting: number;
  /** How long one of them may wait to begin. */
  readonly maxWaitMs: number;
  /** Failures in a row that open the circuit. */
  readonly failuresToOpen: number;
  /** An open circuit's wait is random within this, so that service is back soon after the source; */
  readonly open: Backoff;
  /** or, after a long outage, up to a fortieth of its length, when a whole fleet has lost its leases; at most this. */
  readonly openLongestMs: number;
  /** `Retry-After` is kept to, up to this. */
  readonly retryAfterMaxMs: number;
  /** Calls that end without a lease (no such key, a failure), a second and at once: what made-up names can do to the source. */
  readonly missBudget: { readonly perSecond: number; readonly burst: number };
}

export const DEFAULT_CALL_LIMITS: SourceCallLimits = {
  callTimeoutMs: 5_000,
  maxInFlight: 32,
  maxWaiting: 10_000,
  maxWaitMs: 5_000,
  failuresToOpen: 5,
  open: { firstMs: 200, maxMs: 1_500 },
  openLongestMs: 15_000,
  retryAfterMaxMs: 300_000,
  missBudget: { perSecond: 20, burst: 64 },
};

export interface SourceCallsOptions {
  readonly source: KeySource;
  readonly time: LeaseClock;
  readonly schedule: (delayMs: number, callback: () => void) => Timer;
  readonly random: () => number;
  readonly limits: SourceCallLimits;
  readonly onCircuit: (state: CircuitState, reason: string, retryAfterMs: number) => void;
}

export class SourceCalls implements CallMaker {
  readonly #options: SourceCallsOptions;
  readonly #limits: SourceCallLimits;
  readonly #time: LeaseClock;
  readonly clock: { schedule(delayMs: number, callback: () => void): Timer; monotonicMs(): number };
  readonly timeoutMs: number;
  readonly #circuit: CircuitBreaker;
  readonly #window: CallWindow;
  readonly #misses: TokenBucket;
  readonly #demanded: QueuedCall[] = [];
  readonly #background: QueuedCall[] = [];
  /** In the order of their beginning. */
  readonly #callsInFlight = new Set<QueuedCall>();
  #isClosed = false;
  #waitTimer: Timer | undefined;
  /** Calls in flight that began in the circuit's period. */
  #inPeriod = 0;

  /** Calls made, and how many of them failed (an authoritative refusal is no failure). */
  calls = 0;
  failures = 0;

  constructor(options: SourceCallsOptions) {
    const { time, schedule, limits, random, onCircuit } = options;
    this.#options = options;
    this.#limits = limits;
    this.#time = time;
    this.timeoutMs = limits.callTimeoutMs;
    this.clock = { schedule, monotonicMs: () => time.nowMs };
    this.#window = new CallWindow(limits.maxInFlight);
    this.#misses = new TokenBucket(limits.missBudget, this.clock);
    this.#circuit = new CircuitBreaker({
      failuresToOpen: limits.failuresToOpen,
      openForMs(openings, outageMs) {
        const { open, openLongestMs } = limits;
        const maxMs = Math.max(open.maxMs, Math.min(openLongestMs, outageMs / 40));
        return random() * longestBackoffMs({ ...open, maxMs }, openings);
      },
      onChange: (state, reason, openForMs) => {
        this.#inPeriod = 0;
        onCircuit(state, reason, openForMs);
      },
    });
  }

  get state(): CircuitState {
    return this.#circuit.state;
  }

  get inFlight(): number {
    return this.#callsInFlight.size;
  }

  /** Calls that have not begun. */
  get waiting(): number {
    return this.#demanded.length + this.#background.length;
  }

  /** How many calls may be in flight now. */
  get bound(): number {
    return this.#window.bound;
  }

  /** Asks the source when its turn comes: `demanded` calls go first, in order. The promise never rejects unheard. */
  ask(request: LeaseRequest, demanded: boolean): SourceCall {
    const nowMs = this.#time.read();
    const call = new QueuedCall(this, request, demanded, nowMs);
    call.answer.catch(() => {});
    if (this.#isClosed) {
      call.reject(closed());
    } else if (this.isOpen(nowMs)) {
      call.reject(this.circuitOpen(nowMs));
    } else if (demanded && this.#demanded.length >= this.#limits.maxWaiting) {
      call.reject(new SourceNotCalled("busy", "Too many requests wait for the key source.", 1_000));
    } else {
      (demanded ? this.#demanded : this.#background).push(call);
      this.#begin();
    }
    return call;
  }

  /** Whether no call is made now; `circuitOpen` says why. */
  isOpen(nowMs: number): boolean {
    return this.#circuit.isOpen(nowMs);
  }

  circuitOpen(nowMs: number): SourceNotCalled {
    const message = "The key source failed and is left alone for a moment.";
    return new SourceNotCalled("circuit_open", message, this.#circuit.remainingMs(nowMs));
  }

  /** Somebody waits for this call now. */
  demand(call: SourceCall): void {
    const queued = call as QueuedCall;
    if (queued.demanded) return;
    queued.demanded = true;
    const index = this.#background.indexOf(queued);
    // It has begun, or was refused.
    if (index < 0) return;
    this.#background.splice(index, 1);
    queued.queuedMs = this.#time.read();
    this.#demanded.push(queued);
    this.#begin();
  }

  /** Aborts what is in flight and refuses what waits. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#refuseWaiting(closed());
    for (const call of this.#callsInFlight) if (call.deadline.settle()) this.onOver(call, "aborted");
  }

  #begin(): void {
    const nowMs = this.#time.nowMs;
    this.#circuit.tryAgain(nowMs);
    for (;;) {
      // Calls of an earlier period may still hang: they must not keep the one that tries from being made.
      const trying = this.#circuit.state === "half_open";
      const inFlight = trying ? this.#inPeriod : this.inFlight;
      const bound = trying ? 1 : this.#window.bound;
      if (this.#circuit.state === "open" || inFlight >= bound) break;
      // Background renewals leave half of the room to those who wait.
      const mayRenew = inFlight < Math.max(1, bound >> 1);
      const call = this.#demanded.shift() ?? (mayRenew ? this.#background.shift() : undefined);
      if (call === undefined) break;
      if (call.demanded && this.#misses.take(1) > 0) {
        const message = "Too many requests were for keys that are not there. Ask again later.";
        const waitMs = 1_000 / this.#limits.missBudget.perSecond;
        call.reject(new SourceNotCalled("misses_exhausted", message, waitMs));
      } else {
        this.#make(call);
      }
    }
    this.#watchWaiting();
  }

  #make(call: QueuedCall): void {
    call.begun = true;
    call.charged = call.demanded;
    call.period = this.#circuit.period;
    this.calls++;
    this.#callsInFlight.add(call);
    this.#inPeriod++;
    call.askedMs = this.#time.read();
    call.askedWallMs = this.#time.wallMs;
    call.abort = new AbortController();
    call.deadline = new Deadline(call);

    let promise: Promise<LeaseGrant>;
    try {
      promise = this.#options.source.lease(call.request, call.abort.signal);
    } catch (error) {
      promise = Promise.reject(error);
    }
    promise.then(
      (grant) => this.#granted(call, grant),
      (error) => this.#refused(call, error),
    );
  }

  #granted(call: QueuedCall, grant: LeaseGrant): void {
    const { request, deadline, charged, period, askedMs, askedWallMs } = call;
    try {
      if (!deadline.settled) checkGrant(request, grant);
    } catch (error) {
      wipeGrant(grant);
      this.#refused(call, error);
      return;
    }
    if (!deadline.settle()) {
      wipeGrant(grant);
      return;
    }
    this.#ended(call);
    if (charged) this.#misses.giveBack(1);
    this.#succeeded(period);
    call.resolve({ grant, askedMs, askedWallMs });
    this.#begin();
  }

  #refused(call: QueuedCall, error: unknown): void {
    if (call.deadline.settle()) this.#fail(call, error);
  }

  /** Of a call's deadline: no answer in time, or none that anybody waits for. */
  onOver(call: QueuedCall, cause: DeadlineCause): void {
    const late = `The key source gave no answer within ${this.timeoutMs} ms.`;
    const error = cause === "aborted" ? closed() : new KeySourceError("unavailable", late);
    this.#fail(call, error);
    call.abort.abort(error);
  }

  #fail(call: QueuedCall, error: unknown): void {
    this.#ended(call);
    if (error instanceof SourceNotCalled) {
      call.reject(error);
    } else {
      const refusal = error instanceof KeySourceError ? error : unexpected(error);
      if (refusal.authoritative) this.#succeeded(call.period);
      else this.#failed(call.period, call.askedMs, refusal);
      call.reject(refusal);
    }
    this.#begin();
  }

  /** It is in flight no more. */
  #ended(call: QueuedCall): void {
    this.#callsInFlight.delete(call);
    if (call.period === this.#circuit.period) this.#inPeriod--;
    this.#time.read();
  }

  /** The source has spoken. */
  #succeeded(period: number): void {
    if (period !== this.#circuit.period) return;
    if (this.#circuit.succeeded(period)) this.#window.restart();
    this.#window.grow();
  }

  #failed(period: number, askedMs: number, error: KeySourceError): void {
    this.failures++;
    if (period !== this.#circuit.period || this.#isClosed) return;
    const nowMs = this.#time.nowMs;
    this.#window.shrink(askedMs, nowMs);
    const wishMs = error.retryAfterMs;
    if (wishMs !== undefined && wishMs > 0) {
      // Up to twice the wish: those whom the source sent away together must not come back together.
      const waitMs = Math.min(wishMs, this.#limits.retryAfterMaxMs) * (1 + this.#options.random());
      this.#circuit.open(nowMs, error.message, waitMs);
    } else {
      this.#circuit.failed(period, nowMs, error.message);
    }
    if (this.#circuit.state === "open") this.#refuseWaiting(this.circuitOpen(nowMs));
  }

  #refuseWaiting(error: SourceNotCalled): void {
    for (const call of [...this.#demanded.splice(0), ...this.#background.splice(0)]) call.reject(error);
    this.#watchWaiting();
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
    this.#waitTimer = this.clock.schedule(Math.max(0, first.queuedMs + maxWaitMs - this.#time.nowMs), () => {
      this.#waitTimer = undefined;
      const nowMs = this.#time.read();
      while (this.#demanded.length > 0 && this.#demanded[0]!.queuedMs + maxWaitMs <= nowMs) {
        this.#demanded
          .shift()!
          .reject(new SourceNotCalled("busy", "The key source is too slow for its callers.", 1_000));
      }
      this.#watchWaiting();
    });
  }
}

function unexpected(error: unknown): KeySourceError {
  return new KeySourceError("unavailable", "The key source failed in a way that it should not.", { cause: error });
}
