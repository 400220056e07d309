import { expect, test } from "bun:test";
import type { CoreEvents } from "../../../src/edge/revocation/core-events.ts";
import { GapFiller } from "../../../src/edge/revocation/gap-filler.ts";
import { LogPosition } from "../../../src/edge/revocation/log-position.ts";
import { DEFAULT_LIMITS } from "../../../src/edge/revocation/revocation-guard.ts";
import type { RevocationEvent } from "../../../src/edge/revocation/revocation-transport.ts";
import { settle, VirtualClock } from "../../support/virtual-clock.ts";
import { heartbeat, LOG, revoke, V3 } from "./world.ts";

test("a gap that came while the Core was asked for its log is asked for after it, when the Core did not know of it yet", async () => {
  const clock = new VirtualClock();
  const position = new LogPosition(10);
  position.startAt(LOG, 5);
  const asked: ((event: RevocationEvent) => void)[] = [];
  const givenUp: string[] = [];
  const gaps = new GapFiller({
    clock,
    position,
    limits: DEFAULT_LIMITS,
    core: {
      follow(_lastEventId, onEvent) {
        asked.push(onEvent);
        return new Promise(() => {});
      },
    },
    onEvent() {},
    onGivenUp: (reason) => void givenUp.push(reason),
  });
  gaps.probe();
  position.newestSeq = 9;
  gaps.fillSoon();
  await clock.advance(DEFAULT_LIMITS.gapGraceMs);
  expect(asked).toHaveLength(1);
  asked[0]!(heartbeat(7));
  await settle();
  expect(gaps.isAtWork).toBe(true);
  await clock.advance(DEFAULT_LIMITS.gapGraceMs);
  expect(asked).toHaveLength(2);
  expect(givenUp).toEqual([]);
  // Now the Core knows of it, and does not send it.
  asked[1]!(heartbeat(9));
  await settle();
  expect(givenUp).toEqual(["the Core does not have them"]);
  gaps.close();
});

/** A filler whose streams the test holds, and that takes note of what it gives up. */
function start(withCore = true, applies = true) {
  const clock = new VirtualClock();
  const position = new LogPosition(10);
  position.startAt(LOG, 5);
  const streams: { say(event: RevocationEvent): void; fail(error: Error): void; signal: AbortSignal }[] = [];
  const givenUp: string[] = [];
  const events: number[] = [];
  const follow: CoreEvents["follow"] = (_lastEventId, say, signal) =>
    new Promise((_resolve, fail) => {
      streams.push({ say, fail, signal });
    });
  const gaps = new GapFiller({
    clock,
    position,
    limits: DEFAULT_LIMITS,
    core: withCore ? { follow } : undefined,
    onEvent(_transport, { type, seq }) {
      events.push(seq);
      position.newestSeq = Math.max(position.newestSeq, seq);
      if (type !== "heartbeat" && applies) position.appliedSeq = seq;
    },
    onGivenUp: (reason) => void givenUp.push(reason),
  });
  return { clock, position, streams, givenUp, events, gaps };
}

test("the Core is asked for its log no more often than every five seconds", async () => {
  const { clock, streams, gaps } = start();
  const answered = async (): Promise<number> => {
    gaps.probe();
    streams.at(-1)!.say(heartbeat(5));
    await settle();
    return streams.length;
  };
  expect(await answered()).toBe(1);
  await clock.advance(4_999);
  expect(await answered()).toBe(1);
  await clock.advance(1);
  expect(await answered()).toBe(2);
});

test("a question for the log that is not put, since the Core is being asked already, puts off no other", async () => {
  const { position, clock, streams, gaps } = start();
  position.newestSeq = 6;
  gaps.fillSoon();
  await clock.advance(DEFAULT_LIMITS.gapGraceMs);
  gaps.probe();
  streams[0]!.say(revoke(6, V3));
  await settle();
  expect(streams).toHaveLength(1);
  gaps.probe();
  expect(streams).toHaveLength(2);
});

test("the Core's word on its log is heard to its heartbeat, with every event before it", async () => {
  const { streams, events, gaps } = start();
  gaps.probe();
  for (const event of [revoke(6, V3), revoke(7, V3), heartbeat(7), revoke(8, V3)]) streams[0]!.say(event);
  await settle();
  expect(events).toEqual([6, 7, 7]);
  expect(streams[0]!.signal.aborted).toBe(true);
});

test("a gap is asked for up to what was known to be missing, and no further", async () => {
  const { position, clock, streams, events, givenUp, gaps } = start();
  position.newestSeq = 7;
  gaps.fillSoon();
  expect(gaps.isAtWork).toBe(true);
  await clock.advance(DEFAULT_LIMITS.gapGraceMs);
  expect(gaps.isAtWork).toBe(true);
  for (const event of [revoke(6, V3), revoke(7, V3), revoke(8, V3)]) streams[0]!.say(event);
  await settle();
  expect([events, givenUp, gaps.isAtWork, clock.pending]).toEqual([[6, 7], [], false, 0]);
});

test("what a lease vouches for is asked for after a second, is no gap meanwhile, and needs a Core", async () => {
  const { position, clock, streams, gaps } = start();
  position.hintedSeq = 6;
  gaps.hint();
  gaps.hint();
  expect([gaps.isAtWork, clock.pending]).toEqual([false, 1]);
  await clock.advance(999);
  expect(streams).toHaveLength(0);
  await clock.advance(1);
  expect(streams).toHaveLength(1);
  gaps.hint();
  streams[0]!.say(revoke(6, V3));
  await settle();
  expect([gaps.isAtWork, clock.pending, position.hintedSeq]).toEqual([false, 0, 0]);

  const alone = start(false);
  alone.position.hintedSeq = 6;
  alone.gaps.hint();
  expect(alone.clock.pending).toBe(0);
});

test("closing ends the call that is under way, gives nothing up, and begins nothing more", async () => {
  const { position, clock, streams, givenUp, gaps } = start();
  position.newestSeq = 7;
  gaps.fillSoon();
  await clock.advance(DEFAULT_LIMITS.gapGraceMs);
  gaps.close();
  await settle();
  gaps.fillSoon();
  gaps.probe();
  await clock.advance(10_000);
  expect([streams.length, streams[0]!.signal.aborted, givenUp, clock.pending]).toEqual([1, true, [], 0]);
});

test("a gap whose log was left while it was asked for is given up by nobody", async () => {
  const { position, clock, streams, givenUp, gaps } = start();
  position.newestSeq = 7;
  gaps.fillSoon();
  await clock.advance(DEFAULT_LIMITS.gapGraceMs);
  position.startAt("log-b", 1);
  position.newestSeq = 3;
  streams[0]!.fail(new Error("connection refused"));
  await settle();
  expect([givenUp, gaps.isAtWork]).toEqual([[], false]);
});

test("what the Core sends says nothing of how far its log goes, but for its heartbeat", async () => {
  const { position, clock, streams, givenUp, gaps } = start(true, false);
  position.newestSeq = 7;
  gaps.fillSoon();
  await clock.advance(DEFAULT_LIMITS.gapGraceMs);
  streams[0]!.say(revoke(7, V3));
  await settle();
  expect([givenUp, gaps.isAtWork]).toEqual([[], true]);
  streams[0]!.say(heartbeat(7));
  await settle();
  expect(givenUp).toEqual(["the Core does not have them"]);
});

test("a gap that is seen after the end starts no timer", () => {
  const { clock, gaps } = start();
  gaps.close();
  gaps.fillSoon();
  gaps.hint();
  expect(clock.pending).toBe(0);
});
