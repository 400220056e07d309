/**
 * The revocation stream's fan-out (core-protocol.md, "Revocations"): each event is made into bytes once and written to
 * every stream, at once, in the call that committed it.
 *
 * A stream that reads too slowly is not buffered for: it falls back to reading the log, in pages, at its own pace.
 */
import { ServerResponse } from "node:http";
import type { TlsResponse } from "../base/network/tls/server.ts";
import type { Clock, Timer } from "../base/time/clock.ts";
import { type CoreEvent, eventFrame, type LoggedEvent, parseEventId } from "./events.ts";

export interface EventLog {
  readonly log: string;
  readonly lastSeq: number;
  readonly oldestSeq: number;
  eventsAfter(seq: number, limit: number): LoggedEvent[];
}

export interface EventStreamOptions {
  readonly log: EventLog;
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
const BEATS_AT_ONCE = 64;
/** Frames kept in memory, so that many edges resuming at once read them from there. */
const RECENT_FRAMES = 4_096;

interface Stream {
  readonly edge: string;
  readonly response: TlsResponse;
  /** The newest event written to it. */
  seq: number;
  /** Whether it has all events and gets new ones as they are made. */
  live: boolean;
  /** When it was first found to take nothing. */
  stuckSinceMs: number | undefined;
}

export class EventStream {
  readonly #options: EventStreamOptions;
  readonly #streams = new Set<Stream>();
  readonly #streamsByEdge = new Map<string, number>();
  readonly #recent = new Map<number, Buffer>();
  #heartbeat: Timer | undefined;
  #slice: Timer | undefined;
  /** Those that this heartbeat is still to be written to. */
  #unbeaten: readonly Stream[] = [];

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

  /** Begins a stream on a response whose head is not sent yet, after `lastEventId` where one is given. */
  open(edge: string, response: TlsResponse, lastEventId: string | undefined): void {
    response.statusCode = 200;
    response.setHeader("content-type", "text/event-stream");
    response.setHeader("cache-control", "no-store");
    if (response instanceof ServerResponse) {
      // It ends with its connection (RFC 9112, 6.3): an event is one write then, where chunks are three.
      response.setHeader("connection", "close");
      response.removeHeader("transfer-encoding");
    }
    const { log } = this.#options;
    const stream: Stream = { edge, response, seq: log.lastSeq, live: false, stuckSinceMs: undefined };
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
    this.#streamsByEdge.set(edge, this.streamsOf(edge) + 1);
    response.once("close", () => this.#forget(stream));
    response.on("error", () => this.#forget(stream));
    response.on("drain", () => this.#feed(stream));
    for (const event of first) this.#write(stream, eventFrame(event));
    this.#feed(stream);
    // Where nothing was missed, this is how the edge learns that the stream is up and where the log stands.
    if (stream.live && first.length === 0) this.#write(stream, eventFrame(this.#heartbeatEvent()));
  }

  /** Tells a committed event to every stream. */
  tell(event: LoggedEvent): void {
    const frame = this.#frame(event);
    for (const stream of this.#streams) {
      if (!stream.live || stream.seq !== event.seq - 1) continue;
      stream.seq = event.seq;
      if (!this.#write(stream, frame)) stream.live = unsent(stream.response) < SLOW_BYTES;
    }
  }

  close(): void {
    this.#heartbeat?.cancel();
    this.#slice?.cancel();
    for (const stream of this.#streams) {
      this.#forget(stream);
      stream.response.end();
    }
  }

  #forget(stream: Stream): void {
    if (!this.#streams.delete(stream)) return;
    const left = this.streamsOf(stream.edge) - 1;
    if (left === 0) this.#streamsByEdge.delete(stream.edge);
    else this.#streamsByEdge.set(stream.edge, left);
  }

  /** Writes what a stream lacks, as far as it takes it. Synchronous up to live, so that no event falls between. */
  #feed(stream: Stream): void {
    const { log } = this.#options;
    while (!stream.live && this.#streams.has(stream)) {
      if (stream.seq < log.oldestSeq - 1) {
        stream.seq = log.lastSeq;
        this.#write(stream, eventFrame(this.#resetEvent("this stream fell out of the Core's retention")));
      }
      if (stream.seq >= log.lastSeq) {
        stream.live = true;
        return;
      }
      let flowing = true;
      for (const { seq, frame } of this.#framesAfter(stream.seq)) {
        stream.seq = seq;
        flowing = this.#write(stream, frame);
      }
      if (!flowing && unsent(stream.response) >= SLOW_BYTES) return;
    }
  }

  #framesAfter(seq: number): { seq: number; frame: Buffer }[] {
    const { log } = this.#options;
    const last = Math.min(log.lastSeq, seq + PAGE);
    const kept: { seq: number; frame: Buffer }[] = [];
    for (let next = seq + 1; next <= last; next++) {
      const frame = this.#recent.get(next);
      if (frame === undefined) {
        return log.eventsAfter(seq, PAGE).map((event) => ({ seq: event.seq, frame: this.#frame(event) }));
      }
      kept.push({ seq: next, frame });
    }
    return kept;
  }

  #frame(event: LoggedEvent): Buffer {
    const known = this.#recent.get(event.seq);
    if (known !== undefined) return known;
    const frame = eventFrame(event);
    this.#recent.set(event.seq, frame);
    if (this.#recent.size > RECENT_FRAMES) {
      for (const oldest of this.#recent.keys()) {
        this.#recent.delete(oldest);
        break;
      }
    }
    return frame;
  }

  #write({ response }: Stream, frame: Buffer): boolean {
    return (response as { write(frame: Buffer): boolean }).write(frame);
  }

  #beat(): void {
    // What a busy second has held up comes first.
    this.#slice?.cancel();
    this.#beatTo(this.#unbeaten);
    const streams = [...this.#streams];
    const pauseMs = this.#options.heartbeatMs / (Math.ceil(streams.length / BEATS_AT_ONCE) + 1);
    const beatFrom = (first: number): void => {
      const next = first + BEATS_AT_ONCE;
      this.#unbeaten = streams.slice(next);
      if (next < streams.length) this.#slice = this.#options.clock.schedule(pauseMs, () => beatFrom(next));
      this.#beatTo(streams.slice(first, next));
    };
    beatFrom(0);
    this.#options.onHeartbeat?.(this.#heartbeatEvent());
  }

  #beatTo(streams: readonly Stream[]): void {
    const frame = eventFrame(this.#heartbeatEvent());
    const nowMs = this.#options.clock.monotonicMs();
    for (const stream of streams) {
      if (!this.#streams.has(stream)) continue;
      const slow = unsent(stream.response) >= SLOW_BYTES;
      if (!slow) {
        stream.stuckSinceMs = undefined;
        if (!stream.live) this.#feed(stream);
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
      this.#beat();
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

function unsent(response: TlsResponse): number {
  return response.writableLength ?? 0;
}
