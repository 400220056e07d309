/**
 * Puts events in order, whoever brings them: drops duplicates, sees gaps and other histories, and has each event applied when its
 * turn has come. The two rules of safety are kept here (guard.ts).
 */
import { messageOf } from "../../base/errors.ts";
import type { LogPort } from "../../base/log-port.ts";
import type { Clock } from "../../base/time/clock.ts";
import type { Blocks } from "./blocks.ts";
import type { BurstLog } from "./burst-log.ts";
import type { DropReason } from "./dropped-event.ts";
import type { EventEffects } from "./event-effects.ts";
import { type CountedEvent, isCounted } from "./event-format.ts";
import type { GapFiller } from "./gap-filler.ts";
import type { LogPosition } from "./log-position.ts";
import type { Delivery, HeartbeatEvent, RevocationEvent } from "./revocation-transport.ts";
import type { SilenceWatch } from "./silence-watch.ts";
import type { TransportState } from "./transport-state.ts";

export interface EventOrderOptions {
  readonly clock: Clock;
  readonly log: Pick<LogPort, "info" | "error">;
  readonly bursts: BurstLog;
  readonly transports: readonly TransportState[];
  readonly position: LogPosition;
  readonly blocks: Blocks;
  readonly effects: EventEffects;
  readonly silence: SilenceWatch;
  /** It brings events itself, so the two know each other. */
  readonly gaps: () => GapFiller;
  readonly onBegan: (() => void) | undefined;
  /** A signed event older than this tells nothing about a transport being alive. */
  readonly freshMs: number;
}

const APPLIED: Delivery = { state: "applied" };
const WAITING: Delivery = { state: "waiting" };

export class EventOrder {
  readonly #options: EventOrderOptions;

  constructor(options: EventOrderOptions) {
    this.#options = options;
  }

