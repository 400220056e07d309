import type { CircuitState } from "../../base/time/circuit-breaker.ts";

/**
 * What happened to leases: plain numbers, counted in place, so that a metric costs nothing on a hit. Read them at any
 * time; they only grow.
 */
export interface LeaseCounters {
  /** Answered from a lease held, at once. */
  hits: number;
  /** Answered by waiting for the source, well or not. */
  misses: number;
  /** Refused at once: a refusal remembered, a revocation, or silence that forbids serving. */
  refusals: number;
  /** Leases installed where none was held. */
  installed: number;
  renewed: number;
  renewalFailures: number;
  /** Ended by their hard deadline. */
  expired: number;
  /** Ended to make room. */
  evicted: number;
  /** Ended by the source: it refuses the key from now on. */
  withdrawn: number;
  /** Versions wiped by a revocation. */
  revokedVersions: number;
  /** Leases ended by `dropAll`. */
  dropped: number;
  /** Grants thrown away since a revocation or a drop came between asking and answer. */
  staleGrants: number;
  /** Times that the wall clock was seen to jump against the monotonic one, or the machine to sleep. */
  clockJumps: number;
}

export function createLeaseCounters(): LeaseCounters {
  return {
    hits: 0,
    misses: 0,
    refusals: 0,
    installed: 0,
    renewed: 0,
    renewalFailures: 0,
    expired: 0,
    evicted: 0,
    withdrawn: 0,
    revokedVersions: 0,
    dropped: 0,
    staleGrants: 0,
    clockJumps: 0,
  };
}

/** What is worth a log line; never on the path of a hit. `version` is undefined for a lease on a whole service. */
export type LeaseEvent =
  | ({ readonly type: "installed" | "renewed"; readonly ttlMs: number; readonly source: string } & LeaseName)
  | ({
      readonly type: "renewal_failed";
      readonly reason: string;
      readonly failures: number;
      readonly remainingMs: number;
    } & LeaseName)
  | ({ readonly type: "expired" | "evicted" } & LeaseName)
  | ({ readonly type: "withdrawn"; readonly reason: string } & LeaseName)
  | ({ readonly type: "stale_grant"; readonly reason: string } & LeaseName)
  | { readonly type: "dropped_all"; readonly reason: string; readonly leases: number }
  | { readonly type: "clock_jump"; readonly jumpMs: number }
  | { readonly type: "circuit"; readonly state: CircuitState; readonly reason: string; readonly retryAfterMs: number };

interface LeaseName {
  readonly tenant: string;
  readonly service: string;
  readonly version: number | undefined;
}
