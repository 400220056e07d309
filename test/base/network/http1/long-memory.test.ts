/** Memory of long bodies: whose it is, that nothing is left in it, and that it is given back. */
import { beforeEach, describe, expect, spyOn, test } from "bun:test";
import { longMemory as memory } from "../../../../src/base/network/http1/long-memory.ts";

beforeEach(() => {
  memory.kept.length = memory.keptBytes = 0;
});

const LONG = 300_000;
const isWiped = (buffer: Buffer): boolean => buffer.every((byte) => byte === 0);

describe("a long body's memory", () => {
  test("is used again once it was given, and holds nothing of the body before", async () => {
    const first = memory.take(LONG);
    first.fill("secret");
    const other = memory.take(LONG);
    expect(other.buffer).not.toBe(first.buffer);
    await memory.give(first);
    const again = memory.take(LONG - 1);
    expect(again.buffer).toBe(first.buffer);
    expect(isWiped(again)).toBe(true);
    expect(memory.keptBytes).toBe(0);
  });

  test("is nobody's while it is wiped", async () => {
    const first = memory.take(3_000_000);
    first.fill("secret");
    // Each look at the clock ends a slice.
    let nowMs = 0;
    using _ = spyOn(performance, "now").mockImplementation(() => nowMs++);
    const given = memory.give(first);
    expect(isWiped(first)).toBe(false);
    expect(memory.take(3_000_000).buffer).not.toBe(first.buffer);
    await given;
    expect(isWiped(first)).toBe(true);
    expect(memory.take(3_000_000).buffer).toBe(first.buffer);
  });

  test("is the smallest that is kept and long enough", async () => {
    const [large, small, middle] = [3 * LONG, LONG, 2 * LONG].map((length) => memory.take(length));
    for (const buffer of [large, small, middle]) await memory.give(buffer!);
    expect(memory.take(LONG + 1).buffer).toBe(middle!.buffer);
    expect(memory.take(LONG).buffer).toBe(small!.buffer);
    expect(memory.take(LONG).buffer).toBe(large!.buffer);
  });

  test("is kept up to a bound, and what is over goes back to the system", async () => {
    const buffers = Array.from({ length: 5 }, () => memory.take(8_000_000));
    for (const buffer of buffers) await memory.give(buffer.subarray(0, 1));
    expect(memory.keptBytes).toBe(16_000_000);
    expect(buffers.map(({ buffer }) => buffer.byteLength > 0)).toEqual([true, true, false, false, false]);
  });

  test("goes back to the system when none was used for a while, at once", async () => {
    const timers: { call: () => void; ms: number | undefined }[] = [];
    using timeout = spyOn(globalThis, "setTimeout");
    timeout.mockImplementation(((call: () => void, ms?: number) => {
      timers.push({ call, ms });
      return { unref() {} };
    }) as never);
    const buffers = [memory.take(LONG), memory.take(LONG)];
    for (const buffer of buffers) await memory.give(buffer.subarray(0, 1));
    expect(timers.map(({ ms }) => ms)).toEqual([2_000, 2_000]);
    timers.at(-1)!.call();
    expect(memory.keptBytes).toBe(0);
    for (const { buffer } of buffers) expect(buffer.byteLength).toBe(0);
    expect(memory.take(LONG)).toHaveLength(LONG);
  });
});

test("a short body has memory of its own", async () => {
  const short = memory.take(131_072);
  expect(short).toHaveLength(131_072);
  await memory.give(short);
  expect(memory.keptBytes).toBe(0);
});

test("given back by a part of it, it is wiped up to the part's end; a short one at once", async () => {
  const long = memory.take(LONG);
  long.fill("secret");
  void memory.give(long.subarray(1_000, LONG - 10));
  await new Promise((resolve) => setImmediate(resolve));
  const again = memory.take(LONG);
  expect(again.buffer).toBe(long.buffer);
  expect(isWiped(again.subarray(0, LONG - 10))).toBe(true);
  const short = memory.take(100);
  short.fill("secret");
  void memory.give(short);
  expect(isWiped(short)).toBe(true);
  expect(memory.keptBytes).toBe(0);
});
