/** Missing events: asked for at the Core, after a moment in which another transport may bring them. */
import { messageOf } from "../../base/errors.ts";
import type { Clock, Timer } from "../../base/time/clock.ts";
import { catchUp } from "./catch-up.ts";
import type { CoreEvents } from "./core-events.ts";
import { isCounted } from "./event-format.ts";
import type { LogPosition } from "./log-position.ts";
import type { RevocationEvent } from "./revocation-transport.ts";
import { TransportState } from "./transport-state.ts";

export interface GapLimits {
  /** How long another transport may still bring a missing event before the Core is asked. */
  readonly gapGraceMs: number;
  /** How long the Core may take to bring the next of the missing events before every lease is dropped. */
  readonly fillTimeoutMs: number;
  /** How long a lease may know of newer events than the transports before the Core is asked. */
  readonly leaseHintGraceMs: number;
  /** The least time between two questions to the Core that no gap demands. */
  readonly probeIntervalMs: number;
}

export interface GapFillerOptions {
  readonly clock: Clock;
  /** Undefined: whatever is missing is given up. */
  readonly core: CoreEvents | undefined;
  readonly position: LogPosition;
  readonly limits: GapLimits;
  /** An event that the Core sent to fill the gap. */
  readonly onEvent: (transport: TransportState, event: RevocationEvent) => void;
  /** The missing events can't be had. */
  readonly onGivenUp: (reason: string, transport: TransportState) => void;
}

export class GapFiller {
  readonly #options: GapFillerOptions;
  readonly #closing = new AbortController();
  #filling = false;
  #timer: Timer | undefined;
  /** What the timer waits for is no gap that was seen, but what a lease vouches for. */
  #isHintPending = false;
  #lastProbeMs = Number.NEGATIVE_INFINITY;

  constructor(options: GapFillerOptions) {
    this.#options = options;
  }

  /** Whether a gap is being dealt with already. */
  get isAtWork(): boolean {
    return this.#filling || (this.#timer !== undefined && !this.#isHintPending);
  }

  fillSoon(): void {
    this.#schedule(this.#options.limits.gapGraceMs, false);
  }

  /** A lease vouches for newer events than the transports have brought. */
  hint(): void {
    if (this.#options.core === undefined || this.#filling || this.#timer !== undefined) return;
    this.#schedule(this.#options.limits.leaseHintGraceMs, true);
  }

  /** Asks the Core which log it is in, when something hints that it has changed; seldom. */
  probe(): void {
    const { core, clock, limits } = this.#options;
    if (core === undefined || this.#filling || clock.monotonicMs() - this.#lastProbeMs < limits.probeIntervalMs) return;
    this.#lastProbeMs = clock.monotonicMs();
    void this.#fill(true);
  }

  close(): void {
    this.#closing.abort();
    this.#timer?.cancel();
  }

  #schedule(delayMs: number, isHint: boolean): void {
    if (this.#closing.signal.aborted) return;
    this.#isHintPending = isHint;
    this.#timer?.cancel();
    this.#timer = this.#options.clock.schedule(delayMs, () => {
      this.#timer = undefined;
      void this.#fill(false);
    });
  }

  /** Asks the Core for what is missing. With `probing` also when nothing is: the Core's answer says which log it is in. */
  async #fill(probing: boolean): Promise<void> {
    const { position, onGivenUp } = this.#options;
    if (this.#filling || this.#closing.signal.aborted) return;
    if (!probing && position.appliedSeq >= Math.max(position.newestSeq, position.hintedSeq)) return;
    this.#filling = true;
    const transport = new TransportState("core (missing events)");
    const eventLog = position.log;
    const { failure, coreSeq } = await this.#ask(transport, probing);
    this.#filling = false;
    if (this.#closing.signal.aborted || position.log !== eventLog) return;
    if (position.appliedSeq < position.newestSeq) {
      if (failure !== undefined) onGivenUp(failure, transport);
      else if (coreSeq >= position.newestSeq) onGivenUp("the Core does not have them", transport);
      // A newer event came in between.
      else this.fillSoon();
    }
    // What a lease vouched for has come, or could not be had: the next lease that vouches for it makes the Core be asked again.
    position.hintedSeq = 0;
  }

  /** Why it failed, if it did, and the newest event that the Core told of. */
  async #ask(transport: TransportState, probing: boolean): Promise<{ failure: string | undefined; coreSeq: number }> {
    const { core, position, clock, limits, onEvent } = this.#options;
    let coreSeq = Number.NEGATIVE_INFINITY;
    if (core === undefined) return { failure: "there is no Core to ask", coreSeq };
    transport.highWaterSeq = position.appliedSeq;
    try {
      await catchUp({
        core,
        lastEventId: position.lastEventId,
        deliver: (event) => onEvent(transport, event),
        isLast(event) {
          if (event.type === "heartbeat") coreSeq = event.seq;
          if (probing) return !isCounted(event);
          return (
            position.appliedSeq >= Math.max(position.newestSeq, position.hintedSeq) || coreSeq >= position.newestSeq
          );
        },
        clock,
        timeoutMs: limits.fillTimeoutMs,
        signal: this.#closing.signal,
      });
      return { failure: undefined, coreSeq };
    } catch (error) {
      return { failure: messageOf(error), coreSeq };
    }
  }
}