  /** A defect here must not leave a key in use: everything goes. */
  take(transport: TransportState, event: RevocationEvent, direct: boolean): Delivery {
    try {
      return this.#handle(transport, event, direct);
    } catch (error) {
      this.#options.log.error(
        { transport: transport.name, error: messageOf(error) },
        "a revocation event could not be applied",
      );
      try {
        this.#options.effects.dropEveryLease("a revocation event could not be applied");
      } catch {
        // The cache itself is broken; its deadlines are left.
      }
      return { state: "dropped", reason: "malformed", detail: "it could not be applied" };
    }
  }

  /** `direct`: straight from the Core, in its order; else signed, by any transport. */
  #handle(transport: TransportState, event: RevocationEvent, direct: boolean): Delivery {
    const { log } = this.#options.position;
    const isKnownLog = event.log === log;
    const startSeq = isCounted(event) ? event.seq - 1 : event.seq;
    if (log === undefined) {
      // An old signed event is no position to start at: it may come from a log that was left long ago.
      if (!direct && !this.#isFresh(event)) {
        return this.drop(transport, "no_place", "it is old, and the edge has no position in the log yet");
      }
      this.startAt(event.log, startSeq);
    } else if (!isKnownLog) {
      if (!direct) {
        this.#options.gaps().probe();
        return this.drop(transport, "other_log", "it is of another event log");
      }
      this.startHistory(event.log, startSeq, "the event log has changed");
    }
    if (!direct && event.type === "reset") {
      return this.drop(transport, "not_an_event", "no third party sends it");
    }
    this.#markHeard(transport, event, direct);
    if (event.type === "reset") this.#applyReset(transport, event.seq, isKnownLog);
    else if (event.type === "heartbeat") this.#applyHeartbeat(transport, event, direct);
    else return this.#applyCounted(transport, event, direct);
    return APPLIED;
  }

  #applyReset(transport: TransportState, seq: number, isKnownLog: boolean): void {
    transport.highWaterSeq = seq;
    // In a new log the position has just been taken.
    if (!isKnownLog) return;
    const log = this.#options.position.log!;
    if (seq < this.#options.position.appliedSeq) {
      this.startHistory(log, seq, "the event log has gone back");
      return;
    }
    this.#options.blocks.makeStale(Number.POSITIVE_INFINITY);
    this.#options.effects.dropEveryLease("the position in the event log is out of the Core's retention");
    // A block that was forgotten is held by this bound alone, also against a Core that is behind.
    const { minLeaseSeq } = this.#options.position;
    this.startAt(log, seq);
    this.#options.position.raiseMinLeaseSeq(minLeaseSeq);
  }

  #applyHeartbeat(transport: TransportState, event: HeartbeatEvent, direct: boolean): void {
    const position = this.#options.position;
    if (direct && event.seq < transport.highWaterSeq) {
      this.startHistory(event.log, event.seq, "the event log has gone back");
    }
    if (direct) transport.highWaterSeq = event.seq;
    position.newestSeq = Math.max(position.newestSeq, event.seq);
    if (event.seq > position.appliedSeq) this.#reportGap(transport);
    // Once may be a heartbeat that was overtaken; twice, the Core may have gone back.
    if (event.seq >= position.appliedSeq) transport.heartbeatsBehind = 0;
    else if ((direct || this.#isFresh(event)) && ++transport.heartbeatsBehind >= 2) this.#options.gaps().probe();
  }

  #applyCounted(transport: TransportState, event: CountedEvent, direct: boolean): Delivery {
    const { seq } = event;
    const position = this.#options.position;
    if (direct) transport.highWaterSeq = Math.max(transport.highWaterSeq, seq);
    if (position.isKnown(seq)) {
      transport.duplicates++;
      return seq > position.appliedSeq && event.type === "restore" ? WAITING : APPLIED;
    }
    transport.events++;
    position.newestSeq = Math.max(position.newestSeq, seq);
    // Refusing early is always safe; what gives something back waits for its turn.
    const waits = event.type === "restore";
    if (!waits) this.#options.effects.apply(event, transport.name);
    if (seq !== position.appliedSeq + 1) {
      position.addOutOfOrder(seq, waits ? event : undefined);
      this.#reportGap(transport);
      return waits ? WAITING : APPLIED;
    }
    position.appliedSeq = seq;
    if (waits) this.#options.effects.apply(event, transport.name);
    position.closeUp((restore) => this.#options.effects.apply(restore, transport.name));
    return APPLIED;
  }

  drop(transport: TransportState, reason: DropReason, detail: string): Delivery {
    transport.drops[reason] = (transport.drops[reason] ?? 0) + 1;
    const { name } = transport;
    this.#options.bursts.warn(
      `${name} ${reason}`,
      { transport: name, reason, detail },
      "a revocation event was dropped",
    );
    return { state: "dropped", reason, detail };
  }

  // Position and gaps

  startAt(log: string, seq: number): void {
    const { position, onBegan } = this.#options;
    const isFirst = position.log === undefined;
    position.startAt(log, seq);
    this.#options.log.info({ log, seq }, "the edge has its position in the event log");
    if (isFirst) onBegan?.();
  }

  /** core-protocol.md: a log that changes, or a number that goes back, is another history. */
  startHistory(log: string, seq: number, reason: string): void {
    this.#options.blocks.rebase();
    for (const transport of this.#options.transports) transport.highWaterSeq = 0;
    this.#options.effects.dropEveryLease(reason);
    this.startAt(log, seq);
  }

  /** An event is missing: another transport may be about to bring it, so a moment is left. */
  #reportGap(transport: TransportState): void {
    if (this.#options.gaps().isAtWork) return;
    transport.gaps++;
    const { name, lagMs } = transport;
    const { appliedSeq: after, newestSeq: newest } = this.#options.position;
    this.#options.bursts.warn(
      `${name} gap`,
      { transport: name, after, newest, lagMs },
      "revocation events are missing: the Core is asked for them",
    );
    this.#options.gaps().fillSoon();
  }

  skipMissing(reason: string, transport: TransportState): void {
    const { appliedSeq, newestSeq } = this.#options.position;
    this.#options.effects.dropEveryLease(`events ${appliedSeq + 1} to ${newestSeq} are missing: ${reason}`);
    const { lastMissingSeq, restores } = this.#options.position.skipMissing();
    // A `restore` among the missing ones may have lifted a block: the Core's next answer decides.
    this.#options.blocks.makeStale(lastMissingSeq);
    for (const event of restores) this.#options.effects.apply(event, transport.name);
  }

  #isFresh(event: RevocationEvent): boolean {
    return Math.abs(this.#options.clock.wallMs() - Date.parse(event.at)) <= this.#options.freshMs;
  }

  #markHeard(transport: TransportState, event: RevocationEvent, direct: boolean): void {
    const { clock, log } = this.#options;
    const { appliedSeq, newestSeq } = this.#options.position;
    const isNew = !isCounted(event) || event.seq > appliedSeq;
    if (isNew && event.seq >= newestSeq) transport.lagMs = Math.max(0, clock.wallMs() - Date.parse(event.at));
    // What a third party repeats or held back for long proves nothing about now.
    if (!direct && !(isNew && this.#isFresh(event))) return;
    transport.lastHeardMs = clock.monotonicMs();
    if (this.#options.silence.heard()) log.info({ transport: transport.name }, "a revocation transport is heard again");
  }
}
