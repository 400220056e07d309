import { describe, expect, test } from "bun:test";
import { createCoreEvents } from "../../../src/edge/revocation/core-events.ts";
import { createCoreStream } from "../../../src/edge/revocation/core-stream.ts";
import type { RevocationEvent, RevocationSink } from "../../../src/edge/revocation/revocation-transport.ts";
import { settle, VirtualClock } from "../../support/virtual-clock.ts";
import { heartbeat, revoke, V3 } from "./world.ts";

/** A Core whose streams the test holds in its hands, and a sink that takes notes. */
/** How long the transport waits after each of so many failures in a row. */
async function waitsOf({ clock, streams }: ReturnType<typeof createStreamWorld>, failures: number): Promise<number[]> {
  const waits: number[] = [];
  for (let failure = 0; failure < failures; failure++) {
    const before = streams.length;
    streams.at(-1)?.fail("connection refused");
    let waited = 0;
    while (streams.length === before) {
      await clock.advance(50);
      waited += 50;
    }
    waits.push(waited);
  }
  return waits;
}

function createStreamWorld(random: () => number = () => 1) {
  const clock = new VirtualClock();
  const streams: {
    lastEventId: string | undefined;
    say(event: RevocationEvent): void;
    end(): void;
    fail(reason: string): void;
    signal: AbortSignal;
  }[] = [];
  const notes: string[] = [];
  let place: string | undefined;
  const sink: RevocationSink = {
    deliver(event) {
      notes.push(`${event.type} ${event.seq}`);
      place = `${event.log}:${event.seq}`;
    },
    deliverSigned: async () => {},
    confirmSigned: async () => ({ state: "applied" as const }),
    applyAuthority: () => ({ outcome: "full" as const }),
    connected: () => notes.push("connected"),
    disconnected: (reason) => notes.push(`disconnected: ${reason}`),
    resumeAfter: () => place,
  };
  const transport = createCoreStream({
    clock,
    random,
    core: {
      follow: (lastEventId, onEvent, signal) =>
        new Promise((resolve, reject) => {
          const fail = (reason: string): void => reject(new Error(reason));
          streams.push({ lastEventId, say: onEvent, end: resolve, fail, signal });
        }),
    },
  });
  return { clock, streams, notes, sink, transport };
}

