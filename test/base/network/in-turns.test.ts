import { beforeEach, expect, test } from "bun:test";
import { beginInTurns, inTurns } from "../../../src/base/network/in-turns.ts";
import { useTurn } from "../../../src/base/time/turns.ts";
import { PausableConnection } from "../../support/pausable-connection.ts";

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

beforeEach(nextTurn);

class Connection extends PausableConnection {
  begun = false;
}

test("of a crowd so many are begun at once and in each turn, in their order, and the others wait unread", async () => {
  const order: Connection[] = [];
  const pass = beginInTurns<Connection>(3, (connection) => {
    connection.begun = true;
    order.push(connection);
  });
  const crowd = Array.from({ length: 20 }, () => new Connection());
  for (const connection of crowd) pass(connection);
  expect(order).toHaveLength(3);
  expect(crowd.every(({ begun, paused }) => begun !== paused)).toBe(true);
  crowd[10]!.destroyed = true;
  let most = 0;
  for (let before = order.length; order.length < 19; before = order.length) {
    await nextTurn();
    most = Math.max(most, order.length - before);
  }
  expect(most).toBe(3);
  expect(order).toEqual(crowd.filter(({ destroyed }) => !destroyed));
  expect(crowd.filter(({ paused }) => paused)).toEqual([crowd[10]!]);
  // All are through: the next begins at once again.
  await nextTurn();
  pass(new Connection());
  expect(order).toHaveLength(20);
});

test("a turn that is used begins none, and two listeners have their places in line each", async () => {
  const begun = [0, 0];
  const passes = begun.map((_, index) =>
    beginInTurns<Connection>(1, () => {
      begun[index]!++;
    }),
  );
  useTurn(1);
  for (let each = 0; each < 5; each++) for (const pass of passes) pass(new Connection());
  expect(begun).toEqual([0, 0]);
  for (let turn = 1; turn <= 10; turn++) {
    await nextTurn();
    expect(Math.abs(begun[0]! - begun[1]!)).toBeLessThanOrEqual(1);
  }
  for (let turn = 0; turn < 20; turn++) await nextTurn();
  expect(begun).toEqual([5, 5]);
});

test("what happens to a crowd at once is done so many a turn, in its order, and to none that is gone", async () => {
  const done: Connection[] = [];
  const pass = inTurns<Connection>(3, (connection) => done.push(connection));
  const crowd = Array.from({ length: 12 }, () => new Connection());
  expect(crowd.map(pass)).toEqual(crowd.map((_, index) => index < 3));
  crowd[5]!.destroyed = true;
  for (let turns = 1; done.length < 11; turns++) {
    await nextTurn();
    expect(done.length).toBeLessThanOrEqual(3 + 3 * turns);
  }
  expect(done).toEqual(crowd.filter(({ destroyed }) => !destroyed));
});
