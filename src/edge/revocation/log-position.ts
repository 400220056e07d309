import type { RestoreEvent } from "./revocation-transport.ts";

/** Logs that were left and are remembered; an answer from one of them is late, not news. */
const FORMER_LOGS_MAX = 16;

/** Where the edge stands in the Core's event log, and what it knows of the log beyond that. */
export class LogPosition {
  readonly #outOfOrderMax: number;
  readonly #formerLogs = new Set<string>();
  /** Events beyond a gap: a `restore` waits here, of others only the number. */
  readonly #outOfOrder = new Map<number, RestoreEvent | undefined>();
  readonly #onMoved: () => void;
  #log: string | undefined;
  #appliedSeq = 0;

  /** The newest event that the Core or a signed event vouches for. */
  newestSeq = 0;
  /** The newest event that a lease vouches for: no gap by itself, since the transports may be just behind. */
  hintedSeq = 0;
  /** Leases answered before this are refused, whatever their scope. */
  minLeaseSeq = 0;

  /**
   * @param outOfOrderMax How many events beyond a gap are remembered.
   * @param onMoved The position has changed; the effects of its newest event may follow in the same turn.
   */
  constructor(outOfOrderMax: number, onMoved: () => void = () => {}) {
    this.#outOfOrderMax = outOfOrderMax;
    this.#onMoved = onMoved;
  }

  /** The newest event applied with no gap before it. */
  get appliedSeq(): number {
    return this.#appliedSeq;
  }

  set appliedSeq(seq: number) {
    this.#appliedSeq = seq;
    this.#onMoved();
  }

  /** The event log in use; undefined until the edge has its position. */
  get log(): string | undefined {
    return this.#log;
  }

  /** `<log>:<seq>`, to resume a stream after; undefined at first. */
  get lastEventId(): string | undefined {
    return this.#log === undefined ? undefined : `${this.#log}:${this.appliedSeq}`;
  }

  /** Where counting starts: everything before it is in the past of every lease that will be admitted. */
  startAt(log: string, seq: number): void {
    if (this.#log !== undefined && this.#log !== log) this.#remember(this.#log);
    this.#log = log;
    this.appliedSeq = seq;
    this.newestSeq = seq;
    this.hintedSeq = 0;
    this.minLeaseSeq = seq;
    this.#outOfOrder.clear();
    this.#formerLogs.delete(log);
  }

  isFormer(log: string): boolean {
    return this.#formerLogs.has(log);
  }

  raiseMinLeaseSeq(seq: number): void {
    this.minLeaseSeq = Math.max(this.minLeaseSeq, seq);
  }

  /** Whether the event has been applied, or waits beyond a gap. */
  isKnown(seq: number): boolean {
    return seq <= this.appliedSeq || this.#outOfOrder.has(seq);
  }

  /** Remembers an event beyond a gap, while there is room: one that is not remembered is asked for again. */
  addOutOfOrder(seq: number, restore: RestoreEvent | undefined): void {
    if (this.#outOfOrder.size < this.#outOfOrderMax) this.#outOfOrder.set(seq, restore);
  }

  /** Goes on over what came out of order and follows now: calls `restore` for each that waited. */
  closeUp(restore: (event: RestoreEvent) => void): void {
    while (this.#outOfOrder.has(this.appliedSeq + 1)) {
      this.appliedSeq++;
      const waiting = this.#outOfOrder.get(this.appliedSeq);
      this.#outOfOrder.delete(this.appliedSeq);
      if (waiting !== undefined) restore(waiting);
    }
  }

  /**
   * Goes on to the newest event without those that are missing.
   *
   * @returns the newest of the missing ones, and each `restore` that waited, in order.
   */
  skipMissing(): { readonly lastMissingSeq: number; readonly restores: readonly RestoreEvent[] } {
    let lastMissingSeq = this.newestSeq;
    while (this.#outOfOrder.has(lastMissingSeq)) lastMissingSeq--;
    const restores = [...this.#outOfOrder.values()]
      .filter((event) => event !== undefined)
      .sort((one, other) => one.seq - other.seq);
    this.#outOfOrder.clear();
    this.appliedSeq = this.newestSeq;
    this.raiseMinLeaseSeq(this.newestSeq);
    return { lastMissingSeq, restores };
  }

  #remember(log: string): void {
    this.#formerLogs.add(log);
    for (const oldest of this.#formerLogs) {
      if (this.#formerLogs.size <= FORMER_LOGS_MAX) break;
      this.#formerLogs.delete(oldest);
    }
  }
}
