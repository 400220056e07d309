/** Reading what is missing from the Core: to its end, or until it is plain that nothing comes. */
import { expect, test } from "bun:test";
import { catchUp } from "../../../src/edge/revocation/catch-up.ts";
import type { RevocationEvent } from "../../../src/edge/revocation/revocation-transport.ts";
import { settle, VirtualClock } from "../../support/virtual-clock.ts";
import { heartbeat, revoke, V3 } from "./world.ts";

function start(closing = new AbortController()) {
  const clock = new VirtualClock();
  const delivered: number[] = [];
  const streams: { say(event: RevocationEvent): void; end(): void; fail(error: Error): void; signal: AbortSignal }[] =
    [];
  let outcome = "under way";
  catchUp({
    core: {
      follow: (_lastEventId, say, signal) =>
        new Promise((end, fail) => {
          streams.push({ say, end, fail, signal });
        }),
    },
    lastEventId: "log-a:1",
    deliver: ({ seq }) => delivered.push(seq),
    isLast: ({ type }) => type === "heartbeat",
    clock,
    timeoutMs: 900,
    signal: closing.signal,
  }).then(
    () => {
      outcome = "caught up";
    },
    (error: Error) => {
      outcome = error.message;
    },
  );
  return { clock, delivered, streams, closing, outcome: () => outcome };
}

test("ends with the last event, lets the connection go, and delivers nothing that still comes of it", async () => {
  const { clock, delivered, streams, outcome } = start();
  for (const event of [revoke(2, V3), heartbeat(2), revoke(3, V3)]) streams[0]!.say(event);
  await settle();
  expect([outcome(), delivered, streams[0]!.signal.aborted]).toEqual(["caught up", [2, 2], true]);
  expect(clock.pending).toBe(0);
});

test("is given up when the next event takes too long, however many came before", async () => {
  const { clock, delivered, streams, outcome } = start();
  await clock.advance(899);
  streams[0]!.say(revoke(2, V3));
  await clock.advance(899);
  expect(outcome()).toBe("under way");
  await clock.advance(1);
  expect(outcome()).toBe("nothing came from the Core for 900 ms");
  streams[0]!.say(revoke(3, V3));
  expect([delivered, streams[0]!.signal.aborted]).toEqual([[2], true]);
});

test("tells why the Core's stream ended early", async () => {
  const ended = start();
  ended.streams[0]!.end();
  const failed = start();
  failed.streams[0]!.fail(new Error("connection refused"));
  await settle();
  expect([ended.outcome(), failed.outcome()]).toEqual(["the Core ended the event stream", "connection refused"]);
});

test("stops with the guard, and asks nothing of the Core once it has stopped", async () => {
  const { streams, closing, outcome } = start();
  closing.abort();
  await settle();
  expect([outcome(), streams[0]!.signal.aborted]).toEqual(["stopped", true]);
  const late = start(closing);
  await settle();
  expect([late.outcome(), late.streams.length, late.clock.pending]).toEqual(["stopped", 0, 0]);
});
