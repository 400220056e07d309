import type { Backoff } from "../../base/time/backoff.ts";

/** Times of the lease cache that no operator sets; tests and the simulation do. */
export interface LeaseTuning {
  /** A renewal happens at random in the last part of the time to it: 0.5 means between 50 % and 100 %. */
  readonly renewalSpread: number;
  /** Between the tries of a renewal that fails. */
  readonly retry: Backoff;
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

export const DEFAULT_TUNING: LeaseTuning = {
  renewalSpread: 0.5,
  retry: { firstMs: 500, maxMs: 30_000 },
  idleAfterMs: 3_600_000,
  refusalTtlMs: 5_000,
  maxRefusals: 10_000,
  tickMs: 1_000,
  renewAllSpreadMs: 5_000,
};
