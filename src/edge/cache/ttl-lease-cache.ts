/**
 * The lease cache (design.md, "Leases"). A hit reads both clocks, follows two maps, and returns. Everything else (asking,
 * renewing, ending) happens beside it: one call to the source per key however many wait, one timer for all leases.
 */
import { timingSafeEqual } from "node:crypto";
import { CryptoEdgeError, messageOf } from "../../base/errors.ts";
import { type Clock, sleep, type Timer } from "../../base/time/clock.ts";
import type { Cipher } from "../cipher/cipher.ts";
import type { KeyMemory } from "../key-memory/key-memory.ts";
import { wipeGrant } from "../key-source/grant.ts";
import { type KeySource, KeySourceError, type LeasedServiceKey, type LeaseGrant } from "../key-source/key-source.ts";
import { DueHeap } from "./due-heap.ts";
import { type Fetch, HeldVersion, Lease, WHOLE_SERVICE } from "./lease.ts";
import type {
  LeaseCache,
  LeaseControl,
  LeasedVersion,
  LeaseGate,
  LeaseStatus,
  RevocationScope,
} from "./lease-cache.ts";
import { LeaseClock } from "./lease-clock.ts";
import { createLeaseCounters, type LeaseCounters, type LeaseEvent } from "./lease-events.ts";
import { Refusals } from "./refusals.ts";
import {
  type Answer,
  type CircuitState,
  DEFAULT_CALL_LIMITS,
  NotAsked,
  type SourceCall,
  type SourceCallLimits,
  SourceCalls,
} from "./source-calls.ts";
import { UsageOrder } from "./usage-order.ts";

export interface TtlLeaseCacheOptions {
  /** Closed by whoever opened it, after the cache. */
  readonly source: KeySource;
  readonly cipher: Cipher;
  readonly keyMemory: Pick<KeyMemory, "store">;
  readonly clock: Clock;
  readonly gate: LeaseGate;
  /** The longest that a lease lasts, whatever the source grants. */
  readonly ttlMs: number;
  /** The latest that a lease is renewed; likewise. */
  readonly refreshAfterMs: number;
  /** Leases held, at most; a version that was asked for alone counts as one. */
  readonly maxLeases: number;
  /** From 0 up to 1; spreads renewals and retries. Nothing secret comes of it. */
  readonly random?: () => number;
  /** What is worth a log line. Must not throw. */
  readonly onEvent?: (event: LeaseEvent) => void;
  readonly calls?: Partial<SourceCallLimits>;
  readonly tuning?: Partial<LeaseTuning>;
}

export interface LeaseTuning {
  /** A renewal happens at random in the last part of the time to it: 0.5 means between 50 % and 100 %. */
  readonly renewalSpread: number;
  /** The first retry of a renewal comes at random within this, each further one within twice as much … */
  readonly retryBaseMs: number;
  /** … up to this. */
  readonly retryMaxMs: number;
  /** A lease that nobody used for this long is not renewed any more: its keys go at its hard deadline. */
  readonly idleAfterMs: number;
  /** How long an authoritative refusal is remembered, and how many are. */
  readonly refusalTtlMs: number;
  readonly maxRefusals: number;
  /** How long at most until the clocks are looked at, while leases are held: it bounds how late a sleep is noticed. */
  readonly tickMs: number;
  /** `renewAll` spreads renewals over this. */
  readonly renewAllSpreadMs: number;
}

const DEFAULT_TUNING: LeaseTuning = {
  renewalSpread: 0.5,
  retryBaseMs: 500,
  retryMaxMs: 30_000,
  idleAfterMs: 3_600_000,
  refusalTtlMs: 5_000,
  maxRefusals: 10_000,
  tickMs: 1_000,
  renewAllSpreadMs: 5_000,
};

/** How many grants may be thrown away for one caller because a revocation or a drop overtook them. */
const STALE_GRANTS_MAX = 6;
const STALE_RETRY_BASE_MS = 20;
/** The order of use is kept to the second: a hit moves its lease at most that often. */
const USE_GRAIN_MS = 1_000;

export interface TtlLeaseCache extends LeaseCache, LeaseControl {
  readonly counters: Readonly<LeaseCounters>;
  summary(): LeaseCacheSummary;

