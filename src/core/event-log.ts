/**
 * This Core's place in the event log: told of every event once and in order, whichever Core committed it. What the store
 * says counts; a notification is only a reason to ask it.
 */
import type { LoggedEvent } from "./protocol/events.ts";
import type { LogPosition, Store } from "./store/store.ts";

export interface EventLogListener {
  /** Each event once, in order, after its commit. Synchronous; never throws. */
  event(event: LoggedEvent): void;
  /** The store has another history (it was restored): what was known of the log counts no more. */
  newHistory(): void;
}

const PAGE = 500;

export class EventLog {
  readonly #store: Store;
  readonly #retainedEvents: number;
  readonly #listener: EventLogListener;
  #position: LogPosition;
  #reading: Promise<void> | undefined;
  #readAgain: Promise<void> | undefined;

  static async open(store: Store, retainedEvents: number, listener: EventLogListener): Promise<EventLog> {
    const log = new EventLog(store, retainedEvents, listener, await store.position());
    store.onCommit(() => void log.refresh().catch(() => undefined));
    return log;
  }

  private constructor(store: Store, retainedEvents: number, listener: EventLogListener, position: LogPosition) {
    this.#store = store;
    this.#retainedEvents = retainedEvents;
    this.#listener = listener;
    this.#position = position;
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
      else if (event.log !== this.log || event.seq > this.lastSeq) return this.refresh();
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
    const found = await this.#store.position();
    if (found.log !== this.log || found.lastSeq < this.lastSeq) {
      this.#position = found;
      this.#listener.newHistory();
      return;
    }
    if (found.oldestSeq > this.lastSeq + 1) {
      // More was committed than is kept, unheard: streams fall back to what is kept, or are reset.
      this.#position = { ...found, lastSeq: found.oldestSeq - 1 };
    }
    while (this.lastSeq < found.lastSeq) {
      const events = await this.#store.eventsAfter(this.lastSeq, PAGE);
      if (events.length === 0) break;
      for (const event of events) if (event.seq > this.lastSeq) this.#tell(event);
    }
    this.#position = { ...this.#position, oldestSeq: Math.max(this.oldestSeq, found.oldestSeq) };
  }

  #tell(event: LoggedEvent): void {
    const { log, oldestSeq } = this.#position;
    this.#position = {
      log,
      lastSeq: event.seq,
      oldestSeq: Math.max(Math.min(oldestSeq, event.seq), event.seq - this.#retainedEvents + 1),
    };
    this.#listener.event(event);
  }
}
