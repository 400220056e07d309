/**
 * The revocation stream's fan-out (core-protocol.md, "Revocations"): each event is made into bytes once and written to
 * every stream, at once, in the call that this Core learnt of it in.
 *
 * A stream that reads too slowly is not buffered for: it falls back to reading the log, in pages, at its own pace. A heartbeat
 * vouches for the log's newest number, so none is sent while the store can't be asked: edges then look for another Core.
 */

import type { Clock, Timer } from "../base/time/clock.ts";
import { beginEventStream } from "./answers.ts";
import type { HttpResponse } from "./node-http.ts";
import { type CoreEvent, eventFrame, type LoggedEvent, parseEventId } from "./protocol/events.ts";
import { type Frame, RecentFrames } from "./recent-frames.ts";

/** What a stream reads of the event log. */
export interface EventLogReader {
  readonly log: string;
  readonly lastSeq: number;
  readonly oldestSeq: number;
  eventsAfter(seq: number, limit: number): Promise<LoggedEvent[]>;
  /** Asks the store; what is new is told first. Rejects where it can't be asked. */
  refresh(): Promise<void>;
}

export interface EventStreamOptions {
  readonly log: EventLogReader;
  readonly clock: Clock;
  readonly heartbeatMs: number;
  /** Called with each heartbeat, for the publishers. */
  readonly onHeartbeat?: (event: CoreEvent) => void;
}

/** Above this many unsent bytes a stream is fed from the log instead. */
const SLOW_BYTES = 256 * 1024;
/** A stream that takes nothing for this long is cut: its edge comes back and resumes. */
const STUCK_MS = 30_000;
const PAGE = 500;
/** Heartbeats written at one go, in about a millisecond: a revocation never waits behind those of the whole fleet. */
const HEARTBEATS_AT_ONCE = 64;

interface Stream {
  readonly edge: string;
  readonly response: HttpResponse;
  /** The newest event written to it. */
  seq: number;
  /** Whether it has all events and gets new ones as they are made. */
  live: boolean;
  /** Whether it is being fed from the log. */
  feeding: boolean;
  /** When it was first found to take nothing. */
  stuckSinceMs: number | undefined;
}

export class EventStream {
  readonly #options: EventStreamOptions;
  readonly #streams = new Set<Stream>();
  readonly #streamsByEdge = new Map<string, number>();
  readonly #recent = new RecentFrames();
  #heartbeat: Timer | undefined;
  #slice: Timer | undefined;
  #closed = false;
  /** Those that this heartbeat is still to be written to. */
  #awaitingHeartbeat: readonly Stream[] = [];

  constructor(options: EventStreamOptions) {
    this.#options = options;
    this.#scheduleHeartbeat();
  }

  get streams(): number {
    return this.#streams.size;
  }

