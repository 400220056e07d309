/** The path of a request that no held lease serves: refused at once where that is known, else it waits for the source. */
import { type Lease, WHOLE_SERVICE } from "./lease.ts";
import type { LeasedVersion, LeaseGate } from "./lease-cache.ts";
import type { LeaseClock } from "./lease-clock.ts";
import { asOperationError, leaseEnded, REVOKED, revoked, silenced, stopping, unavailable } from "./lease-errors.ts";
import type { LeaseCounters } from "./lease-events.ts";
import type { LeaseFetches } from "./lease-fetches.ts";
import type { LeaseLifecycle } from "./lease-lifecycle.ts";
import type { LeaseTable } from "./lease-table.ts";
import type { Refusals } from "./refusals.ts";
import type { SourceCalls } from "./source-calls.ts";

/**
 * Is told, in the turn in which it begins, that a caller waits for a lease; `waiting` settles when it need not wait any more. `version` is
 * undefined where the active one is asked for. Must not throw. A hit tells nobody.
 */
export type MissObserver = (
  tenant: string,
  service: string,
  version: number | undefined,
  waiting: Promise<unknown>,
) => void;

export interface LeaseMissesOptions {
  readonly gate: LeaseGate;
  readonly time: LeaseClock;
  readonly table: LeaseTable;
  readonly lifecycle: LeaseLifecycle;
  readonly refusals: Refusals;
  readonly calls: SourceCalls;
  readonly fetches: LeaseFetches;
  readonly counters: LeaseCounters;
  readonly onMiss?: MissObserver | undefined;
  /** Aborts when the cache closes. */
  readonly closing: AbortSignal;
}

export class LeaseMisses {
  readonly #options: LeaseMissesOptions;

  constructor(options: LeaseMissesOptions) {
    this.#options = options;
  }

  active(tenant: string, service: string): Promise<LeasedVersion> {
    this.#checkOpen();
    const known = this.#options.table.find(tenant, service);
    if (known !== undefined) this.#options.lifecycle.expireIfOver(known);
    this.#checkRefused(tenant, service, WHOLE_SERVICE);
    this.#checkCircuit(known);
    this.#options.counters.misses++;
    const lease = this.#options.table.onService(tenant, service);
    const waiting = this.#options.fetches.fetch(lease, true).promise.then(() => {
      this.#checkUsable(lease);
      // Granted, but the active version is one that a revocation blocks.
      if (lease.active === undefined) throw revoked();
      return lease.active;
    });
    this.#options.onMiss?.(tenant, service, undefined, waiting);
    return waiting;
  }

  version(tenant: string, service: string, version: number): Promise<LeasedVersion> {
    this.#checkOpen();
    const known = this.#options.table.find(tenant, service);
    const single = known?.singleVersionLeases?.get(version);
    if (known !== undefined) this.#options.lifecycle.expireIfOver(known);
    if (single !== undefined) this.#options.lifecycle.expireIfOver(single);
    this.#checkRefused(tenant, service, version);
    this.#checkCircuit(known?.held ? single : known);
    this.#options.counters.misses++;
    const waiting = this.#openVersion(tenant, service, version);
    this.#options.onMiss?.(tenant, service, version, waiting);
    return waiting;
  }

  async #openVersion(tenant: string, service: string, version: number): Promise<LeasedVersion> {
    const whole = this.#options.table.onService(tenant, service);
    if (!whole.held) {
      try {
        this.#checkRefused(tenant, service, WHOLE_SERVICE);
        await this.#options.fetches.fetch(whole, true).promise;
      } catch (error) {
        // No version may wrap any more; this one may still open.
        if (asOperationError(error).code !== "key_revoked") throw error;
      }
      this.#checkOpen();
      this.#checkBlocked(tenant, service, version);
      const held = this.#options.lifecycle.isOver(whole) ? undefined : whole.find(version);
      if (held !== undefined) return held;
      this.#checkRefused(tenant, service, version);
    }
    const single = this.#options.table.onVersion(tenant, service, version);
    await this.#options.fetches.fetch(single, true).promise;
    this.#checkUsable(single);
    return single.versions[0]!;
  }

  #checkOpen(): void {
    if (this.#options.closing.aborted) throw stopping();
    if (this.#options.gate.isOpen()) return;
    this.#options.counters.refusals++;
    throw silenced();
  }

  #checkBlocked(tenant: string, service: string, version: number): void {
    if (!this.#options.gate.isBlocked(tenant, service, version === WHOLE_SERVICE ? undefined : version)) return;
    this.#options.counters.refusals++;
    throw REVOKED;
  }

  #checkRefused(tenant: string, service: string, version: number): void {
    this.#checkBlocked(tenant, service, version);
    const refusal = this.#options.refusals.find(tenant, service, version, this.#options.time.nowMs);
    if (refusal === undefined) return;
    this.#options.counters.refusals++;
    throw refusal;
  }

  /** Refuses at once what would be refused a few promises later: in an outage this is the path of every request. */
  #checkCircuit(lease: Lease | undefined): void {
    const { nowMs } = this.#options.time;
    if (lease?.fetch !== undefined || !this.#options.calls.isOpen(nowMs)) return;
    this.#options.counters.refusals++;
    throw unavailable(this.#options.calls.circuitOpen(nowMs));
  }

  /** A fetch has succeeded a moment ago; since then anything may have happened to the lease. */
  #checkUsable(lease: Lease): void {
    this.#checkOpen();
    this.#checkBlocked(lease.tenant, lease.service, lease.version);
    if (!lease.held || this.#options.lifecycle.isOver(lease)) throw leaseEnded();
  }
}
