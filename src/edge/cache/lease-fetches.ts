/** Asking the source for leases: one call per lease however many wait, again while revocations overtake the answers. */
import { messageOf, OperationError } from "../../base/errors.ts";
import { backoffMs, longestBackoffMs } from "../../base/time/backoff.ts";
import { type Clock, sleep } from "../../base/time/clock.ts";
import { wipeGrant } from "../key-source/grant.ts";
import { KeySourceError } from "../key-source/key-source.ts";
import type { GrantInstaller } from "./grant-installer.ts";
import { type Fetch, type Lease, leaseName, WHOLE_SERVICE } from "./lease.ts";
import type { LeaseClock } from "./lease-clock.ts";
import { refusalOf, stopping, unavailable } from "./lease-errors.ts";
import type { LeaseCounters, LeaseEvent } from "./lease-events.ts";
import type { LeaseLifecycle } from "./lease-lifecycle.ts";
import type { LeaseTable } from "./lease-table.ts";
import type { LeaseTuning } from "./lease-tuning.ts";
import type { Refusals } from "./refusals.ts";
import { type SourceCall, SourceNotCalled } from "./source-call.ts";
import type { SourceCalls } from "./source-calls.ts";

/** How many grants may be thrown away for one caller because a revocation or a drop overtook them. */
const STALE_GRANTS_MAX = 6;
const STALE_RETRY = { firstMs: 20, maxMs: 1_000 };

export interface LeaseFetchesOptions {
  readonly calls: SourceCalls;
  readonly installer: GrantInstaller;
  readonly clock: Clock;
  readonly time: LeaseClock;
  readonly table: LeaseTable;
  readonly lifecycle: LeaseLifecycle;
  readonly refusals: Refusals;
  readonly tuning: LeaseTuning;
  readonly random: () => number;
  readonly counters: LeaseCounters;
  readonly onEvent: (event: LeaseEvent) => void;
  /** Aborts when the cache closes. */
  readonly closing: AbortSignal;
}

interface PendingFetch extends Fetch {
  promise: Promise<void>;
  call: SourceCall | undefined;
}

/** Stands in `PendingFetch.promise` until the call has begun, in the same turn. */
const NEVER = new Promise<void>(() => {});

export class LeaseFetches {
  readonly #options: LeaseFetchesOptions;
  /** Grows with each drop of every lease: an answer to a question from before is thrown away. */
  #epoch = 0;

  constructor(options: LeaseFetchesOptions) {
    this.#options = options;
  }

  /** Asks the source, or joins the question that is under way. `demanded`: a caller waits. */
  fetch(lease: Lease, demanded: boolean): Fetch {
    const underWay = lease.fetch as PendingFetch | undefined;
    if (underWay !== undefined) {
      if (demanded) {
        underWay.demanded = true;
        if (underWay.call !== undefined) this.#options.calls.demand(underWay.call);
      }
      return underWay;
    }
    const fetch: PendingFetch = { promise: NEVER, demanded, again: false, call: undefined };
    lease.fetch = fetch;
    fetch.promise = this.#run(lease, fetch);
    fetch.promise.catch(() => {});
    return fetch;
  }

  /** What is being asked now is not installed when it comes: every lease was dropped. */
  overtakeAll(): void {
    this.#epoch++;
  }

  async #run(lease: Lease, fetch: PendingFetch): Promise<void> {
    const { calls, installer, clock, random, counters, table, closing } = this.#options;
    try {
      for (let attempt = 0; ; attempt++) {
        fetch.again = false;
        const epoch = this.#epoch;
        const { tenant, service, version } = lease;
        const request = version === WHOLE_SERVICE ? { tenant, service } : { tenant, service, version };
        fetch.call = calls.ask(request, fetch.demanded);
        const answer = await fetch.call.answer;
        if (closing.aborted) {
          wipeGrant(answer.grant);
          throw stopping();
        }
        if (installer.install(lease, answer, epoch !== this.#epoch)) break;
        counters.staleGrants++;
        if (attempt + 1 >= STALE_GRANTS_MAX) {
          throw new KeySourceError("unavailable", "The key source keeps granting leases from before a revocation.");
        }
        await sleep(clock, backoffMs(STALE_RETRY, attempt, random), closing);
      }
    } catch (error) {
      throw this.#failed(lease, error);
    } finally {
      lease.fetch = undefined;
      if (lease.held && fetch.again && !closing.aborted) this.fetch(lease, false);
      else table.forgetIfEmpty(lease);
    }
  }

  /** Settles what a failed call means for the lease, and says it in the edge's own words. */
  #failed(lease: Lease, error: unknown): OperationError {
    const { time, tuning, refusals, lifecycle, counters, onEvent } = this.#options;
    const nowMs = time.read();
    lifecycle.expireIfOver(lease);
    if (error instanceof KeySourceError && error.authoritative) {
      const refusal = refusalOf(error);
      refusals.add(lease.tenant, lease.service, lease.version, refusal, nowMs + tuning.refusalTtlMs);
      if (lease.held) {
        counters.withdrawn++;
        onEvent({ type: "withdrawn", ...leaseName(lease), reason: error.code });
        lifecycle.end(lease);
      }
      return refusal;
    }
    const retryAfterMs =
      error instanceof SourceNotCalled || error instanceof KeySourceError ? error.retryAfterMs : undefined;
    if (lease.held) {
      if (!(error instanceof SourceNotCalled)) {
        const failures = ++lease.failures;
        counters.renewalFailures++;
        const remainingMs = lifecycle.remainingMs(lease, nowMs);
        onEvent({ type: "renewal_failed", ...leaseName(lease), reason: messageOf(error), failures, remainingMs });
      }
      lifecycle.setDue(lease, Math.min(lease.hardMs, nowMs + this.#retryMs(lease, nowMs, retryAfterMs ?? 0)));
      lifecycle.arm(nowMs);
    }
    if (error instanceof OperationError) return error;
    if (error instanceof SourceNotCalled && error.code === "misses_exhausted") {
      return new OperationError("rate_limited", error.message, { retryAfterMs: error.retryAfterMs });
    }
    return unavailable(error, retryAfterMs);
  }

  /** Nearer to the end at least twice in what is left. */
  #retryMs(lease: Lease, nowMs: number, notBeforeMs: number): number {
    const { tuning, random } = this.#options;
    const leftMs = (lease.hardMs - nowMs) / 2;
    const longestMs = Math.min(longestBackoffMs(tuning.retry, lease.failures), Math.max(leftMs, tuning.retry.firstMs));
    return notBeforeMs + random() * longestMs;
  }
}