  get unsentBytes(): number {
    let bytes = 0;
    for (const stream of this.#streams) bytes += unsent(stream.response);
    return bytes;
  }

  /** How many streams an edge holds. */
  streamsOf(edge: string): number {
    return this.#streamsByEdge.get(edge) ?? 0;
  }

  /** By edge, the newest event written to its stream that is furthest behind. */
  places(): ReadonlyMap<string, number> {
    const places = new Map<string, number>();
    for (const { edge, seq } of this.#streams) places.set(edge, Math.min(places.get(edge) ?? seq, seq));
    return places;
  }

  /**
   * Begins a stream on a response whose head is not sent yet, after `lastEventId` where one is given.
   *
   * @throws StoreUnavailable where the log's newest number can't be vouched for; nothing was sent then
   */
  async open(edge: string, response: HttpResponse, lastEventId: string | undefined): Promise<void> {
    // Counted from here: many that come at once must not pass the limit together.
    this.#count(edge, 1);
    try {
      // The id may be of an event that another Core has told and this one has not heard of yet.
      await this.#options.log.refresh();
    } catch (error) {
      this.#count(edge, -1);
      throw error;
    }
    if (response.destroyed || this.#closed) return this.#count(edge, -1);
    beginEventStream(response);
    const { log } = this.#options;
    const stream: Stream = { edge, response, seq: log.lastSeq, live: false, feeding: false, stuckSinceMs: undefined };
    const place = lastEventId === undefined ? undefined : parseEventId(lastEventId);
    const first: CoreEvent[] = [];
    if (lastEventId === undefined) {
      first.push(this.#heartbeatEvent());
    } else if (place === undefined || place.log !== log.log) {
      first.push(this.#resetEvent("the id asked for is of another event log"));
    } else if (place.seq > log.lastSeq) {
      first.push(this.#resetEvent("the id asked for is ahead of this event log"));
    } else if (place.seq < log.oldestSeq - 1) {
      first.push(this.#resetEvent("the id asked for is out of this Core's retention"));
    } else {
      stream.seq = place.seq;
    }
    this.#streams.add(stream);
    response.once("close", () => this.#forget(stream));
    response.on("error", () => this.#forget(stream));
    response.on("drain", () => void this.#feed(stream));
    for (const event of first) this.#write(stream, eventFrame(event));
    // Where nothing was missed, this is how the edge learns that the stream is up and where the log stands.
    if (first.length === 0 && stream.seq === log.lastSeq) this.#write(stream, eventFrame(this.#heartbeatEvent()));
    void this.#feed(stream);
  }

  /** The store has another history: what streams were told before is of the old one. */
  newHistory(): void {
    this.#recent.clear();
    for (const stream of this.#streams) {
      stream.seq = this.#options.log.lastSeq;
      this.#write(stream, eventFrame(this.#resetEvent("this Core's event log is another one now")));
    }
  }

  /** Tells a committed event to every stream. */
  tell(event: LoggedEvent): void {
    const frame = this.#recent.frameOf(event);
    for (const stream of this.#streams) {
      if (!stream.live || stream.seq >= event.seq) continue;
      if (stream.seq !== event.seq - 1) {
        stream.live = false;
        void this.#feed(stream);
        continue;
      }
      stream.seq = event.seq;
      if (!this.#write(stream, frame)) stream.live = unsent(stream.response) < SLOW_BYTES;
    }
  }

  close(): void {
    this.#closed = true;
    this.#heartbeat?.cancel();
    this.#slice?.cancel();
    for (const stream of this.#streams) {
      this.#forget(stream);
      stream.response.end();
    }
  }

  #forget(stream: Stream): void {
    if (!this.#streams.delete(stream)) return;
    this.#count(stream.edge, -1);
  }

  #count(edge: string, change: 1 | -1): void {
    const count = this.streamsOf(edge) + change;
    if (count === 0) this.#streamsByEdge.delete(edge);
    else this.#streamsByEdge.set(edge, count);
  }

  /** Writes what a stream lacks, as far as it takes it. Synchronous from the last page up to live: no event falls between. */
  async #feed(stream: Stream): Promise<void> {
    if (stream.feeding || stream.live) return;
    const { log } = this.#options;
    stream.feeding = true;
    try {
      while (this.#streams.has(stream)) {
        if (stream.seq < log.oldestSeq - 1) {
          stream.seq = log.lastSeq;
          this.#write(stream, eventFrame(this.#resetEvent("this stream fell out of the Core's retention")));
        }
        if (stream.seq >= log.lastSeq) {
          stream.live = true;
          return;
        }
        const from = stream.seq;
        const frames = this.#recent.after(from, log.lastSeq, PAGE) ?? (await this.#readAfter(from));
        // A new history has moved the stream meanwhile.
        if (stream.seq !== from) continue;
        // The store has less than it said: another history, which the next heartbeat finds.
        if (frames.length === 0) return;
        let flowing = true;
        for (const { seq, frame } of frames) {
          stream.seq = seq;
          flowing = this.#write(stream, frame);
        }
        if (!flowing && unsent(stream.response) >= SLOW_BYTES) return;
      }
    } catch {
      // The store is away: the next heartbeat that it vouches for goes on.
    } finally {
      stream.feeding = false;
    }
  }

  async #readAfter(seq: number): Promise<Frame[]> {
    const { log } = this.#options;
    const events = await log.eventsAfter(seq, PAGE);
    // What was committed and is not told yet comes by `tell`, in order.
    return events
      .filter((event) => event.seq <= log.lastSeq)
      .map((event) => ({ seq: event.seq, frame: this.#recent.frameOf(event) }));
  }

  #write({ response }: Stream, frame: Buffer): boolean {
    return (response as { write(frame: Buffer): boolean }).write(frame);
  }

  #sendHeartbeats(): void {
    // What a busy second has held up comes first.
    this.#slice?.cancel();
    this.#sendHeartbeatTo(this.#awaitingHeartbeat);
    const streams = [...this.#streams];
    const pauseMs = this.#options.heartbeatMs / (Math.ceil(streams.length / HEARTBEATS_AT_ONCE) + 1);
    const sendFrom = (first: number): void => {
      const next = first + HEARTBEATS_AT_ONCE;
      this.#awaitingHeartbeat = streams.slice(next);
      if (next < streams.length) this.#slice = this.#options.clock.schedule(pauseMs, () => sendFrom(next));
      this.#sendHeartbeatTo(streams.slice(first, next));
    };
    sendFrom(0);
    this.#options.onHeartbeat?.(this.#heartbeatEvent());
  }

  #sendHeartbeatTo(streams: readonly Stream[]): void {
    const frame = eventFrame(this.#heartbeatEvent());
    const nowMs = this.#options.clock.monotonicMs();
    for (const stream of streams) {
      if (!this.#streams.has(stream)) continue;
      const slow = unsent(stream.response) >= SLOW_BYTES;
      if (!slow) {
        stream.stuckSinceMs = undefined;
        if (!stream.live) void this.#feed(stream);
        if (stream.live) this.#write(stream, frame);
      } else {
        stream.stuckSinceMs ??= nowMs;
        if (nowMs - stream.stuckSinceMs > STUCK_MS) stream.response.destroy();
      }
    }
  }

  #scheduleHeartbeat(): void {
    this.#heartbeat = this.#options.clock.schedule(this.#options.heartbeatMs, () => {
      this.#scheduleHeartbeat();
      void this.#options.log.refresh().then(
        () => this.#closed || this.#sendHeartbeats(),
        // Nobody can vouch for the log: no heartbeat.
        () => undefined,
      );
    });
  }

  #heartbeatEvent(): CoreEvent {
    const { log, lastSeq } = this.#options.log;
    return { type: "heartbeat", log, seq: lastSeq, at: this.#at() };
  }

  #resetEvent(reason: string): CoreEvent {
    const { log, lastSeq } = this.#options.log;
    return { type: "reset", log, seq: lastSeq, at: this.#at(), reason };
  }

  #at(): string {
    return new Date(this.#options.clock.wallMs()).toISOString();
  }
}

function unsent(response: HttpResponse): number {
  return response.writableLength ?? 0;
}
