import { describe, expect, test } from "bun:test";
import { Deadline, type DeadlineCause, withDeadline } from "../../../src/base/time/deadline.ts";
import { settle, VirtualClock } from "../../support/virtual-clock.ts";

function world(timeoutMs = 100, signal?: AbortSignal) {
  const clock = new VirtualClock();
  const causes: DeadlineCause[] = [];
  const deadline = new Deadline({ clock, timeoutMs, signal, onOver: (cause) => causes.push(cause) });
  return { clock, causes, deadline };
}

describe("a deadline", () => {
  test("is over at its time, once", async () => {
    const { clock, causes, deadline } = world();
    await clock.advance(99);
    expect(causes).toEqual([]);
    await clock.advance(1);
    expect(causes).toEqual(["timeout"]);
    expect(deadline.settled).toBe(true);
    expect(deadline.settle()).toBe(false);
    deadline.extend();
    await clock.advance(1_000);
    expect(causes).toEqual(["timeout"]);
    expect(clock.pending).toBe(0);
  });

  test("settled in time leaves neither timer nor listener, and only the first word counts", async () => {
    const abort = new AbortController();
    const { clock, causes, deadline } = world(100, abort.signal);
    expect(deadline.settle()).toBe(true);
    expect(deadline.settle()).toBe(false);
    expect(clock.pending).toBe(0);
    abort.abort();
    await clock.advance(1_000);
    expect(causes).toEqual([]);
  });

  test("ends with its signal, at once where that has aborted before", () => {
    const abort = new AbortController();
    const { clock, causes } = world(100, abort.signal);
    abort.abort();
    expect(causes).toEqual(["aborted"]);
    expect(clock.pending).toBe(0);
    expect(world(100, AbortSignal.abort()).causes).toEqual(["aborted"]);
  });

  test("begins anew when something is heard", async () => {
    const { clock, causes, deadline } = world();
    await clock.advance(90);
    deadline.extend();
    await clock.advance(90);
    expect(causes).toEqual([]);
    deadline.extend(500);
    await clock.advance(499);
    expect(causes).toEqual([]);
    await clock.advance(1);
    expect(causes).toEqual(["timeout"]);
  });
});

describe("timed work", () => {
  const errorFor = (cause: DeadlineCause): Error => new Error(cause);

  test("gives its value, and what it throws", async () => {
    const clock = new VirtualClock();
    expect(await withDeadline({ clock, timeoutMs: 10, errorFor, work: async () => 7 })).toBe(7);
    const failing = withDeadline({ clock, timeoutMs: 10, errorFor, work: () => Promise.reject(new Error("no")) });
    expect(failing).rejects.toThrow("no");
    const throwing = withDeadline({
      clock,
      timeoutMs: 10,
      errorFor,
      work: () => {
        throw new Error("at once");
      },
    });
    expect(throwing).rejects.toThrow("at once");
    await settle();
    expect(clock.pending).toBe(0);
  });

  test("is told to stop at its time, and what it gives later is let go of", async () => {
    const clock = new VirtualClock();
    const { promise, resolve } = Promise.withResolvers<string>();
    let told: unknown;
    const discarded: string[] = [];
    const timed = withDeadline({
      clock,
      timeoutMs: 10,
      errorFor,
      work(signal) {
        signal.addEventListener("abort", () => {
          told = signal.reason;
        });
        return promise;
      },
      discard: (late) => discarded.push(late),
    });
    const failure = timed.catch((error: Error) => error.message);
    await clock.advance(10);
    expect(await failure).toBe("timeout");
    expect((told as Error).message).toBe("timeout");
    resolve("late");
    await settle();
    expect(discarded).toEqual(["late"]);
  });

  test("does not begin under a signal that has aborted", async () => {
    let begun = false;
    const timed = withDeadline({
      clock: new VirtualClock(),
      timeoutMs: 10,
      signal: AbortSignal.abort(),
      errorFor,
      work: async () => {
        begun = true;
      },
    });
    expect(timed).rejects.toThrow("aborted");
    await settle();
    expect(begun).toBe(false);
  });
});
