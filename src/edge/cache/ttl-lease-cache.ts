/**
 * The lease cache (design.md, "Leases"). A hit reads both clocks, follows two maps, and returns. Everything else (asking,
 * renewing, ending) happens beside it: lease-fetches.ts, grant-installer.ts, lease-lifecycle.ts.
 */
import type { Clock } from "../../base/time/clock.ts";
import type { Cipher } from "../cipher/cipher.ts";
import type { KeyMemory } from "../key-memory/key-memory.ts";
import type { KeySource } from "../key-source/key-source.ts";
import { GrantInstaller } from "./grant-installer.ts";
import type { Lease } from "./lease.ts";
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
import { LeaseFetches } from "./lease-fetches.ts";
import { LeaseLifecycle } from "./lease-lifecycle.ts";
import { LeaseMisses, type MissObserver } from "./lease-misses.ts";
import { type LeaseCacheSummary, summarize } from "./lease-summary.ts";
import { LeaseTable } from "./lease-table.ts";
import { DEFAULT_TUNING, type LeaseTuning } from "./lease-tuning.ts";
import { prewarm, type RefusedPrewarm, type ServiceName } from "./prewarm.ts";
import { Refusals } from "./refusals.ts";
import { DEFAULT_CALL_LIMITS, type SourceCallLimits, SourceCalls } from "./source-calls.ts";

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
  /** Who is told that a caller waits for a lease. */
  readonly onMiss?: MissObserver | undefined;
  readonly calls?: Partial<SourceCallLimits>;
  readonly tuning?: Partial<LeaseTuning>;
}

/** The order of use is kept to the second: a hit moves its lease at most that often. */
const USE_GRAIN_MS = 1_000;

export interface TtlLeaseCache extends LeaseCache, LeaseControl {
  readonly counters: Readonly<LeaseCounters>;
  /** Every lease held, from the last used on; a copy. */
  leases(): LeaseStatus[];
  summary(): LeaseCacheSummary;
  /** To the hard deadline of the lease that is held on a service key; 0 where none is. */
  remainingMs(tenant: string, service: string): number;

  /**
   * Asks for leases in the background, and again until each is held or refused for good; those are then renewed even
   * while nobody uses them. Resolves with what was refused, or when the cache closes; never rejects.
   */
  prewarm(keys: readonly ServiceName[]): Promise<RefusedPrewarm[]>;
}

export function createTtlLeaseCache(options: TtlLeaseCacheOptions): TtlLeaseCache {
  return new Cache(options);
}

class Cache implements TtlLeaseCache {
  readonly counters: LeaseCounters = createLeaseCounters();
  readonly #clock: Clock;
  readonly #gate: LeaseGate;
  readonly #random: () => number;
  readonly #tuning: LeaseTuning;
  readonly #onEvent: (event: LeaseEvent) => void;
  readonly #time: LeaseClock;
  readonly #table = new LeaseTable();
  /** The table's own map, one step nearer to a hit. */
  readonly #tenants = this.#table.tenants;
  readonly #refusals: Refusals;
  readonly #calls: SourceCalls;
  readonly #lifecycle: LeaseLifecycle;
  readonly #fetches: LeaseFetches;
  readonly #misses: LeaseMisses;
  readonly #closing = new AbortController();

