/**
 * The guard between the revocation transports and the lease cache (core-protocol.md, "Revocations"): any number of
 * transports feed it; it puts events in order, drops duplicates, sees gaps, and says what must not be used.
 *
 * Two rules carry the safety. A `revoke` is applied the moment it is known, gap or no gap: refusing early is always
 * safe. What gives something back (`restore`, going on in the log) waits until nothing before it is missing.
 */
import type { LeaseControl, LeaseGate, RevocationScope } from "../cache/lease-cache.ts";
import { AuthorityBlocks } from "./authority-blocks.ts";
import { Blocks } from "./blocks.ts";
import { BurstLog } from "./burst-log.ts";
import { Confirmations } from "./confirmations.ts";
import type { DropReason } from "./dropped-event.ts";
import { EventEffects } from "./event-effects.ts";
import { EventOrder } from "./event-order.ts";
import { GapFiller } from "./gap-filler.ts";
import { LogPosition } from "./log-position.ts";
import {
  DEFAULT_LIMITS,
  type RevocationGuard,
  type RevocationGuardOptions,
  type RevocationLimits,
} from "./revocation-guard.ts";
import type { RevocationStatus } from "./revocation-status.ts";
import type { Delivery, RevocationSink } from "./revocation-transport.ts";
import { SignedIntake } from "./signed-intake.ts";
import { SilenceWatch } from "./silence-watch.ts";
import { TransportState } from "./transport-state.ts";

export function createRevocationGuard(options: RevocationGuardOptions): RevocationGuard {
  return new Guard(options);
}

class Guard implements RevocationGuard {
  readonly #options: RevocationGuardOptions;
  readonly #limits: RevocationLimits;
  readonly #bursts: BurstLog;
  readonly #transports: TransportState[] = [];
  readonly #position: LogPosition;
  readonly #blocks: Blocks;
  readonly #authorities: AuthorityBlocks;
  readonly #effects: EventEffects;
  readonly #order: EventOrder;
  readonly #gaps: GapFiller;
  readonly #signed: SignedIntake;
  readonly #silence: SilenceWatch;
  readonly #confirmations: Confirmations | undefined;
  #closed = false;

  constructor(options: RevocationGuardOptions) {
    const { clock, log, core, verifier, maxSilenceMs } = options;
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#bursts = new BurstLog(log, clock);
    const random = options.random ?? Math.random;
    const position = new LogPosition(this.#limits.maxOutOfOrder, () => this.#confirmations?.moved());
    this.#position = position;
    if (options.confirm !== undefined) {
      const place = () => (position.log === undefined ? undefined : { log: position.log, seq: position.appliedSeq });
      const debug = options.log.debug?.bind(options.log) ?? (() => {});
      this.#confirmations = new Confirmations({ clock, confirm: options.confirm, place, log: { debug }, random });
    }
    this.#blocks = new Blocks({
      maxScopes: this.#limits.maxScopes,
      onForget: (seq) => position.raiseMinLeaseSeq(seq),
    });
    this.#authorities = new AuthorityBlocks({
      clock,
      core,
      random,
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
      onEvent: (transport, event) => this.#order.take(transport, event, true),
      onGivenUp: (reason, transport) => this.#order.skipMissing(reason, transport),
    });
    const drop = (transport: TransportState, reason: DropReason, detail: string): Delivery =>
      this.#order.drop(transport, reason, detail);
    this.#signed = new SignedIntake({ clock, verifier, position, drop });
    this.#silence = new SilenceWatch({
      clock,
      maxSilenceMs,
      onSilence: (silentMs, isNew) => this.#fellSilent(silentMs, isNew),
    });
    this.#order = new EventOrder({
      clock,
      log,
      bursts: this.#bursts,
      transports: this.#transports,
      position,
      blocks: this.#blocks,
      effects: this.#effects,
      silence: this.#silence,
      gaps: () => this.#gaps,
      freshMs: this.#limits.freshMs,
      onBegan: options.onBegan,
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
        if (!this.#closed) this.#order.take(transport, event, true);
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
    this.#confirmations?.close();
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
    if (position.log === undefined) this.#order.startAt(log, revocationSeq);
    else if (log !== position.log) {
      if (position.isFormer(log) && this.#options.core !== undefined) {
        // A late answer, or the Core has gone back to that log: it says which.
        this.#gaps.probe();
        return false;
      }
      this.#order.startHistory(log, revocationSeq, "a lease came from another event log");
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
      newestSeq,
      blocked: this.#blocks.size,
      leaseDrops: this.#effects.leaseDrops,
      silentMs: this.#silence.silentMs,
      silent: this.#transports.length > 0 && this.#silence.isSilent,
      authorities: this.#authorities.status(),
      transports: this.#transports.map((transport) => transport.status(nowMs)),
    };
  }

  async #takeSigned(transport: TransportState, jws: string, always: boolean): Promise<Delivery> {
    const taken = await this.#signed.take(transport, jws, always);
    if (!("type" in taken)) return taken;
    if (this.#closed) return { state: "waiting" };
    return this.#order.take(transport, taken, false);
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
