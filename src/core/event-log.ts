/**
 * This Core's place in the event log: told of every event once and in order, whichever Core committed it. What the store
 * says counts; a notification is only a reason to ask it.
 */
import { randomBytes } from "node:crypto";
import type { LoggedEvent } from "./protocol/events.ts";
import type { LogPosition, Store } from "./store/store.ts";

export interface EventLogListener {
  /** Each event once, in order, after its commit. Synchronous; never throws. */
  event(event: LoggedEvent): void;
  /** The store has another history (it was restored): what was known of the log counts no more. */
  newHistory(): void;
  /** The store lacks events that were committed and told. A new history follows. */
  lostEvents(lost: LostEvents): void;
}

export interface LostEvents {
  /** The newest event that was told. */
  readonly told: number;
  /** The newest one that the store has now. */
  readonly found: number;
}

const PAGE = 500;
/** Versions that may have been made by events that are lost: their numbers are not used again. */
const LOST_VERSIONS = 1_000;

export class EventLog {
  readonly #store: Store;
  readonly #retainedEvents: number;
  readonly #listener: EventLogListener;
  #position: LogPosition;
  #told: LoggedEvent | undefined;
  #reading: Promise<void> | undefined;
  #readAgain: Promise<void> | undefined;

  static async open(store: Store, retainedEvents: number, listener: EventLogListener): Promise<EventLog> {
    const position = await store.position();
    const { event } = await store.position(position.lastSeq);
    const log = new EventLog(store, retainedEvents, listener, position, event);
    store.onCommit(() => void log.refresh().catch(() => undefined));
    return log;
  }

  private constructor(
    store: Store,
    retainedEvents: number,
    listener: EventLogListener,
    position: LogPosition,
    told: LoggedEvent | undefined,
  ) {
    this.#store = store;
    this.#retainedEvents = retainedEvents;
    this.#listener = listener;
    this.#position = position;
    this.#told = told;
  }

  get log(): string {
    return this.#position.log;
  }

  /** The newest event that was told. */
  get lastSeq(): number {
    return this.#position.lastSeq;
  }

  get oldestSeq(): number {
    return this.#position.oldestSeq;
  }

  eventsAfter(seq: number, limit: number): Promise<LoggedEvent[]> {
    return this.#store.eventsAfter(seq, limit);
  }

  /** Events that this Core has just committed: told at once where none of another Core's is missing before them. */
  async committed(events: readonly LoggedEvent[]): Promise<void> {
    for (const event of events) {
      if (event.log === this.log && event.seq === this.lastSeq + 1) this.#tell(event);
      else if (event.log !== this.log || event.seq > this.lastSeq || this.#isOther(event)) return this.refresh();
    }
  }

  /**
   * Asks the store, and tells what is new. Resolves once everything is told that was committed before this call.
   *
   * @throws StoreUnavailable
   */
  refresh(): Promise<void> {
    if (this.#reading === undefined) {
      this.#reading = this.#read().finally(() => {
        this.#reading = undefined;
      });
      return this.#reading;
    }
    // The read under way may have begun before what this caller knows of was committed.
    this.#readAgain ??= this.#reading
      .catch(() => undefined)
      .then(() => {
        this.#readAgain = undefined;
        return this.refresh();
      });
    return this.#readAgain;
  }

  async #read(): Promise<void> {
    // As of before the question: what this Core commits meanwhile is newer than the answer.
    const { log, lastSeq } = this;
    // Both at once: a revocation of another Core waits for one answer of the store, not for two.
    const [found, page] = await Promise.all([this.#store.position(lastSeq), this.#store.eventsAfter(lastSeq, PAGE)]);
    if (found.log === log && (found.lastSeq < lastSeq || (found.event !== undefined && this.#isOther(found.event)))) {
      this.#listener.lostEvents({ told: lastSeq, found: found.lastSeq });
      await this.#beginHistory(log);
      return this.#read();
    }
    if (found.log !== log) {
      this.#position = found;
      this.#told = undefined;
      this.#listener.newHistory();
      return;
    }
    if (found.oldestSeq > this.lastSeq + 1) {
      // More was committed than is kept, unheard: streams fall back to what is kept, or are reset.
      this.#position = { ...found, lastSeq: found.oldestSeq - 1 };
    }
    // None of a history that began in between, and none after a hole.
    for (const event of page) if (event.log === log && event.seq === this.lastSeq + 1) this.#tell(event);
    while (this.lastSeq < found.lastSeq) {
      const events = await this.#store.eventsAfter(this.lastSeq, PAGE);
      if (events.length === 0) break;
      for (const event of events) if (event.seq > this.lastSeq) this.#tell(event);
    }
    this.#position = { ...this.#position, oldestSeq: Math.max(this.oldestSeq, found.oldestSeq) };
  }

  /** Whether an event bears the number of the one that was told last, and is not that. */
  #isOther(event: LoggedEvent): boolean {
    const told = this.#told;
    return told !== undefined && told.seq === event.seq && JSON.stringify(told) !== JSON.stringify(event);
  }

  /**
   * A failover to a standby that had not all of it: the numbers that were told are used again, for other events. Under another name of
   * the log every edge drops its leases, wherever it was in the old one; and no number of a version is given twice.
   */
  async #beginHistory(lost: string): Promise<void> {
    await this.#store.change(async (change) => {
      // Another Core may have been first.
      if ((await change.position()).log === lost) {
        await change.beginHistory(randomBytes(16).toString("hex"), LOST_VERSIONS);
      }
    });
  }

  #tell(event: LoggedEvent): void {
    this.#told = event;
    const { log, oldestSeq } = this.#position;
    this.#position = {
      log,
      lastSeq: event.seq,
      oldestSeq: Math.max(Math.min(oldestSeq, event.seq), event.seq - this.#retainedEvents + 1),
    };
    this.#listener.event(event);
  }
}