describe("the Core's stream", () => {
  test("delivers what comes, and resumes after it when it ends", async () => {
    const { clock, streams, notes, sink, transport } = createStreamWorld();
    await transport.start(sink);
    expect(streams[0]?.lastEventId).toBeUndefined();
    streams[0]?.say(heartbeat(4));
    streams[0]?.say(revoke(5, V3));
    streams[0]?.end();
    await clock.advance(200);
    expect(streams[1]?.lastEventId).toBe("log-a:5");
    expect(notes).toEqual(["connected", "heartbeat 4", "revoke 5", "disconnected: the Core ended the stream"]);
    await transport.close();
  });

  test("is given up three and a half seconds, and a moment, after the last word, to the millisecond", async () => {
    const { clock, streams, notes, sink, transport } = createStreamWorld();
    await transport.start(sink);
    streams[0]?.say(heartbeat(0));
    await clock.advance(1);
    streams[0]?.say(heartbeat(0));
    await clock.advance(3_599);
    expect(notes.at(-1)).toBe("heartbeat 0");
    await clock.advance(1);
    expect(notes.at(-1)).toBe("disconnected: nothing came for 3500 ms");
    await transport.close();
  });

  test("is given up when no heartbeat comes, whatever the connection says, and asked for again", async () => {
    const { clock, streams, notes, sink, transport } = createStreamWorld();
    await transport.start(sink);
    streams[0]?.say(heartbeat(0));
    await clock.advance(3_000);
    streams[0]?.say(heartbeat(0));
    await clock.advance(3_599);
    expect(notes.at(-1)).toBe("heartbeat 0");
    await clock.advance(1);
    expect(notes.at(-1)).toBe("disconnected: nothing came for 3500 ms");
    expect(streams[0]?.signal.aborted).toBe(true);
    // What still trickles out of the old connection is not believed to be the new one's.
    streams[0]?.say(revoke(1, V3));
    expect(notes.at(-1)).toStartWith("disconnected");
    await clock.advance(200);
    expect(streams).toHaveLength(2);
    await transport.close();
  });

  test("may take its time to begin, so that a fleet that comes back does not give up and begin again for ever", async () => {
    const { clock, streams, notes, sink, transport } = createStreamWorld();
    await transport.start(sink);
    await clock.advance(15_000);
    expect(notes).toEqual([]);
    streams[0]?.say(heartbeat(0));
    await clock.advance(3_000);
    expect(notes).toEqual(["connected", "heartbeat 0"]);
    await transport.close();

    const hanging = createStreamWorld();
    await hanging.transport.start(hanging.sink);
    await hanging.clock.advance(15_100);
    expect(hanging.notes).toEqual(["disconnected: nothing came for 15000 ms"]);
    await hanging.transport.close();
  });

  test("is not given up when it was this process that was held up, and the heartbeat lies waiting", async () => {
    const { clock, streams, notes, sink, transport } = createStreamWorld();
    await transport.start(sink);
    streams[0]?.say(heartbeat(0));
    await clock.advance(3_500);
    streams[0]?.say(heartbeat(1));
    // Held up again: it has the same moment again.
    await clock.advance(3_500);
    streams[0]?.say(heartbeat(2));
    await clock.advance(3_000);
    expect(notes).toEqual(["connected", "heartbeat 0", "heartbeat 1", "heartbeat 2"]);
    await transport.close();
  });

  test("backs off from a Core that is down, up to ten seconds, and begins anew once it was heard", async () => {
    const world = createStreamWorld();
    const { clock, streams, sink, transport } = world;
    await transport.start(sink);
    expect(await waitsOf(world, 8)).toEqual([400, 800, 1_600, 3_200, 6_400, 10_000, 10_000, 10_000]);
    streams.at(-1)?.say(heartbeat(0));
    streams.at(-1)?.fail("gone");
    await clock.advance(200);
    expect(streams).toHaveLength(10);
    await transport.close();
  });

  test("spreads those who back off together over the whole of each wait", async () => {
    for (const share of [0.25, 0.5]) {
      const world = createStreamWorld(() => share);
      const { sink, transport } = world;
      await transport.start(sink);
      expect(await waitsOf(world, 3)).toEqual([400, 800, 1_600].map((most) => most * share));
      await transport.close();
    }
  });

  test("delivers nothing after close, leaves no timer, and may be closed twice", async () => {
    const { clock, streams, notes, sink, transport } = createStreamWorld();
    await transport.start(sink);
    streams[0]?.say(heartbeat(0));
    await transport.close();
    await transport.close();
    streams[0]?.say(revoke(1, V3));
    await settle();
    expect(notes).toEqual(["connected", "heartbeat 0"]);
    expect(streams[0]?.signal.aborted).toBe(true);
    expect(clock.pending).toBe(0);
  });

  test("leaves out what can't be read, so that it shows as a hole, and goes on", async () => {
    const unreadable: string[] = [];
    const events = createCoreEvents(
      {
        async revocations(_lastEventId, { onMessage }) {
          onMessage({ data: JSON.stringify(revoke(1, V3)) });
          onMessage({ data: "{" });
          onMessage({ data: JSON.stringify({ ...revoke(2, V3), state: "fine" }) });
          onMessage({ data: JSON.stringify(revoke(3, V3)) });
        },
      },
      (reason) => unreadable.push(reason),
    );
    const seqs: number[] = [];
    await events.follow(undefined, ({ seq }) => seqs.push(seq), new AbortController().signal);
    expect(seqs).toEqual([1, 3]);
    expect(unreadable).toHaveLength(2);
  });
});
