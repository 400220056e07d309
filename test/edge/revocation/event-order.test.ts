/** What a number in the log says, and of whom. */
import { describe, expect, test } from "bun:test";
import type { RevocationEvent } from "../../../src/edge/revocation/revocation-transport.ts";
import { createWorld, heartbeat, LOG, restore, revoke, rotate, V3 } from "./world.ts";

/** Believes what it gets, so that a test can play a third party. */
const verifier = { verify: async (jws: string) => JSON.parse(jws) as RevocationEvent };

function createSignedWorld() {
  const world = createWorld({ verifier });
  const sign = (event: RevocationEvent, ageMs = 0): string =>
    JSON.stringify({ ...event, at: new Date(world.clock.wallMs() - ageMs).toISOString() });
  return { ...world, sign };
}

describe("the Core's own stream", () => {
  const reset = (seq: number): RevocationEvent => ({ ...heartbeat(seq), type: "reset", reason: "not retained" });

  test("that goes below what a reset said has gone back", () => {
    const { guard, control } = createWorld();
    const sink = guard.sink("core");
    for (const event of [heartbeat(9), reset(12)]) sink.deliver(event);
    expect(control.count("dropAll")).toBe(1);
    sink.deliver(heartbeat(12));
    expect(control.count("dropAll")).toBe(1);
    sink.deliver(heartbeat(11));
    expect(control.count("dropAll")).toBe(2);
    expect(guard.status().seq).toBe(11);
  });

  test("that goes below a reset at once has gone back too", () => {
    const { guard, control } = createWorld();
    const sink = guard.sink("core");
    for (const event of [heartbeat(9), reset(12), heartbeat(11)]) sink.deliver(event);
    expect(control.count("dropAll")).toBe(2);
    expect(guard.status().seq).toBe(11);
  });

  test("that has gone back to its beginning goes on there, whichever of two says so first", () => {
    const { guard, control } = createWorld();
    const [one, other] = [guard.sink("one"), guard.sink("other")];
    for (const sink of [one, other, one]) sink.deliver(heartbeat(9));
    one.deliver(heartbeat(0));
    expect(control.count("dropAll")).toBe(1);
    other.deliver(heartbeat(0));
    expect(control.count("dropAll")).toBe(1);
  });

  test("that is reset to before what was applied has gone back, and what is blocked stays so", () => {
    const { guard, control, lines } = createWorld();
    const sink = guard.sink("core");
    for (const event of [heartbeat(9), revoke(10, V3), reset(4)]) sink.deliver(event);
    expect(guard.isBlocked("t", "s", 3)).toBe(true);
    expect(guard.status().seq).toBe(4);
    expect(control.count("dropAll")).toBe(1);
    expect(lines.some((line) => line.includes("the event log has gone back"))).toBe(true);
  });

  test("that is reset to where it is may have lifted a block meanwhile: the Core's next answer decides", () => {
    const { guard } = createWorld();
    const sink = guard.sink("core");
    for (const event of [heartbeat(9), revoke(10, V3), reset(10)]) sink.deliver(event);
    expect(guard.isBlocked("t", "s", 3)).toBe(false);
  });

  test("is judged by what it said itself, not by what others signed", async () => {
    const { guard, control, sign } = createSignedWorld();
    const sink = guard.sink("core");
    sink.deliver(heartbeat(3));
    await sink.deliverSigned(sign(revoke(4, V3)));
    await sink.deliverSigned(sign(heartbeat(4)));
    sink.deliver(heartbeat(3));
    expect(control.count("dropAll")).toBe(0);
    sink.deliver(rotate(5, "x", "y", 2));
    sink.deliver(heartbeat(4));
    expect(control.count("dropAll")).toBe(1);
  });

  test("begins the edge's position, which is told", () => {
    const { guard, lines } = createWorld();
    guard.sink("core").deliver(heartbeat(3));
    expect(lines).toEqual([`info the edge has its position in the event log {"log":"${LOG}","seq":3}`]);
  });
});

describe("a signed event", () => {
  test("begins the edge's position up to ten seconds after it was made, or before by the Core's clock", async () => {
    for (const [ageMs, log] of [
      [10_000, LOG],
      [10_001, undefined],
      [-10_000, LOG],
      [-10_001, undefined],
    ] as const) {
      const { guard, sign } = createSignedWorld();
      await guard.sink("nats").deliverSigned(sign(revoke(1, V3), ageMs));
      expect(guard.status().log).toBe(log);
    }
  });

  test("that is repeated proves nothing about now; a newer one does, and a heartbeat", async () => {
    const { guard, clock, sign } = createSignedWorld();
    const sink = guard.sink("nats");
    const lastHeardMs = () => guard.status().transports[0]!.lastHeardMs;
    await sink.deliverSigned(sign(revoke(1, V3)));
    expect(lastHeardMs()).toBe(0);
    await clock.advance(5_000);
    await sink.deliverSigned(sign(revoke(1, V3)));
    expect(lastHeardMs()).toBe(5_000);
    await sink.deliverSigned(sign(restore(2, V3)));
    expect(lastHeardMs()).toBe(0);
    await clock.advance(5_000);
    await sink.deliverSigned(sign(heartbeat(2)));
    expect(lastHeardMs()).toBe(0);
    // Held back for long.
    await clock.advance(5_000);
    await sink.deliverSigned(sign(heartbeat(2), 10_001));
    expect(lastHeardMs()).toBe(5_000);
  });
});

test("a transport's lag is that of the newest event it brought, and nothing where it came at once", () => {
  const { guard, clock } = createWorld();
  const sink = guard.sink("core");
  const lagMs = () => guard.status().transports[0]!.lagMs;
  const at = (agoMs: number) => ({ at: new Date(clock.wallMs() - agoMs).toISOString() });
  expect(guard.status().transports[0]).toMatchObject({ lastHeardMs: undefined, lagMs: undefined });
  sink.deliver({ ...heartbeat(1), ...at(0) });
  expect(lagMs()).toBe(0);
  sink.deliver({ ...heartbeat(1), ...at(-500) });
  expect(lagMs()).toBe(0);
  sink.deliver({ ...revoke(4, V3), ...at(70) });
  expect(lagMs()).toBe(70);
  // Late, and not the newest.
  sink.deliver({ ...rotate(3, "x", "y", 2), ...at(900) });
  expect(lagMs()).toBe(70);
});

test("a stream that was not resumed anywhere may begin with the number 0", () => {
  const { guard, control } = createWorld();
  const sink = guard.sink("core");
  sink.connected();
  sink.deliver(heartbeat(0));
  expect(control.count("dropAll")).toBe(0);
});
