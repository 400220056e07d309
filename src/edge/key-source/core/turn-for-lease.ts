import { turnFor } from "../../../base/time/turns.ts";

/** Of a slice of a turn of the event loop: all of it. */
const WHOLE_SLICE = 1;

/**
 * When a call for a lease may be begun, or a key of its answer be opened: each takes some 0.1 ms, and requests are answered between,
 * however many leases are renewed together. Undefined where this turn has room for it.
 */
export function turnForLease(): Promise<void> | undefined {
  return turnFor(WHOLE_SLICE);
}
