/** When leases are renewed and when they end: one timer for all of them. */
import type { Clock, Timer } from "../../base/time/clock.ts";
import { DueHeap } from "./due-heap.ts";
import { type Lease, leaseName } from "./lease.ts";
import type { LeaseClock } from "./lease-clock.ts";
import type { LeaseCounters, LeaseEvent } from "./lease-events.ts";
import type { LeaseTable } from "./lease-table.ts";
import type { LeaseTuning } from "./lease-tuning.ts";

export interface LeaseLifecycleOptions {
  readonly clock: Clock;
  readonly time: LeaseClock;
  readonly table: LeaseTable;
  readonly tuning: LeaseTuning;
  /** At least one. */
  readonly maxLeases: number;
  readonly counters: LeaseCounters;
  readonly onEvent: (event: LeaseEvent) => void;
  /** A lease that is held, used and not being fetched is due for renewal. */
  readonly onRenewalDue: (lease: Lease) => void;
}

export class LeaseLifecycle {
  readonly #options: LeaseLifecycleOptions;
  readonly #due = new DueHeap<Lease>();
  #timer: Timer | undefined;
  /** When it fires; infinite while there is none. */
  #timerAtMs = Number.POSITIVE_INFINITY;

  constructor(options: LeaseLifecycleOptions) {
    this.#options = options;
  }

  /** Whether a hard deadline has come, on either clock. */
  isOver(lease: Lease): boolean {
    const { time } = this.#options;
    return time.read() >= lease.hardMs || time.wallMs >= lease.hardWallMs;
  }

  remainingMs(lease: Lease, nowMs: number): number {
    return Math.max(0, Math.min(lease.hardMs - nowMs, lease.hardWallMs - this.#options.time.wallMs));
  }

  /** Something is to be done about a held lease at `dueMs`; takes effect with the next `arm`. */
  setDue(lease: Lease, dueMs: number): void {
    this.#due.set(lease, dueMs);
  }

  /** Sets the timer: it fires when the first lease is due, and often enough to notice that the machine slept. */
  arm(nowMs: number): void {
    const { tuning, clock } = this.#options;
    const first = this.#due.first();
    if (first === undefined) return;
    // Whole milliseconds: a timer that fires a rounding error too early would be set again for the same moment.
    const delayMs = Math.max(0, Math.ceil(Math.min(first.dueMs - nowMs, tuning.tickMs)));
    const atMs = nowMs + delayMs;
    if (this.#timerAtMs <= atMs) return;
    this.#timer?.cancel();
    this.#timerAtMs = atMs;
    this.#timer = clock.schedule(delayMs, () => {
      this.#timerAtMs = Number.POSITIVE_INFINITY;
      this.tick();
    });
  }

  /** Ends what is over, and renews what is due. */
  tick(): void {
    const { time, tuning, onRenewalDue } = this.#options;
    const nowMs = time.read();
    for (;;) {
      const lease = this.#due.first();
      if (lease === undefined || lease.dueMs > nowMs) break;
      if (this.isOver(lease)) {
        this.expireIfOver(lease);
        continue;
      }
      this.#due.set(lease, lease.hardMs);
      const isIdle = !lease.prewarmed && nowMs - lease.usedMs > tuning.idleAfterMs;
      if (lease.fetch === undefined && !isIdle) onRenewalDue(lease);
    }
    this.arm(nowMs);
  }

  expireIfOver(lease: Lease): void {
    if (!lease.held || !this.isOver(lease)) return;
    const { counters, onEvent } = this.#options;
    counters.expired++;
    onEvent({ type: "expired", ...leaseName(lease) });
    this.end(lease);
  }

  /** A lease is held from now on: the least recently used goes, if there is no room for it. */
  begin(lease: Lease): void {
    const { table, maxLeases, counters, onEvent } = this.#options;
    table.order.add(lease);
    while (table.order.size > maxLeases) {
      const oldest = table.order.oldest!;
      counters.evicted++;
      onEvent({ type: "evicted", ...leaseName(oldest) });
      this.end(oldest);
    }
  }

  /** Wipes a held lease, and forgets it unless it is being fetched. */
  end(lease: Lease): void {
    const { table } = this.#options;
    lease.wipe();
    lease.failures = 0;
    table.order.delete(lease);
    this.#due.delete(lease);
    table.forgetIfEmpty(lease);
  }

  /** Nothing is held after this, so nothing is due. */
  close(): void {
    for (const lease of [...this.#options.table.order]) this.end(lease);
    this.#timer?.cancel();
  }
}
