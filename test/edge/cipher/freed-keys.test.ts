/** When freed keys are overwritten, and in how many steps. What it is for: residue.test.ts. */
import { describe, expect, test } from "bun:test";
import { createFreedKeyOverwriter, overwriteFreedKeys } from "../../../src/edge/cipher/freed-keys.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

/** The lengths of the blocks that are taken from the heap while it runs. */
async function blocksTaken(run: () => unknown): Promise<number[]> {
  const real = globalThis.ArrayBuffer;
  const lengths: number[] = [];
  globalThis.ArrayBuffer = new Proxy(real, {
    construct(target, given) {
      lengths.push(given[0] as number);
      return Reflect.construct(target, given);
    },
  });
  try {
    await run();
  } finally {
    globalThis.ArrayBuffer = real;
  }
  return lengths;
}

const count = async (run: () => unknown): Promise<number> => (await blocksTaken(run)).length;

test("every free block of a key's size is taken, at one go when asked to", async () => {
  const lengths = await blocksTaken(overwriteFreedKeys);
  expect(lengths).toHaveLength(65_536);
  expect(new Set(lengths)).toEqual(new Set([32]));
});

describe("after a session has ended", () => {
  test("the blocks are taken a quarter of a second later, 4,096 at a time with a pause between, and then no more", async () => {
    const clock = new VirtualClock();
    createFreedKeyOverwriter(clock)();
    expect(await count(() => clock.advance(249))).toBe(0);
    expect(await count(() => clock.advance(1))).toBe(4_096);
    expect(await count(() => clock.advance(1))).toBe(4_096);
    expect(await count(() => clock.advance(13))).toBe(13 * 4_096);
    expect(await count(() => clock.advance(1))).toBe(4_096);
    expect(clock.pending).toBe(0);
  });

  test("further ones wait for two seconds from the last beginning, and are served together", async () => {
    const clock = new VirtualClock();
    const sessionEnded = createFreedKeyOverwriter(clock);
    sessionEnded();
    sessionEnded();
    expect(clock.pending).toBe(1);
    expect(await count(() => clock.advance(300))).toBe(65_536);
    sessionEnded();
    sessionEnded();
    expect(clock.pending).toBe(1);
    // It began at 250: the next begins at 2,250.
    expect(await count(() => clock.advance(1_949))).toBe(0);
    expect(await count(() => clock.advance(1))).toBe(4_096);
    await clock.advance(10_000);
    sessionEnded();
    expect(await count(() => clock.advance(249))).toBe(0);
    expect(await count(() => clock.advance(1))).toBe(4_096);
  });
});

test("edges of one process share one overwriter, since the free blocks are the process's", () => {
  const clock = new VirtualClock();
  expect(createFreedKeyOverwriter(clock)).toBe(createFreedKeyOverwriter(clock));
  expect(createFreedKeyOverwriter(new VirtualClock())).not.toBe(createFreedKeyOverwriter(clock));
});