  /**
   * Asks for leases in the background, and again until each is held or refused for good; those are then renewed even
   * while nobody uses them. Resolves with what was refused, or when the cache closes; never rejects.
   */
  prewarm(keys: readonly ServiceName[]): Promise<RefusedPrewarm[]>;
}

export interface ServiceName {
  readonly tenant: string;
  readonly service: string;
}

export interface RefusedPrewarm extends ServiceName {
  readonly error: CryptoEdgeError;
}

/** For metrics, status and readiness. */
export interface LeaseCacheSummary {
  readonly leases: number;
  /** To the first hard deadline; undefined when nothing is held. */
  readonly shortestRemainingMs: number | undefined;
  /** Leases whose last renewal failed. */
  readonly failing: number;
  readonly circuit: CircuitState;
  readonly callsInFlight: number;
  readonly callsWaiting: number;
  /** Calls made to the source, and how many of them failed. */
  readonly calls: number;
  readonly callFailures: number;
  readonly refusalsRemembered: number;
}

export function createTtlLeaseCache(options: TtlLeaseCacheOptions): TtlLeaseCache {
  return new LeaseTable(options);
}

class LeaseTable implements TtlLeaseCache {
  readonly counters: LeaseCounters = createLeaseCounters();
  readonly #options: TtlLeaseCacheOptions;
  readonly #tuning: LeaseTuning;
  readonly #gate: LeaseGate;
  readonly #time: LeaseClock;
  readonly #random: () => number;
  readonly #onEvent: (event: LeaseEvent) => void;
  readonly #calls: SourceCalls;

  readonly #tenants = new Map<string, Map<string, Lease>>();
  readonly #order = new UsageOrder();
  readonly #due = new DueHeap<Lease>();
  readonly #refusals: Refusals;
  #timer: Timer | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  /** Grows with each `dropAll`: an answer to a question from before is thrown away. */
  #epoch = 0;
  #closed = false;
  readonly #closing = new AbortController();

