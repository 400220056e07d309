/**
 * The guard between the revocation transports and the lease cache (core-protocol.md, "Revocations"): any number of
 * transports feed it; it puts events in order, drops duplicates, sees gaps, and says what must not be used.
 *
 * Two rules carry the safety. A `revoke` is applied the moment it is known, gap or no gap: refusing early is always
 * safe. What gives something back (`restore`, going on in the log) waits until nothing before it is missing.
 */
import { messageOf } from "../../base/errors.ts";
import type { LeaseControl, LeaseGate, RevocationScope } from "../cache/lease-cache.ts";
import { AuthorityBlocks } from "./authority-blocks.ts";
import { Blocks } from "./blocks.ts";
import { BurstLog } from "./burst-log.ts";
import type { DropReason } from "./dropped-event.ts";
import { EventEffects } from "./event-effects.ts";
import { type CountedEvent, isCounted } from "./event-format.ts";
import { GapFiller } from "./gap-filler.ts";
import { LogPosition } from "./log-position.ts";
import {
  DEFAULT_LIMITS,
  type RevocationGuard,
  type RevocationGuardOptions,
  type RevocationLimits,
} from "./revocation-guard.ts";
import type { RevocationStatus } from "./revocation-status.ts";
import type { Delivery, HeartbeatEvent, RevocationEvent, RevocationSink } from "./revocation-transport.ts";
import { SignedIntake } from "./signed-intake.ts";
import { SilenceWatch } from "./silence-watch.ts";
import { TransportState } from "./transport-state.ts";

export function createRevocationGuard(options: RevocationGuardOptions): RevocationGuard {
  return new Guard(options);
}

const APPLIED: Delivery = { state: "applied" };
const WAITING: Delivery = { state: "waiting" };

class Guard implements RevocationGuard {
  readonly #options: RevocationGuardOptions;
  readonly #limits: RevocationLimits;
  readonly #bursts: BurstLog;
  readonly #transports: TransportState[] = [];
  readonly #position: LogPosition;
  readonly #blocks: Blocks;
  readonly #authorities: AuthorityBlocks;
  readonly #effects: EventEffects;
  readonly #gaps: GapFiller;
  readonly #signed: SignedIntake;
  readonly #silence: SilenceWatch;
  #closed = false;

