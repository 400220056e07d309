/** `closed`: calls are made; `open`: none is; `half_open`: one is, to try. */
export type CircuitState = "closed" | "open" | "half_open";

export interface CircuitBreakerOptions {
  /** Failures in a row that open a closed circuit. */
  readonly failuresToOpen: number;
  /**
   * How long it stays open.
   *
   * @param openings How often it has opened before, since it was closed last.
   * @param outageMs How long ago it opened for the first time of those; 0 the first time.
   */
  readonly openForMs: (openings: number, outageMs: number) => number;
  readonly onChange: (state: CircuitState, reason: string, openForMs: number) => void;
}

/**
 * A circuit breaker without a clock of its own: every call says what time it is, so leases can run it on lease time.
 *
 * Each state is a *period*. A call remembers the period that it began in, and its outcome counts in no other: an answer to a
 * call from before an outage neither ends the outage nor starts a new one.
 */
export class CircuitBreaker {
  readonly #options: CircuitBreakerOptions;
  #state: CircuitState = "closed";
  #period = 0;
  #failuresInRow = 0;
  #openings = 0;
  #outageSinceMs = 0;
  #openUntilMs = 0;

  constructor(options: CircuitBreakerOptions) {
    this.#options = options;
  }

  get state(): CircuitState {
    return this.#state;
  }

  get period(): number {
    return this.#period;
  }

  /** Whether no call may be made now. False once an open circuit's time is over: `tryAgain` then makes it half-open. */
  isOpen(nowMs: number): boolean {
    return this.#state === "open" && nowMs < this.#openUntilMs;
  }

  /** Until the next try; 0 or less where one may be made now. */
  remainingMs(nowMs: number): number {
    return this.#openUntilMs - nowMs;
  }

  /** Makes an open circuit half-open once its time is over. True if this call did. */
  tryAgain(nowMs: number): boolean {
    if (this.#state !== "open" || nowMs < this.#openUntilMs) return false;
    this.#enter("half_open", "one call tries it", 0);
    return true;
  }

  /** A call of `period` was answered. True if that closed the circuit. */
  succeeded(period: number): boolean {
    if (period !== this.#period) return false;
    this.#failuresInRow = 0;
    if (this.#state !== "half_open") return false;
    this.#openings = 0;
    this.#enter("closed", "it answers again", 0);
    return true;
  }

  /**
   * A call of `period` failed: opens the circuit if it was the trial, or one failure too many.
   *
   * @param atLeastMs The other side's own wish, where it opens.
   */
  failed(period: number, nowMs: number, reason: string, atLeastMs = 0): void {
    if (period !== this.#period || this.#state === "open") return;
    this.#failuresInRow++;
    if (this.#state !== "half_open" && this.#failuresInRow < this.#options.failuresToOpen) return;
    if (this.#openings === 0) this.#outageSinceMs = nowMs;
    const openForMs = this.#options.openForMs(this.#openings, nowMs - this.#outageSinceMs);
    this.open(nowMs, reason, Math.max(openForMs, atLeastMs));
  }

  /** Opens it whatever came before: the other side asked for it. */
  open(nowMs: number, reason: string, openForMs: number): void {
    if (this.#openings === 0) this.#outageSinceMs = nowMs;
    this.#openings++;
    this.#openUntilMs = nowMs + openForMs;
    this.#enter("open", reason, openForMs);
  }

  #enter(state: CircuitState, reason: string, openForMs: number): void {
    this.#state = state;
    this.#period++;
    this.#failuresInRow = 0;
    this.#options.onChange(state, reason, openForMs);
  }
}
