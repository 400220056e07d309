/** A copy of what another place says: when it is read again, and who waits for that. */
import { expect, test } from "bun:test";
import { KeptCopy } from "../../../src/base/time/kept-copy.ts";
import { settle, VirtualClock } from "../../support/virtual-clock.ts";

function createWorld(usedForMs?: number) {
  const clock = new VirtualClock();
  const readings: PromiseWithResolvers<string>[] = [];
  const copy = new KeptCopy<string>({
    clock,
    read() {
      const reading = Promise.withResolvers<string>();
      readings.push(reading);
      return reading.promise;
    },
    refreshAfterMs: 100,
    waitAfterMs: 200,
    retryAfterMs: 10,
    ...(usedForMs === undefined ? {} : { usedForMs }),
  });
  const answer = async (text: string): Promise<void> => {
    readings.at(-1)!.resolve(text);
    await settle();
  };
  const fail = async (): Promise<void> => {
    readings.at(-1)!.reject(new Error("away"));
    await settle();
  };
  return { clock, readings, copy, answer, fail };
}

async function withFirst(usedForMs?: number) {
  const world = createWorld(usedForMs);
  const first = world.copy.get();
  await world.answer("first");
  expect(await first).toBe("first");
  return world;
}

test("all who come first wait for one reading", async () => {
  const { readings, copy, answer } = createWorld();
  const both = [copy.get(), copy.get()];
  await answer("first");
  expect(await Promise.all(both)).toEqual(["first", "first"]);
  expect(readings).toHaveLength(1);
});

test("is given at once while it is fresh, then while it is read again, and then what was read", async () => {
  const { clock, readings, copy, answer } = await withFirst();
  await clock.advance(99);
  expect([copy.get(), readings.length]).toEqual(["first", 1]);
  await clock.advance(1);
  expect([copy.get(), copy.get(), readings.length]).toEqual(["first", "first", 2]);
  await answer("second");
  expect([copy.get(), readings.length]).toEqual(["second", 2]);
});

test("is waited for once it is too old, but not after a reading that has failed: then it is read beside those who come", async () => {
  const { clock, readings, copy, answer, fail } = await withFirst();
  await clock.advance(200);
  const waiting = copy.get();
  expect(waiting).toBeInstanceOf(Promise);
  await fail();
  expect(await waiting).toBe("first");
  expect(copy.failure).toEqual(new Error("away"));
  await clock.advance(9);
  expect([copy.get(), readings.length]).toEqual(["first", 2]);
  await clock.advance(1);
  expect([copy.get(), readings.length]).toEqual(["first", 3]);
  await answer("third");
  expect([copy.get(), copy.failure]).toEqual(["third", undefined]);
});

test("is given no longer than it may be used, and the failure is told", async () => {
  const { clock, readings, copy, answer, fail } = await withFirst(300);
  await clock.advance(299);
  const last = copy.get();
  await fail();
  expect(await last).toBe("first");
  await clock.advance(1);
  await expect(copy.get() as Promise<string>).rejects.toThrow("away");
  expect(readings).toHaveLength(2);
  await clock.advance(9);
  const next = copy.get();
  await answer("third");
  expect(await next).toBe("third");
});

test("is read again for what it lacks, but not each time", async () => {
  const { clock, readings, copy, answer, fail } = await withFirst();
  await copy.renew();
  expect(readings).toHaveLength(1);
  await clock.advance(10);
  const renewing = copy.renew();
  await answer("second");
  await renewing;
  expect(copy.get()).toBe("second");
  await clock.advance(10);
  const failing = copy.renew();
  await fail();
  await failing;
  expect(copy.get()).toBe("second");
});

test("that has expired is read anew, and what was asked for before counts no more", async () => {
  const { clock, readings, copy, fail } = await withFirst();
  await clock.advance(100);
  expect(copy.get()).toBe("first");
  copy.expire();
  const waiting = copy.get();
  expect(waiting).toBeInstanceOf(Promise);
  expect(readings).toHaveLength(3);
  readings[1]!.resolve("asked before");
  await settle();
  readings[2]!.resolve("asked since");
  expect(await waiting).toBe("asked since");
  copy.expire();
  const failing = copy.get();
  await fail();
  expect(await failing).toBe("asked since");
});

test("that expires while it is read for the first time is read once more", async () => {
  const { readings, copy } = createWorld();
  const waiting = copy.get();
  copy.expire();
  readings[0]!.resolve("asked before");
  await settle();
  readings[1]!.resolve("asked since");
  expect(await waiting).toBe("asked since");
});