  constructor(options: TtlLeaseCacheOptions) {
    const { clock, gate, source, random = Math.random, onEvent = () => {} } = options;
    this.#clock = clock;
    this.#gate = gate;
    this.#random = random;
    this.#onEvent = onEvent;
    this.#tuning = { ...DEFAULT_TUNING, ...options.tuning };
    this.#refusals = new Refusals(this.#tuning.maxRefusals);
    this.#time = new LeaseClock(clock, (jumpMs) => this.#jumped(jumpMs));
    const shared = {
      ...options,
      random,
      onEvent,
      tuning: this.#tuning,
      time: this.#time,
      table: this.#table,
      refusals: this.#refusals,
      counters: this.counters,
    };
    this.#calls = new SourceCalls({
      source,
      time: this.#time,
      schedule: (delayMs, callback) => clock.schedule(delayMs, callback),
      random,
      limits: { ...DEFAULT_CALL_LIMITS, ...options.calls },
      onCircuit: (state, reason, retryAfterMs) => onEvent({ type: "circuit", state, reason, retryAfterMs }),
    });
    const lifecycle = new LeaseLifecycle({
      ...shared,
      onRenewalDue: (lease) => void this.#fetches.fetch(lease, false),
    });
    const installer = new GrantInstaller({
      ...shared,
      lifecycle,
      sourceName: source.name,
      onNewerActive: (tenant, service) => this.renew(tenant, service),
    });
    this.#lifecycle = lifecycle;
    const { signal: closing } = this.#closing;
    this.#fetches = new LeaseFetches({ ...shared, calls: this.#calls, lifecycle, installer, closing });
    this.#misses = new LeaseMisses({ ...shared, calls: this.#calls, lifecycle, fetches: this.#fetches, closing });
  }

  // Hits

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
    return this.#misses.active(tenant, service);
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
      const single = lease.singleVersionLeases?.get(version);
      const held = single?.versions[0];
      if (single !== undefined && held !== undefined && nowMs < single.hardMs && wallMs < single.hardWallMs) {
        this.counters.hits++;
        if (nowMs - single.usedMs >= USE_GRAIN_MS) this.#use(single, nowMs);
        return held;
      }
    }
    return this.#misses.version(tenant, service, version);
  }

  #use(lease: Lease, nowMs: number): void {
    lease.usedMs = nowMs;
    this.#table.order.touch(lease);
  }

  // What the guard asks for

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

  /** Wipes one version, or each, of a lease on a service and of the single versions under it. Answers how many. */
  #revoke(lease: Lease, version: number | undefined): number {
    let wiped = 0;
    for (const single of [...(lease.singleVersionLeases?.values() ?? [])]) wiped += this.#revoke(single, version);
    if (!lease.held) return wiped;
    wiped += version === undefined ? lease.wipe() : Number(lease.wipeVersion(version));
    if (!lease.held) this.#lifecycle.end(lease);
    return wiped;
  }

  forget(scope: RevocationScope): void {
    this.#refusals.forget(scope);
  }

  dropAll(reason: string): void {
    this.#fetches.overtakeAll();
    const leases = this.#table.order.size;
    for (const lease of [...this.#table.order]) this.#lifecycle.end(lease);
    this.#refusals.clear();
    this.counters.dropped += leases;
    if (leases > 0) this.#onEvent({ type: "dropped_all", reason, leases });
  }

  renew(tenant: string, service: string): void {
    const lease = this.#table.find(tenant, service);
    if (lease?.fetch !== undefined) lease.fetch.again = true;
    else if (lease?.held) this.#fetches.fetch(lease, false);
  }

  renewAll(): void {
    const nowMs = this.#time.read();
    for (const lease of this.#table.order) {
      const dueMs = nowMs + this.#random() * this.#tuning.renewAllSpreadMs;
      if (lease.fetch === undefined && dueMs < lease.dueMs) this.#lifecycle.setDue(lease, dueMs);
    }
    this.#lifecycle.arm(nowMs);
  }

  // The whole

  versions(tenant: string, service: string): LeaseStatus["versions"] {
    const lease = this.#table.find(tenant, service);
    return lease === undefined ? [] : lease.versions.map(({ version, state }) => ({ version, state }));
  }

  remainingMs(tenant: string, service: string): number {
    const lease = this.#tenants.get(tenant)?.get(service);
    return lease === undefined ? 0 : this.#lifecycle.remainingMs(lease, this.#time.read());
  }

  leases(): LeaseStatus[] {
    const nowMs = this.#time.read();
    return [...this.#table.order].map((lease) => ({
      tenant: lease.tenant,
      service: lease.service,
      versions: lease.versions.map(({ version, state }) => ({ version, state })),
      remainingMs: this.#lifecycle.remainingMs(lease, nowMs),
      source: lease.source,
    }));
  }

  summary(): LeaseCacheSummary {
    return summarize(this.#table, this.#lifecycle, this.#time.read(), this.#calls, this.#refusals.size);
  }

  prewarm(keys: readonly ServiceName[]): Promise<RefusedPrewarm[]> {
    return prewarm(keys, {
      table: this.#table,
      fetches: this.#fetches,
      clock: this.#clock,
      backoff: this.#tuning.retry,
      random: this.#random,
      closing: this.#closing.signal,
    });
  }

  close(): void {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    this.#calls.close();
    this.#lifecycle.close();
  }

  #jumped(jumpMs: number): void {
    this.counters.clockJumps++;
    this.#onEvent({ type: "clock_jump", jumpMs });
    // Leases may be over. Not here: this is in the midst of a hit.
    queueMicrotask(() => this.#lifecycle.tick());
  }
}
