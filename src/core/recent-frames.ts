/** The newest events as frames, kept in memory: many edges that resume at once read them from here, and an event is made into bytes once. */
import { eventFrame, type LoggedEvent } from "./protocol/events.ts";

/** An event's bytes for the wire. */
export interface Frame {
  readonly seq: number;
  readonly frame: Buffer;
}

const FRAMES_MAX = 4_096;

export class RecentFrames {
  readonly #frames = new Map<number, Buffer>();

  /** Of an event that may be here already; kept, in the place of the oldest. */
  frameOf(event: LoggedEvent): Buffer {
    const known = this.#frames.get(event.seq);
    if (known !== undefined) return known;
    const frame = eventFrame(event);
    this.#frames.set(event.seq, frame);
    if (this.#frames.size > FRAMES_MAX) {
      for (const oldest of this.#frames.keys()) {
        this.#frames.delete(oldest);
        break;
      }
    }
    return frame;
  }

  /** Up to `count` frames after `seq`, up to `lastSeq`; undefined unless all of them are here. */
  after(seq: number, lastSeq: number, count: number): Frame[] | undefined {
    const last = Math.min(lastSeq, seq + count);
    const kept: Frame[] = [];
    for (let next = seq + 1; next <= last; next++) {
      const frame = this.#frames.get(next);
      if (frame === undefined) return undefined;
      kept.push({ seq: next, frame });
    }
    return kept;
  }

  clear(): void {
    this.#frames.clear();
  }
}