  constructor(options: RevocationGuardOptions) {
    const { clock, log, core, verifier, maxSilenceMs } = options;
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#bursts = new BurstLog(log, clock);
    const position = new LogPosition(this.#limits.maxOutOfOrder);
    this.#position = position;
    this.#blocks = new Blocks({
      maxScopes: this.#limits.maxScopes,
      onForget: (seq) => position.raiseMinLeaseSeq(seq),
    });
    this.#authorities = new AuthorityBlocks({
      clock,
      core,
      random: options.random ?? Math.random,
      max: this.#limits.maxScopes,
      isFormerLog: (former) => position.isFormer(former),
    });
    const { onApplied, onAuthority } = options;
    this.#effects = new EventEffects({
      log,
      position,
      blocks: this.#blocks,
      authorities: this.#authorities,
      onApplied,
      onAuthority,
    });
    this.#gaps = new GapFiller({
      clock,
      core,
      position,
      limits: this.#limits,
      onEvent: (transport, event) => this.#take(transport, event, true),
      onGivenUp: (reason, transport) => this.#skipMissing(reason, transport),
      onFilled: (transport) => this.#closeUp(transport),
    });
    const drop = (transport: TransportState, reason: DropReason, detail: string): Delivery =>
      this.#drop(transport, reason, detail);
    this.#signed = new SignedIntake({ clock, verifier, position, drop });
    this.#silence = new SilenceWatch({
      clock,
      maxSilenceMs,
      onSilence: (silentMs, isNew) => this.#fellSilent(silentMs, isNew),
    });
  }

  // The port of transports

  attach(control: LeaseControl): void {
    this.#effects.control = control;
  }

  sink(name: string): RevocationSink {
    const { log } = this.#options;
    const transport = new TransportState(name);
    this.#transports.push(transport);
    return {
      deliver: (event) => {
        if (!this.#closed) this.#take(transport, event, true);
      },
      deliverSigned: async (jws) => {
        if (!this.#closed) await this.#takeSigned(transport, jws, false);
      },
      confirmSigned: (jws) => this.#takeSigned(transport, jws, true),
      applyAuthority: (order) => this.#effects.order(order, name),
      connected: () => {
        if (!transport.connected) log.info({ transport: name }, "a revocation transport is connected");
        transport.connected = true;
        transport.reason = undefined;
        transport.highWaterSeq = transport.resumedAtSeq;
      },
      disconnected: (reason) => {
        if (transport.connected) transport.disconnections++;
        transport.connected = false;
        transport.reason = reason;
        this.#bursts.warn(`${name} disconnected`, { transport: name, reason }, "a revocation transport is down");
      },
      resumeAfter: () => {
        transport.resumedAtSeq = this.#position.appliedSeq;
        return this.#position.lastEventId;
      },
    };
  }

  start(): void {
    if (this.#transports.length > 0) this.#silence.start();
    else if (this.#options.onSilence === "fail_closed") {
      throw new Error("revocation.on_silence is fail_closed, so revocation.transports must name at least one");
    }
  }

  close(): void {
    this.#closed = true;
    this.#gaps.close();
    this.#authorities.close();
    this.#silence.close();
  }

  // The port of the lease cache

  isBlocked(tenant: string, service: string, version?: number): boolean {
    return this.#blocks.isBlocked(tenant, service, version) || this.#authorities.isBlocked(tenant, service, version);
  }

  isOpen(): boolean {
    return this.#options.onSilence === "renew_early" || !this.#silence.isSilent;
  }

  admits({ tenant, service, log, revocationSeq }: Parameters<LeaseGate["admits"]>[0]): boolean {
    const position = this.#position;
    // Of a source that knows no revocations: refused where a block may have been forgotten, since nothing else tells.
    if (log === undefined) return !this.#blocks.overflowed && !this.#blocks.mayBeBlocked(tenant, service);
    if (position.log === undefined) this.#startAt(log, revocationSeq);
    else if (log !== position.log) {
      if (position.isFormer(log) && this.#options.core !== undefined) {
        // A late answer, or the Core has gone back to that log: it says which.
        this.#gaps.probe();
        return false;
      }
      this.#startHistory(log, revocationSeq, "a lease came from another event log");
    }
    if (revocationSeq < position.minLeaseSeq || revocationSeq < this.#blocks.barrier(tenant, service)) return false;
    if (revocationSeq > Math.max(position.newestSeq, position.hintedSeq)) {
      position.hintedSeq = revocationSeq;
      this.#gaps.hint();
    }
    return true;
  }

  blocked(): readonly RevocationScope[] {
    return [...this.#blocks.scopes(), ...this.#authorities.scopes()];
  }

  status(): RevocationStatus {
    const { log, appliedSeq, newestSeq } = this.#position;
    const nowMs = this.#options.clock.monotonicMs();
    return {
      log,
      seq: appliedSeq,
      newestSeq: Math.max(newestSeq, appliedSeq),
      blocked: this.#blocks.size,
      leaseDrops: this.#effects.leaseDrops,
      silentMs: this.#silence.silentMs,
      silent: this.#transports.length > 0 && this.#silence.isSilent,
      authorities: this.#authorities.status(),
      transports: this.#transports.map((transport) => transport.status(nowMs)),
    };
  }

  // Events

  async #takeSigned(transport: TransportState, jws: string, always: boolean): Promise<Delivery> {
    const taken = await this.#signed.take(transport, jws, always);
    if (!("type" in taken)) return taken;
    if (this.#closed) return WAITING;
    return this.#take(transport, taken, false);
  }

  /** A defect here must not leave a key in use: everything goes. */
  #take(transport: TransportState, event: RevocationEvent, direct: boolean): Delivery {
    try {
      return this.#handle(transport, event, direct);
    } catch (error) {
      this.#options.log.error(
        { transport: transport.name, error: messageOf(error) },
        "a revocation event could not be applied",
      );
      try {
        this.#effects.dropEveryLease("a revocation event could not be applied");
      } catch {
        // The cache itself is broken; its deadlines are left.
      }
      return { state: "dropped", reason: "malformed", detail: "it could not be applied" };
    }
  }

  /** `direct`: straight from the Core, in its order; else signed, by any transport. */
  #handle(transport: TransportState, event: RevocationEvent, direct: boolean): Delivery {
    const { log } = this.#position;
    const isKnownLog = event.log === log;
    const startSeq = isCounted(event) ? event.seq - 1 : event.seq;
    if (log === undefined) {
      // An old signed event is no position to start at: it may come from a log that was left long ago.
      if (!direct && !this.#isFresh(event)) {
        return this.#drop(transport, "no_place", "it is old, and the edge has no position in the log yet");
      }
      this.#startAt(event.log, startSeq);
    } else if (!isKnownLog) {
      if (!direct) {
        this.#gaps.probe();
        return this.#drop(transport, "other_log", "it is of another event log");
      }
      this.#startHistory(event.log, startSeq, "the event log has changed");
    }
    if (!direct && event.type === "reset") {
      return this.#drop(transport, "not_an_event", "no third party sends it");
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
    const log = this.#position.log!;
    if (seq < this.#position.appliedSeq) {
      this.#startHistory(log, seq, "the event log has gone back");
      return;
    }
    this.#blocks.makeStale(Number.POSITIVE_INFINITY);
    this.#effects.dropEveryLease("the position in the event log is out of the Core's retention");
    this.#startAt(log, seq);
  }

  #applyHeartbeat(transport: TransportState, event: HeartbeatEvent, direct: boolean): void {
    const position = this.#position;
    if (direct && event.seq < transport.highWaterSeq) {
      this.#startHistory(event.log, event.seq, "the event log has gone back");
    }
    if (direct) transport.highWaterSeq = event.seq;
    if (event.seq > position.newestSeq) position.newestSeq = event.seq;
    if (event.seq > position.appliedSeq) this.#reportGap(transport);
    // Once may be a heartbeat that was overtaken; twice, the Core may have gone back.
    if (event.seq >= position.appliedSeq) transport.heartbeatsBehind = 0;
    else if ((direct || this.#isFresh(event)) && ++transport.heartbeatsBehind >= 2) this.#gaps.probe();
  }

  #applyCounted(transport: TransportState, event: CountedEvent, direct: boolean): Delivery {
    const { seq } = event;
    const position = this.#position;
    if (direct && seq > transport.highWaterSeq) transport.highWaterSeq = seq;
    if (position.isKnown(seq)) {
      transport.duplicates++;
      return seq > position.appliedSeq && event.type === "restore" ? WAITING : APPLIED;
    }
    transport.events++;
    if (seq > position.newestSeq) position.newestSeq = seq;
    // Refusing early is always safe; what gives something back waits for its turn.
    const waits = event.type === "restore";
    if (!waits) this.#effects.apply(event, transport.name);
    if (seq !== position.appliedSeq + 1) {
      position.addOutOfOrder(seq, waits ? event : undefined);
      this.#reportGap(transport);
      return waits ? WAITING : APPLIED;
    }
    position.appliedSeq = seq;
    if (waits) this.#effects.apply(event, transport.name);
    this.#closeUp(transport);
    return APPLIED;
  }

  #closeUp(transport: TransportState): void {
    this.#position.closeUp((event) => this.#effects.apply(event, transport.name));
  }

  #drop(transport: TransportState, reason: DropReason, detail: string): Delivery {
    transport.drops[reason] = (transport.drops[reason] ?? 0) + 1;
    const { name } = transport;
    this.#bursts.warn(`${name} ${reason}`, { transport: name, reason, detail }, "a revocation event was dropped");
    return { state: "dropped", reason, detail };
  }

  // Position and gaps

  #startAt(log: string, seq: number): void {
    this.#position.startAt(log, seq);
    this.#options.log.info({ log, seq }, "the edge has its position in the event log");
  }

  /** core-protocol.md: a log that changes, or a number that goes back, is another history. */
  #startHistory(log: string, seq: number, reason: string): void {
    this.#blocks.rebase();
    for (const transport of this.#transports) transport.highWaterSeq = 0;
    this.#effects.dropEveryLease(reason);
    this.#startAt(log, seq);
  }

  /** An event is missing: another transport may be about to bring it, so a moment is left. */
  #reportGap(transport: TransportState): void {
    if (this.#gaps.isAtWork) return;
    transport.gaps++;
    const { name, lagMs } = transport;
    const { appliedSeq: after, newestSeq: newest } = this.#position;
    this.#bursts.warn(
      `${name} gap`,
      { transport: name, after, newest, lagMs },
      "revocation events are missing: the Core is asked for them",
    );
    this.#gaps.fillSoon();
  }

  #skipMissing(reason: string, transport: TransportState): void {
    const { appliedSeq, newestSeq } = this.#position;
    this.#effects.dropEveryLease(`events ${appliedSeq + 1} to ${newestSeq} are missing: ${reason}`);
    const { lastMissingSeq, restores } = this.#position.skipMissing();
    // A `restore` among the missing ones may have lifted a block: the Core's next answer decides.
    this.#blocks.makeStale(lastMissingSeq);
    for (const event of restores) this.#effects.apply(event, transport.name);
  }

  // Silence

  #isFresh(event: RevocationEvent): boolean {
    return Math.abs(this.#options.clock.wallMs() - Date.parse(event.at)) <= this.#limits.freshMs;
  }

  #markHeard(transport: TransportState, event: RevocationEvent, direct: boolean): void {
    const { clock, log } = this.#options;
    const { appliedSeq, newestSeq } = this.#position;
    const isNew = !isCounted(event) || event.seq > appliedSeq;
    if (isNew && event.seq >= newestSeq) transport.lagMs = Math.max(0, clock.wallMs() - Date.parse(event.at));
    // What a third party repeats or held back for long proves nothing about now.
    if (!direct && !(isNew && this.#isFresh(event))) return;
    transport.lastHeardMs = clock.monotonicMs();
    if (this.#silence.heard()) log.info({ transport: transport.name }, "a revocation transport is heard again");
  }

  #fellSilent(silentMs: number, isNew: boolean): void {
    const { log, onSilence } = this.#options;
    if (isNew) {
      log.warn(
        { silentMs: Math.round(silentMs), onSilence },
        "no revocation transport is heard: a revocation may come late",
      );
    }
    if (onSilence === "renew_early") this.#effects.control.renewAll();
  }
}
