import { describe, expect, test } from "bun:test";
import { LogPosition } from "../../../src/edge/revocation/log-position.ts";
import type { RestoreEvent } from "../../../src/edge/revocation/revocation-transport.ts";
import { LOG, restore, V3 } from "./world.ts";

const restoreAt = (seq: number) => restore(seq, V3) as RestoreEvent;

function follow(position: LogPosition): number[] {
  const restored: number[] = [];
  position.closeUp(({ seq }) => restored.push(seq));
  return restored;
}

describe("what came out of order", () => {
  test("follows, each restore once and in its turn, when the missing event has come", () => {
    const position = new LogPosition(10);
    position.startAt(LOG, 1);
    position.addOutOfOrder(4, restoreAt(4));
    position.addOutOfOrder(3, restoreAt(3));
    expect(follow(position)).toEqual([]);
    position.appliedSeq = 2;
    expect(follow(position)).toEqual([3, 4]);
    expect(position.appliedSeq).toBe(4);
    position.appliedSeq = 2;
    expect(follow(position)).toEqual([]);
  });

  test("is of the log that was left, and lifts nothing in the next one", () => {
    const position = new LogPosition(10);
    position.startAt(LOG, 1);
    position.addOutOfOrder(3, restoreAt(3));
    position.startAt("log-b", 2);
    expect(position.isKnown(3)).toBe(false);
    expect(follow(position)).toEqual([]);
    expect(position.appliedSeq).toBe(2);
  });

  test("is given up with the gap before it: its restores come once, in order, and its room is free", () => {
    const position = new LogPosition(2);
    position.startAt(LOG, 1);
    position.newestSeq = 6;
    position.addOutOfOrder(6, restoreAt(6));
    position.addOutOfOrder(4, restoreAt(4));
    const { lastMissingSeq, restores } = position.skipMissing();
    expect(lastMissingSeq).toBe(5);
    expect(restores.map(({ seq }) => seq)).toEqual([4, 6]);
    expect(position).toMatchObject({ appliedSeq: 6, minLeaseSeq: 6 });
    position.newestSeq = 9;
    position.addOutOfOrder(8, undefined);
    position.addOutOfOrder(9, restoreAt(9));
    expect(position.isKnown(9)).toBe(true);
    expect(position.skipMissing()).toEqual({ lastMissingSeq: 7, restores: [restoreAt(9)] });
  });

  test("is remembered up to the limit, not beyond it", () => {
    const position = new LogPosition(2);
    position.startAt(LOG, 1);
    for (const seq of [3, 4, 5]) position.addOutOfOrder(seq, undefined);
    expect([3, 4, 5].map((seq) => position.isKnown(seq))).toEqual([true, true, false]);
  });
});

test("a log that was left is known as a former one, up to sixteen of them, and no more once it is back", () => {
  const position = new LogPosition(10);
  for (let index = 0; index <= 17; index++) position.startAt(`log-${index}`, 0);
  expect([0, 1, 16, 17].map((index) => position.isFormer(`log-${index}`))).toEqual([false, true, true, false]);
  // Where it is already, nothing is left.
  position.startAt("log-17", 4);
  expect(position.isFormer("log-1")).toBe(true);
  position.startAt("log-16", 0);
  expect([15, 16, 17].map((index) => position.isFormer(`log-${index}`))).toEqual([true, false, true]);
});

test("without a position nothing is known of any log", () => {
  const position = new LogPosition(10);
  expect(position).toMatchObject({ log: undefined, lastEventId: undefined, appliedSeq: 0 });
  expect(position).toMatchObject({ newestSeq: 0, hintedSeq: 0, minLeaseSeq: 0 });
});