  constructor(options: TtlLeaseCacheOptions) {
    const { clock, source } = options;
    this.#options = options;
    this.#tuning = { ...DEFAULT_TUNING, ...options.tuning };
    this.#gate = options.gate;
    this.#random = options.random ?? Math.random;
    this.#onEvent = options.onEvent ?? (() => {});
    this.#refusals = new Refusals(this.#tuning.maxRefusals);
    this.#time = new LeaseClock(clock, (jumpMs) => this.#jumped(jumpMs));
    this.#calls = new SourceCalls({
      source,
      time: this.#time,
      schedule: (delayMs, callback) => clock.schedule(delayMs, callback),
      random: this.#random,
      limits: { ...DEFAULT_CALL_LIMITS, ...options.calls },
      onCircuit: (state, reason, retryAfterMs) => this.#onEvent({ type: "circuit", state, reason, retryAfterMs }),
    });
  }

  active(tenant: string, service: string): LeasedVersion | Promise<LeasedVersion> {
    const lease = this.#tenants.get(tenant)?.get(service);
    const nowMs = this.#time.read();
    if (lease !== undefined && nowMs < lease.hardMs && this.#time.wallMs < lease.hardWallMs) {
      const held = lease.active;
      if (held !== undefined && this.#gate.isOpen()) {
        this.counters.hits++;
        if (nowMs - lease.usedMs >= USE_GRAIN_MS) this.#use(lease, nowMs);
        return held;
      }
    }
    return this.#activeMissed(tenant, service);
  }

  version(tenant: string, service: string, version: number): LeasedVersion | Promise<LeasedVersion> {
    const lease = this.#tenants.get(tenant)?.get(service);
    const nowMs = this.#time.read();
    if (lease !== undefined && this.#gate.isOpen()) {
      const { wallMs } = this.#time;
      if (nowMs < lease.hardMs && wallMs < lease.hardWallMs) {
        const held = lease.find(version);
        if (held !== undefined) {
          this.counters.hits++;
          if (nowMs - lease.usedMs >= USE_GRAIN_MS) this.#use(lease, nowMs);
          return held;
        }
      }
      const alone = lease.alone?.get(version);
      if (alone !== undefined && nowMs < alone.hardMs && wallMs < alone.hardWallMs) {
        this.counters.hits++;
        if (nowMs - alone.usedMs >= USE_GRAIN_MS) this.#use(alone, nowMs);
        return alone.versions[0]!;
      }
    }
    return this.#versionMissed(tenant, service, version);
  }

  versions(tenant: string, service: string): LeaseStatus["versions"] {
    const lease = this.#tenants.get(tenant)?.get(service);
    return lease === undefined ? [] : lease.versions.map(({ version, state }) => ({ version, state }));
  }

  leases(): LeaseStatus[] {
    const nowMs = this.#time.read();
    const statuses: LeaseStatus[] = [];
    for (const lease of this.#order) {
      statuses.push({
        tenant: lease.tenant,
        service: lease.service,
        versions: lease.versions.map(({ version, state }) => ({ version, state })),
        remainingMs: this.#remainingMs(lease, nowMs),
        source: lease.source,
      });
    }
    return statuses;
  }

  summary(): LeaseCacheSummary {
    const nowMs = this.#time.read();
    let shortestRemainingMs: number | undefined;
    let failing = 0;
    for (const lease of this.#order) {
      const remainingMs = this.#remainingMs(lease, nowMs);
      if (shortestRemainingMs === undefined || remainingMs < shortestRemainingMs) shortestRemainingMs = remainingMs;
      if (lease.failures > 0) failing++;
    }
    return {
      leases: this.#order.size,
      shortestRemainingMs,
      failing,
      circuit: this.#calls.state,
      callsInFlight: this.#calls.inFlight,
      callsWaiting: this.#calls.waiting,
      calls: this.#calls.calls,
      callFailures: this.#calls.failures,
      refusalsRemembered: this.#refusals.size,
    };
  }

  async prewarm(keys: readonly ServiceName[]): Promise<RefusedPrewarm[]> {
    const refused: RefusedPrewarm[] = [];
    const warm = async ({ tenant, service }: ServiceName): Promise<void> => {
      const { retryBaseMs, retryMaxMs } = this.#tuning;
      for (let attempt = 0; !this.#closed; attempt++) {
        const lease = this.#leaseOn(tenant, service);
        lease.prewarmed = true;
        if (lease.held) return;
        try {
          await this.#fetch(lease, false).promise;
          return;
        } catch (error) {
          const failure = asCryptoEdgeError(error);
          if (failure.code !== "lease_unavailable" && failure.code !== "rate_limited") {
            refused.push({ tenant, service, error: failure });
            return;
          }
          const backoffMs = this.#random() * Math.min(retryMaxMs, retryBaseMs * 2 ** Math.min(attempt, 20));
          await sleep(this.#options.clock, (failure.retryAfterMs ?? 0) + backoffMs, this.#closing.signal);
        }
      }
    };
    await Promise.all(keys.map(warm));
    return refused;
  }

  revoke({ tenant, service, version }: RevocationScope): number {
    const services = this.#tenants.get(tenant);
    if (services === undefined) return 0;
    let wiped = 0;
    if (service === undefined) {
      for (const lease of [...services.values()]) wiped += this.#revoke(lease, version);
    } else {
      const lease = services.get(service);
      if (lease !== undefined) wiped = this.#revoke(lease, version);
    }
    this.counters.revokedVersions += wiped;
    return wiped;
  }

  forget(scope: RevocationScope): void {
    this.#refusals.forget(scope);
  }

  dropAll(reason: string): void {
    this.#epoch++;
    const leases = this.#order.size;
    for (const lease of [...this.#order]) this.#end(lease);
    this.#refusals.clear();
    this.counters.dropped += leases;
    if (leases > 0) this.#onEvent({ type: "dropped_all", reason, leases });
  }

  renew(tenant: string, service: string): void {
    const lease = this.#tenants.get(tenant)?.get(service);
    if (lease?.fetch !== undefined) lease.fetch.again = true;
    else if (lease?.held) this.#fetch(lease, false);
  }

  renewAll(): void {
    const nowMs = this.#time.read();
    for (const lease of this.#order) {
      const dueMs = nowMs + this.#random() * this.#tuning.renewAllSpreadMs;
      if (lease.fetch === undefined && dueMs < lease.dueMs) this.#due.set(lease, dueMs);
    }
    this.#arm(nowMs);
  }

  lowestRevocationSeq(log: string): number | undefined {
    let lowest: number | undefined;
    for (const lease of this.#order) {
      if (lease.log === log && (lowest === undefined || lease.revocationSeq < lowest)) lowest = lease.revocationSeq;
    }
    return lowest;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#closing.abort();
    this.#calls.close();
    for (const lease of [...this.#order]) this.#end(lease);
    this.#timer?.cancel();
  }

  // Misses

  #activeMissed(tenant: string, service: string): Promise<LeasedVersion> {
    this.#checkOpen();
    const known = this.#tenants.get(tenant)?.get(service);
    if (known !== undefined) this.#expireIfOver(known);
    this.#checkRefused(tenant, service, WHOLE_SERVICE);
    this.#checkCircuit(known);
    this.counters.misses++;
    const lease = this.#leaseOn(tenant, service);
    return this.#fetch(lease, true).promise.then(() => {
      this.#checkOpen();
      this.#checkBlocked(tenant, service, WHOLE_SERVICE);
      if (this.#isOver(lease)) throw leaseEnded();
      // Granted, but the active version is one that a revocation blocks.
      if (lease.active === undefined) throw revoked();
      return lease.active;
    });
  }

  #versionMissed(tenant: string, service: string, version: number): Promise<LeasedVersion> {
    this.#checkOpen();
    const known = this.#tenants.get(tenant)?.get(service);
    if (known !== undefined) {
      this.#expireIfOver(known);
      const alone = known.alone?.get(version);
      if (alone !== undefined) this.#expireIfOver(alone);
    }
    this.#checkRefused(tenant, service, version);
    this.#checkCircuit(known?.held ? known.alone?.get(version) : known);
    this.counters.misses++;
    return this.#openVersion(tenant, service, version);
  }

  async #openVersion(tenant: string, service: string, version: number): Promise<LeasedVersion> {
    const whole = this.#leaseOn(tenant, service);
    if (!whole.held) {
      try {
        this.#checkRefused(tenant, service, WHOLE_SERVICE);
        await this.#fetch(whole, true).promise;
      } catch (error) {
        // No version may wrap any more; this one may still open.
        if (asCryptoEdgeError(error).code !== "key_revoked") throw error;
      }
      this.#checkOpen();
      this.#checkBlocked(tenant, service, version);
      const held = this.#isOver(whole) ? undefined : whole.find(version);
      if (held !== undefined) return held;
      this.#checkRefused(tenant, service, version);
    }
    const alone = this.#leaseOnVersion(tenant, service, version);
    await this.#fetch(alone, true).promise;
    this.#checkOpen();
    this.#checkBlocked(tenant, service, version);
    const held = this.#isOver(alone) ? undefined : alone.versions[0];
    if (held === undefined) throw leaseEnded();
    return held;
  }

  #checkOpen(): void {
    if (this.#closed) throw new CryptoEdgeError("lease_unavailable", "This edge is stopping.", { retryAfterMs: 1_000 });
    if (this.#gate.isOpen()) return;
    this.counters.refusals++;
    throw new CryptoEdgeError(
      "lease_unavailable",
      "No revocation transport is alive, and this edge is configured to serve nothing meanwhile.",
      { retryAfterMs: 1_000 },
    );
  }

  #checkBlocked(tenant: string, service: string, version: number): void {
    if (!this.#gate.isBlocked(tenant, service, version === WHOLE_SERVICE ? undefined : version)) return;
    this.counters.refusals++;
    throw REVOKED;
  }

  #checkRefused(tenant: string, service: string, version: number): void {
    this.#checkBlocked(tenant, service, version);
    const refusal = this.#refusals.find(tenant, service, version, this.#time.nowMs);
    if (refusal === undefined) return;
    this.counters.refusals++;
    throw refusal;
  }

  /** Refuses at once what would be refused a few promises later: in an outage this is the path of every request. */
  #checkCircuit(lease: Lease | undefined): void {
    const { nowMs } = this.#time;
    if (lease?.fetch !== undefined || !this.#calls.isOpen(nowMs)) return;
    this.counters.refusals++;
    throw unavailable(this.#calls.circuitOpen(nowMs));
  }

  // Asking

  /** Asks the source, or joins the question that is under way. */
  #fetch(lease: Lease, demanded: boolean): Fetch {
    const underWay = lease.fetch as PendingFetch | undefined;
    if (underWay !== undefined) {
      if (demanded && !underWay.demanded) {
        underWay.demanded = true;
        if (underWay.call !== undefined) this.#calls.demand(underWay.call);
      }
      return underWay;
    }
    const fetch: PendingFetch = { promise: NEVER, demanded, again: false, call: undefined };
    lease.fetch = fetch;
    fetch.promise = this.#run(lease, fetch);
    fetch.promise.catch(() => {});
    return fetch;
  }

  async #run(lease: Lease, fetch: PendingFetch): Promise<void> {
    try {
      for (let attempt = 0; ; attempt++) {
        fetch.again = false;
        const epoch = this.#epoch;
        const { tenant, service, version } = lease;
        const request = version === WHOLE_SERVICE ? { tenant, service } : { tenant, service, version };
        fetch.call = this.#calls.ask(request, fetch.demanded);
        const answer = await fetch.call.answer;
        if (this.#install(lease, answer, epoch)) break;
        this.counters.staleGrants++;
        if (attempt + 1 >= STALE_GRANTS_MAX) {
          throw new KeySourceError("unavailable", "The key source keeps granting leases from before a revocation.");
        }
        const waitMs = this.#random() * STALE_RETRY_BASE_MS * 2 ** attempt;
        await sleep(this.#options.clock, waitMs, this.#closing.signal);
      }
    } catch (error) {
      throw this.#failed(lease, error);
    } finally {
      lease.fetch = undefined;
      if (lease.held && fetch.again && !this.#closed) this.#fetch(lease, false);
      else this.#forgetIfEmpty(lease);
    }
  }

  /** Takes over a grant, unless something overtook it: then answers false. Wipes the grant's keys in any case. */
  #install(lease: Lease, { grant, askedMs, askedWallMs }: Answer, epoch: number): boolean {
    try {
      const nowMs = this.#time.read();
      if (this.#closed) throw new NotAsked("closed", "This edge is stopping.", 1_000);
      if (epoch !== this.#epoch || !this.#gate.admits(grant)) {
        this.#onEvent({ type: "stale_grant", ...nameOf(lease), reason: "a revocation or a drop came between" });
        return false;
      }
      const { tenant, service } = lease;
      const ttlMs = Math.min(this.#options.ttlMs, grant.ttlMs);
      const hardMs = askedMs + ttlMs;
      const hardWallMs = askedWallMs + ttlMs;
      if (nowMs >= hardMs || this.#time.wallMs >= hardWallMs) {
        throw new KeySourceError("unavailable", "The lease was over before it arrived.");
      }
      const allowed = grant.versions.filter(({ version }) => !this.#gate.isBlocked(tenant, service, version));
      if (allowed.length === 0 || this.#gate.isBlocked(tenant, service)) {
        throw new KeySourceError("key_revoked", "The key source grants what was revoked.");
      }
      const wasHeld = lease.held;
      this.#hold(lease, allowed, nowMs);
      lease.hardMs = hardMs;
      lease.hardWallMs = hardWallMs;
      lease.log = grant.log;
      lease.revocationSeq = grant.revocationSeq;
      lease.source = grant.source ?? this.#options.source.name;
      lease.failures = 0;
      if (!wasHeld) {
        lease.usedMs = nowMs;
        this.#order.add(lease);
        this.#makeRoom(lease);
      }
      this.#due.set(lease, this.#renewalMs(grant, askedMs, nowMs, ttlMs));
      this.#arm(nowMs);
      if (wasHeld) this.counters.renewed++;
      else this.counters.installed++;
      this.#onEvent({ type: wasHeld ? "renewed" : "installed", ...nameOf(lease), ttlMs, source: lease.source });
      this.#compareVersions(lease, grant);
      return true;
    } finally {
      wipeGrant(grant);
    }
  }

  /** Puts the keys in key memory. Versions held already go on with their sessions; those not granted any more go. */
  #hold(lease: Lease, granted: readonly LeasedServiceKey[], nowMs: number): void {
    const { cipher, keyMemory } = this.#options;
    const { tenant, service } = lease;
    const next: HeldVersion[] = [];
    const fresh: HeldVersion[] = [];
    try {
      for (const { version, state, key } of granted) {
        const old = lease.find(version);
        if (old?.matches(key, timingSafeEqual)) {
          next.push(old);
        } else {
          const held = new HeldVersion({ tenant, service, version }, state, cipher, keyMemory.store(key));
          fresh.push(held);
          next.push(held);
        }
      }
    } catch (error) {
      for (const held of fresh) held.wipe();
      throw new KeySourceError("unavailable", `The lease can't be kept: ${messageOf(error)}`, { cause: error });
    }

    for (const old of lease.versions) {
      if (next.includes(old)) continue;
      const replaced = next.some(({ version }) => version === old.version);
      if (replaced || !this.#keepAlone(lease, old, nowMs)) old.wipe();
    }
    for (const held of next) held.state = granted.find(({ version }) => version === held.version)!.state;
    lease.versions = next;
    lease.active = lease.version === WHOLE_SERVICE ? next.find(({ state }) => state === "active") : undefined;
  }

  /**
   * A version that was in use and that the renewed lease lacks is kept to its old deadline, so that blobs under it open
   * on even if the source fails now; and it is asked about at once, for it may have been left out because it was revoked.
   */
  #keepAlone(lease: Lease, old: HeldVersion, nowMs: number): boolean {
    const { tenant, service, version } = old;
    if (!old.wasUsed || this.#isOver(lease) || this.#gate.isBlocked(tenant, service, version)) return false;
    const alone = this.#leaseOnVersion(tenant, service, version);
    if (alone.held) return false;
    old.state = "deprecated";
    alone.versions = [old];
    alone.hardMs = lease.hardMs;
    alone.hardWallMs = lease.hardWallMs;
    alone.log = lease.log;
    alone.revocationSeq = lease.revocationSeq;
    alone.source = lease.source;
    alone.usedMs = lease.usedMs;
    this.#order.add(alone);
    this.#due.set(alone, nowMs);
    return true;
  }

  /** After a lease on a whole service: versions held alone that it includes go. After a version alone: is it newer? */
  #compareVersions(lease: Lease, grant: LeaseGrant): void {
    const { tenant, service } = lease;
    if (lease.version === WHOLE_SERVICE) {
      if (lease.active === undefined) {
        this.#refusals.add(tenant, service, WHOLE_SERVICE, revoked(), this.#time.nowMs + this.#tuning.refusalTtlMs);
      }
      for (const { version } of lease.versions) {
        const alone = lease.alone?.get(version);
        if (alone?.held) this.#end(alone);
      }
    } else if (grant.versions[0]!.state === "active") {
      const whole = this.#tenants.get(tenant)?.get(service);
      if (whole?.held && whole.active?.version !== lease.version) this.renew(tenant, service);
    }
  }

  /** The soft deadline: at random before the latest, so that neither keys nor edges come back together. */
  #renewalMs(grant: LeaseGrant, askedMs: number, nowMs: number, ttlMs: number): number {
    const latestMs = Math.min(this.#options.refreshAfterMs, grant.refreshAfterMs, ttlMs * 0.9);
    const dueMs = askedMs + latestMs * (1 - this.#tuning.renewalSpread * this.#random());
    // A lease that was long in coming is not renewed the moment it arrives.
    return Math.max(dueMs, nowMs + (askedMs + ttlMs - nowMs) / 4);
  }

  /** Settles what a failed call means for the lease, and says it in the edge's own words. */
  #failed(lease: Lease, error: unknown): CryptoEdgeError {
    const nowMs = this.#time.read();
    this.#expireIfOver(lease);
    if (error instanceof KeySourceError && error.authoritative) {
      const refusal = refusalOf(error);
      const untilMs = nowMs + this.#tuning.refusalTtlMs;
      this.#refusals.add(lease.tenant, lease.service, lease.version, refusal, untilMs);
      if (lease.held) {
        this.counters.withdrawn++;
        this.#onEvent({ type: "withdrawn", ...nameOf(lease), reason: error.code });
        this.#end(lease);
      }
      return refusal;
    }

    const retryAfterMs = error instanceof NotAsked || error instanceof KeySourceError ? error.retryAfterMs : undefined;
    if (lease.held) {
      const asked = !(error instanceof NotAsked);
      if (asked) {
        lease.failures++;
        this.counters.renewalFailures++;
        const remainingMs = this.#remainingMs(lease, nowMs);
        const { failures } = lease;
        this.#onEvent({
          type: "renewal_failed",
          ...nameOf(lease),
          reason: messageOf(error),
          failures,
          remainingMs,
        });
      }
      this.#due.set(lease, Math.min(lease.hardMs, nowMs + this.#retryMs(lease, nowMs, retryAfterMs ?? 0)));
      this.#arm(nowMs);
    }
    if (error instanceof NotAsked && error.reason === "fruitless") {
      return new CryptoEdgeError("rate_limited", error.message, { retryAfterMs: error.retryAfterMs });
    }
    return unavailable(error, retryAfterMs);
  }

  /** Exponential backoff with full jitter; nearer to the end at least twice in what is left. */
  #retryMs(lease: Lease, nowMs: number, notBeforeMs: number): number {
    const { retryBaseMs, retryMaxMs } = this.#tuning;
    const longestMs = Math.min(retryMaxMs, retryBaseMs * 2 ** Math.min(lease.failures, 20));
    const leftMs = (lease.hardMs - nowMs) / 2;
    return notBeforeMs + this.#random() * Math.min(longestMs, Math.max(leftMs, retryBaseMs));
  }

  // Ends

  /** Wipes one version, or each, of a lease on a service and of what is held alone beside it. Answers how many. */
  #revoke(lease: Lease, version: number | undefined): number {
    let wiped = 0;
    if (lease.alone !== undefined) for (const alone of [...lease.alone.values()]) wiped += this.#revoke(alone, version);
    if (!lease.held) return wiped;
    wiped += version === undefined ? lease.wipe() : Number(lease.wipeVersion(version));
    if (!lease.held) this.#end(lease);
    return wiped;
  }

  #isOver(lease: Lease): boolean {
    return this.#time.read() >= lease.hardMs || this.#time.wallMs >= lease.hardWallMs;
  }

  #expireIfOver(lease: Lease): void {
    if (!lease.held || !this.#isOver(lease)) return;
    this.counters.expired++;
    this.#onEvent({ type: "expired", ...nameOf(lease) });
    this.#end(lease);
  }

  /** Wipes the lease, and forgets it unless it is being asked for. */
  #end(lease: Lease): void {
    lease.wipe();
    lease.failures = 0;
    this.#order.delete(lease);
    this.#due.delete(lease);
    this.#forgetIfEmpty(lease);
  }

  #makeRoom(kept: Lease): void {
    while (this.#order.size > this.#options.maxLeases) {
      const lease = this.#order.oldest!;
      if (lease === kept) return;
      this.counters.evicted++;
      this.#onEvent({ type: "evicted", ...nameOf(lease) });
      this.#end(lease);
    }
  }

  #use(lease: Lease, nowMs: number): void {
    lease.usedMs = nowMs;
    this.#order.touch(lease);
  }

  // Time

  /** One timer for all leases: it fires when the first is due, and often enough to notice that the machine slept. */
  #arm(nowMs: number): void {
    const first = this.#due.first();
    if (first === undefined || this.#closed) return;
    // Whole milliseconds: a timer that fires a rounding error too early would be set again for the same moment.
    const delayMs = Math.max(0, Math.ceil(Math.min(first.dueMs - nowMs, this.#tuning.tickMs)));
    const atMs = nowMs + delayMs;
    if (this.#timer !== undefined && this.#timerAtMs <= atMs) return;
    this.#timer?.cancel();
    this.#timerAtMs = atMs;
    this.#timer = this.#options.clock.schedule(delayMs, () => {
      this.#timer = undefined;
      this.#timerAtMs = Number.POSITIVE_INFINITY;
      this.#tick();
    });
  }

  #tick(): void {
    const nowMs = this.#time.read();
    for (;;) {
      const lease = this.#due.first();
      if (lease === undefined || lease.dueMs > nowMs) break;
      if (this.#isOver(lease)) {
        this.#expireIfOver(lease);
        continue;
      }
      this.#due.set(lease, lease.hardMs);
      const isIdle = !lease.prewarmed && nowMs - lease.usedMs > this.#tuning.idleAfterMs;
      if (lease.fetch === undefined && !isIdle) this.#fetch(lease, false);
    }
    this.#arm(nowMs);
  }

  #jumped(jumpMs: number): void {
    this.counters.clockJumps++;
    this.#onEvent({ type: "clock_jump", jumpMs });
    // Leases may be over. Not here: this is in the midst of a hit.
    queueMicrotask(() => {
      if (!this.#closed) this.#tick();
    });
  }

  #remainingMs(lease: Lease, nowMs: number): number {
    return Math.max(0, Math.min(lease.hardMs - nowMs, lease.hardWallMs - this.#time.wallMs));
  }

  // The table

  #leaseOn(tenant: string, service: string): Lease {
    let services = this.#tenants.get(tenant);
    if (services === undefined) {
      services = new Map();
      this.#tenants.set(tenant, services);
    }
    let lease = services.get(service);
    if (lease === undefined) {
      lease = new Lease(tenant, service, WHOLE_SERVICE);
      services.set(service, lease);
    }
    return lease;
  }

  #leaseOnVersion(tenant: string, service: string, version: number): Lease {
    const whole = this.#leaseOn(tenant, service);
    whole.alone ??= new Map();
    let alone = whole.alone.get(version);
    if (alone === undefined) {
      alone = new Lease(tenant, service, version);
      whole.alone.set(version, alone);
    }
    return alone;
  }

  #forgetIfEmpty(lease: Lease): void {
    if (lease.held || lease.fetch !== undefined || (lease.alone?.size ?? 0) > 0) return;
    const services = this.#tenants.get(lease.tenant);
    const whole = services?.get(lease.service);
    if (services === undefined || whole === undefined) return;
    if (lease === whole) {
      services.delete(lease.service);
      if (services.size === 0) this.#tenants.delete(lease.tenant);
    } else if (whole.alone?.get(lease.version) === lease) {
      whole.alone.delete(lease.version);
      this.#forgetIfEmpty(whole);
    }
  }
}

