import { expect, test } from "bun:test";
import { EventEmitter } from "node:events";
import { EventStream } from "../../src/core/event-stream.ts";
import type { HttpResponse } from "../../src/core/node-http.ts";
import type { LoggedEvent } from "../../src/core/protocol/events.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const LOG = "00112233445566778899aabbccddeeff";
const HEARTBEAT_MS = 1_000;
const STREAMS = 200;

/** A stream's other end: what was written to it, and when. */
class Reader extends EventEmitter {
  readonly frames: { readonly text: string; readonly atMs: number }[] = [];
  statusCode = 0;
  readonly #clock: VirtualClock;

  constructor(clock: VirtualClock) {
    super();
    this.#clock = clock;
  }

  setHeader(): void {}

  removeHeader(): void {}

  write(frame: Buffer): boolean {
    this.frames.push({ text: frame.toString(), atMs: this.#clock.monotonicMs() });
    return true;
  }

  end(): void {
    this.emit("close");
  }
}

async function openStreams() {
  const clock = new VirtualClock();
  const events: LoggedEvent[] = [];
  const stream = new EventStream({
    clock,
    heartbeatMs: HEARTBEAT_MS,
    log: {
      log: LOG,
      get lastSeq() {
        return events.length;
      },
      oldestSeq: 1,
      eventsAfter: async (seq, limit) => events.slice(seq, seq + limit),
      refresh: async () => undefined,
    },
  });
  const readers: Reader[] = [];
  for (let index = 0; index < STREAMS; index++) {
    const reader = new Reader(clock);
    await stream.open(`edge-${index}`, reader as unknown as HttpResponse, undefined);
    reader.frames.length = 0;
    readers.push(reader);
  }
  const revoke = (): void => {
    const seq = events.length + 1;
    const scope = { tenant: "tenant-a", service: "billing", version: 1 };
    const event = { type: "revoke", log: LOG, seq, at: "2026-01-01T00:00:00.000Z", ...scope } as LoggedEvent;
    events.push(event);
    stream.tell(event);
  };
  return { clock, stream, readers, revoke };
}

test("heartbeats go to at most 64 streams at a time, and to each stream once a second", async () => {
  const { clock, stream, readers } = await openStreams();
  await clock.advance(5.5 * HEARTBEAT_MS);
  for (const { frames } of readers) {
    expect(frames.length).toBeWithin(4, 6);
    for (const { text } of frames) expect(text).toContain('"type":"heartbeat"');
  }
  const atOnce = new Map<number, number>();
  for (const { atMs } of readers.flatMap(({ frames }) => frames)) atOnce.set(atMs, (atOnce.get(atMs) ?? 0) + 1);
  expect(Math.max(...atOnce.values())).toBe(64);
  stream.close();
});

test("a revocation between two lots of heartbeats is written to every stream at once, before the second lot", async () => {
  const { clock, stream, readers, revoke } = await openStreams();
  await clock.advance(HEARTBEAT_MS);
  const told = readers.filter(({ frames }) => frames.length === 1);
  expect(told).toHaveLength(64);
  revoke();
  for (const { frames } of readers) expect(frames.at(-1)!.text).toContain('"type":"revoke"');
  await clock.advance(HEARTBEAT_MS - 1);
  for (const { frames } of readers) {
    const types = frames.map(({ text }) => /"type":"([a-z]+)"/.exec(text)![1]!);
    expect(types.toSorted()).toEqual(["heartbeat", "revoke"]);
  }
  // What came after the revocation says so.
  const second = readers[STREAMS - 1]!.frames[1]!;
  expect(second.text).toContain('"type":"heartbeat"');
  expect(second.text).toContain('"seq":1');
  stream.close();
});

test("a stream that ended gets nothing more, the others their heartbeats", async () => {
  const { clock, stream, readers } = await openStreams();
  await clock.advance(HEARTBEAT_MS);
  readers[STREAMS - 1]!.emit("close");
  await clock.advance(HEARTBEAT_MS - 1);
  expect(readers[STREAMS - 1]!.frames).toEqual([]);
  expect(readers[STREAMS - 2]!.frames).toHaveLength(1);
  expect(stream.streams).toBe(STREAMS - 1);
  stream.close();
  expect(stream.streams).toBe(0);
});
