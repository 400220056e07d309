/**
 * Tells the Core how far this process has applied the events (core-protocol.md, "Confirmations"): soon after, the newest place
 * alone, one call at a time. Nothing waits for it: where it fails, the Core waits for the end of the leases.
 */
import { messageOf } from "../../base/errors.ts";
import type { LogPort } from "../../base/log-port.ts";
import { type Backoff, backoffMs } from "../../base/time/backoff.ts";
import type { Clock, Timer } from "../../base/time/clock.ts";

/** Everything of the log up to `seq` is applied here: what it revokes is refused, and its keys are wiped. */
export interface AppliedPlace {
  readonly log: string;
  readonly seq: number;
}

/** @throws an error; with `status` 404 where the Core is of a version that knows no confirmations */
export type ConfirmApplied = (place: AppliedPlace, signal: AbortSignal) => Promise<void>;

export interface ConfirmationsOptions {
  readonly clock: Clock;
  readonly confirm: ConfirmApplied;
  readonly place: () => AppliedPlace | undefined;
  readonly log: Pick<LogPort, "debug">;
  /** From 0 (included) to 1: spreads a fleet that has applied an event at one moment. */
  readonly random: () => number;
}

/** Between two calls: what a burst brings is confirmed together. */
const COALESCE_MS = 20;
const SPREAD_MS = 30;
/** After a failure, a new place is told no sooner. */
const FAILED_MS = 1_000;
const BACKOFF: Backoff = { firstMs: 1_000, maxMs: 30_000 };
/** A Core that does not know the call may be replaced by one that does. */
const UNKNOWN_MS = 600_000;

export class Confirmations {
  readonly #options: ConfirmationsOptions;
  readonly #closing = new AbortController();
  #confirmed: AppliedPlace | undefined;
  #timer: Timer | undefined;
  /** When the timer fires; infinite while there is none. */
  #dueMs = Number.POSITIVE_INFINITY;
  #inFlight = false;
  #failures = 0;
  /** Nothing is told before. */
  #quietUntilMs = Number.NEGATIVE_INFINITY;

  constructor(options: ConfirmationsOptions) {
    this.#options = options;
  }

  /** The place may have changed. Cheap, and never throws. */
  moved(): void {
    if (!this.#inFlight && this.#isNews()) this.#schedule(COALESCE_MS + this.#options.random() * SPREAD_MS);
  }

  close(): void {
    this.#closing.abort();
    this.#timer?.cancel();
  }

  #isNews(): boolean {
    const place = this.#options.place();
    return place !== undefined && (place.seq !== this.#confirmed?.seq || place.log !== this.#confirmed.log);
  }

  #schedule(delayMs: number): void {
    if (this.#closing.signal.aborted) return;
    const { clock } = this.#options;
    const dueMs = Math.max(clock.monotonicMs() + delayMs, this.#quietUntilMs);
    if (this.#dueMs <= dueMs) return;
    this.#timer?.cancel();
    this.#dueMs = dueMs;
    this.#timer = clock.schedule(dueMs - clock.monotonicMs(), () => {
      this.#dueMs = Number.POSITIVE_INFINITY;
      void this.#send();
    });
  }

  async #send(): Promise<void> {
    const { clock, confirm, log, random } = this.#options;
    // There was one when this was scheduled, and an edge does not lose its place.
    const place = this.#options.place()!;
    this.#inFlight = true;
    let retryMs: number | undefined;
    try {
      await confirm(place, this.#closing.signal);
      this.#confirmed = place;
      this.#failures = 0;
    } catch (error) {
      const { status, retryAfterMs = FAILED_MS } = error as { status?: number; retryAfterMs?: number };
      const quietMs = status === 404 ? UNKNOWN_MS : Math.max(FAILED_MS, retryAfterMs);
      this.#quietUntilMs = clock.monotonicMs() + quietMs;
      retryMs = quietMs + backoffMs(BACKOFF, this.#failures++, random);
      log.debug({ ...place, reason: messageOf(error) }, "the Core could not be told which events are applied");
    }
    this.#inFlight = false;
    if (retryMs !== undefined) this.#schedule(retryMs);
    else this.moved();
  }
}