interface PendingFetch extends Fetch {
  promise: Promise<void>;
  call: SourceCall | undefined;
}

/** Stands in `PendingFetch.promise` until the call has begun, in the same turn. */
const NEVER = new Promise<void>(() => {});

function nameOf(lease: Lease): { tenant: string; service: string; version: number | undefined } {
  const { tenant, service, version } = lease;
  return { tenant, service, version: version === WHOLE_SERVICE ? undefined : version };
}

function refusalOf(error: KeySourceError): CryptoEdgeError {
  switch (error.code) {
    case "key_revoked":
      return revoked();
    case "edge_not_allowed":
      return new CryptoEdgeError("access_denied", "The key source does not let this edge have that key.");
    default:
      return new CryptoEdgeError("key_not_found", "The key source knows no such tenant, service or version.");
  }
}

function unavailable(error: unknown, retryAfterMs?: number): CryptoEdgeError {
  const message = `No lease is held on this key, and the key source can't give one now. ${messageOf(error)}`;
  const waitMs = retryAfterMs ?? (error instanceof NotAsked ? error.retryAfterMs : 1_000);
  return new CryptoEdgeError("lease_unavailable", message, { retryAfterMs: waitMs, cause: error });
}

function revoked(): CryptoEdgeError {
  return new CryptoEdgeError("key_revoked", "This service key was revoked: nothing is wrapped or opened under it.");
}

/** For each request that a block refuses: to note where it arose would take longer than all else that is done for it. */
const REVOKED = revoked();

function leaseEnded(): CryptoEdgeError {
  return new CryptoEdgeError("lease_unavailable", "The lease ended as soon as it came. Ask again.", {
    retryAfterMs: 100,
  });
}

function asCryptoEdgeError(error: unknown): CryptoEdgeError {
  if (error instanceof CryptoEdgeError) return error;
  throw error;
}
