import { beforeEach, expect, test } from "bun:test";
import {
  isTurnUsed,
  roomFor,
  turnFor,
  useComingTurn,
  useTurn,
  whenTurnHasRoom,
  yieldToEventLoop,
} from "../../../src/base/time/turns.ts";

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

beforeEach(nextTurn);

test("a turn of the event loop has one slice of all that wait, and each of them comes to its end", async () => {
  let inThisTurn = 0;
  let most = 0;
  let ended = 0;
  const work = async (): Promise<void> => {
    for (let slice = 0; slice < 5; slice++) {
      await yieldToEventLoop();
      most = Math.max(most, ++inThisTurn);
    }
    ended++;
  };
  const all = Array.from({ length: 100 }, work);
  for (let turn = 0; ended < all.length && turn < 1_000; turn++) {
    inThisTurn = 0;
    await nextTurn();
  }
  expect([ended, most]).toEqual([100, 1]);
});

test("slices come in the order of asking, whoever asks", async () => {
  const order: string[] = [];
  const work = async (name: string): Promise<void> => {
    for (let slice = 0; slice < 3; slice++) {
      await yieldToEventLoop();
      order.push(name);
    }
  };
  await Promise.all([work("a"), work("b"), work("c")]);
  expect(order.join("")).toBe("abcabcabc");
});

test("requests that wait for room are called before the slice, as many as there is room for", async () => {
  const called: number[] = [];
  for (let index = 0; index < 10; index++) {
    whenTurnHasRoom(() => {
      called.push(index);
      useTurn(0.25);
    });
  }
  let slice = 0;
  void yieldToEventLoop().then(() => {
    slice = called.length;
  });
  await nextTurn();
  await nextTurn();
  expect(slice).toBe(4);
  await nextTurn();
  await nextTurn();
  expect(called).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test("requests that take more than most begin at once while the turn has room, and then so many a turn, in their order", async () => {
  const begun: number[] = [];
  const begin = async (index: number): Promise<void> => {
    await roomFor(0.25);
    begun.push(index);
  };
  const all = Array.from({ length: 11 }, (_, index) => begin(index));
  await Promise.resolve();
  expect(begun).toEqual([0, 1, 2, 3]);
  let most = 0;
  for (let before = 4; begun.length < 11; before = begun.length) {
    await nextTurn();
    most = Math.max(most, begun.length - before);
  }
  await Promise.all(all);
  expect([most, begun]).toEqual([4, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]]);
});

test("work that is begun at once finds room in a turn for one slice, and waits beyond", async () => {
  expect(turnFor(0.6)).toBeUndefined();
  expect(isTurnUsed()).toBe(false);
  const later = turnFor(0.6);
  expect(later).toBeInstanceOf(Promise);
  await later;
  await nextTurn();
  expect(turnFor(5)).toBeUndefined();
  expect(isTurnUsed()).toBe(true);
});

test("work that the runtime does with what it reads next is counted in that turn, and in no later one", async () => {
  const room: boolean[] = [];
  whenTurnHasRoom(() => useComingTurn(1));
  await nextTurn();
  room.push(isTurnUsed());
  await nextTurn();
  room.push(isTurnUsed());
  expect(room).toEqual([true, false]);
});
