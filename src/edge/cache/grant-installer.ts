/** From a grant to a lease that is held: what the grant may do, and how its keys come into key memory. */

import { messageOf } from "../../base/errors.ts";
import { timingSafeEqual } from "../../base/system/builtin-modules.ts";
import type { Cipher } from "../cipher/cipher.ts";
import type { KeyMemory } from "../key-memory/key-memory.ts";
import { wipeGrant } from "../key-source/grant.ts";
import { KeySourceError, type LeasedServiceKey, type LeaseGrant } from "../key-source/key-source.ts";
import { HeldVersion, type Lease, leaseName, WHOLE_SERVICE } from "./lease.ts";
import type { LeaseGate } from "./lease-cache.ts";
import type { LeaseClock } from "./lease-clock.ts";
import { revoked } from "./lease-errors.ts";
import type { LeaseCounters, LeaseEvent } from "./lease-events.ts";
import type { LeaseLifecycle } from "./lease-lifecycle.ts";
import type { LeaseTable } from "./lease-table.ts";
import type { LeaseTuning } from "./lease-tuning.ts";
import type { Refusals } from "./refusals.ts";
import type { Answer } from "./source-call.ts";

export interface GrantInstallerOptions {
  readonly cipher: Cipher;
  readonly keyMemory: Pick<KeyMemory, "store">;
  readonly gate: LeaseGate;
  readonly time: LeaseClock;
  readonly table: LeaseTable;
  readonly lifecycle: LeaseLifecycle;
  readonly refusals: Refusals;
  readonly tuning: LeaseTuning;
  readonly ttlMs: number;
  readonly refreshAfterMs: number;
  readonly random: () => number;
  readonly counters: LeaseCounters;
  readonly onEvent: (event: LeaseEvent) => void;
  /** The name of the source, for a grant that does not say its own. */
  readonly sourceName: string;
  /** A version alone turns out to be active, and the lease on the service does not know. */
  readonly onNewerActive: (tenant: string, service: string) => void;
}

export class GrantInstaller {
  readonly #options: GrantInstallerOptions;

  constructor(options: GrantInstallerOptions) {
    this.#options = options;
  }

  /**
   * Takes over a grant. Wipes the grant's keys in any case.
   *
   * @param overtaken Whether every lease was dropped since it was asked for.
   * @returns false where a revocation or a drop came between: then it is to be asked for again.
   * @throws {KeySourceError}
   */
  install(lease: Lease, { grant, askedMs, askedWallMs }: Answer, overtaken: boolean): boolean {
    const { gate, time, table, lifecycle, counters, onEvent, sourceName } = this.#options;
    try {
      const nowMs = time.read();
      if (overtaken || !gate.admits(grant)) {
        onEvent({ type: "stale_grant", ...leaseName(lease), reason: "a revocation or a drop came between" });
        return false;
      }
      const { tenant, service } = lease;
      const ttlMs = Math.min(this.#options.ttlMs, grant.ttlMs);
      const hardMs = askedMs + ttlMs;
      const hardWallMs = askedWallMs + ttlMs;
      if (nowMs >= hardMs || time.wallMs >= hardWallMs) {
        throw new KeySourceError("unavailable", "The lease was over before it arrived.");
      }
      const allowed: LeasedServiceKey[] = [];
      for (const granted of grant.versions) {
        if (!gate.isBlocked(tenant, service, granted.version)) allowed.push(granted);
      }
      if (allowed.length === 0 || gate.isBlocked(tenant, service)) {
        throw new KeySourceError("key_revoked", "The key source grants what was revoked.");
      }
      const wasHeld = lease.held;
      this.#hold(lease, allowed, nowMs);
      lease.hardMs = hardMs;
      lease.hardWallMs = hardWallMs;
      lease.source = grant.source ?? sourceName;
      lease.failures = 0;
      if (!wasHeld) {
        lease.usedMs = nowMs;
        lifecycle.begin(lease);
      }
      lifecycle.setDue(lease, this.#renewalMs(grant, askedMs, nowMs, ttlMs));
      lifecycle.arm(nowMs);
      if (wasHeld) counters.renewed++;
      else counters.installed++;
      onEvent({ type: wasHeld ? "renewed" : "installed", ...leaseName(lease), ttlMs, source: lease.source });
      if (lease.version === WHOLE_SERVICE) this.#replaceSingleVersions(lease);
      else if (grant.versions[0]!.state === "active") {
        const whole = table.find(tenant, service);
        if (whole?.held && whole.active?.version !== lease.version) this.#options.onNewerActive(tenant, service);
      }
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
      const isReplaced = versionOf(next, old.version) !== undefined;
      if (isReplaced || !this.#keepAsSingleVersion(lease, old, nowMs)) old.wipe();
    }
    let active: HeldVersion | undefined;
    for (const held of next) {
      held.state = versionOf(granted, held.version)!.state;
      if (held.state === "active") active ??= held;
    }
    lease.versions = next;
    lease.active = lease.version === WHOLE_SERVICE ? active : undefined;
  }

  /**
   * A version that was in use and that the renewed lease lacks is kept to its old deadline, so that blobs under it open
   * on even if the source fails now; and it is asked about at once, for it may have been left out because it was revoked.
   */
  #keepAsSingleVersion(lease: Lease, old: HeldVersion, nowMs: number): boolean {
    const { gate, table, lifecycle } = this.#options;
    const { tenant, service, version } = old;
    if (!old.wasUsed || lifecycle.isOver(lease) || gate.isBlocked(tenant, service, version)) return false;
    const single = table.onVersion(tenant, service, version);
    if (single.held) return false;
    old.state = "deprecated";
    single.versions = [old];
    single.hardMs = lease.hardMs;
    single.hardWallMs = lease.hardWallMs;
    single.source = lease.source;
    single.usedMs = lease.usedMs;
    table.order.add(single);
    lifecycle.setDue(single, nowMs);
    return true;
  }

  /** After a lease on a whole service: what it includes is not held by itself too. */
  #replaceSingleVersions(lease: Lease): void {
    const { refusals, time, tuning, lifecycle } = this.#options;
    const { tenant, service } = lease;
    // The active version is one that a revocation blocks.
    if (lease.active === undefined) {
      refusals.add(tenant, service, WHOLE_SERVICE, revoked(), time.nowMs + tuning.refusalTtlMs);
    }
    for (const { version } of lease.versions) {
      const single = lease.singleVersionLeases?.get(version);
      if (single?.held) lifecycle.end(single);
    }
  }

  /** The soft deadline: at random before the latest, so that neither keys nor edges come back together. */
  #renewalMs(grant: LeaseGrant, askedMs: number, nowMs: number, ttlMs: number): number {
    const { refreshAfterMs, tuning, random } = this.#options;
    const latestMs = Math.min(refreshAfterMs, grant.refreshAfterMs, ttlMs * 0.9);
    const dueMs = askedMs + latestMs * (1 - tuning.renewalSpread * random());
    // A lease that was long in coming is not renewed the moment it arrives.
    return Math.max(dueMs, nowMs + Math.min(latestMs, askedMs + ttlMs - nowMs) / 4);
  }
}

/** By a loop, where `find` would take a closure for each. */
function versionOf<Item extends { readonly version: number }>(
  items: readonly Item[],
  version: number,
): Item | undefined {
  for (const item of items) if (item.version === version) return item;
  return undefined;
}
