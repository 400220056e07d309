import { beforeEach, expect, test } from "bun:test";
import { inTurns } from "../../../src/base/network/in-turns.ts";
import { useTurn } from "../../../src/base/time/turns.ts";

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

beforeEach(nextTurn);

class Connection {
  destroyed = false;
}

test("of a crowd so many pass at once and in each turn, in their order, and none that is gone", async () => {
  const passed: Connection[] = [];
  const waited: boolean[] = [];
  const pass = inTurns<Connection>(3, (connection, hasWaited) => {
    passed.push(connection);
    waited.push(hasWaited);
  });
  const crowd = Array.from({ length: 20 }, () => new Connection());
  expect(crowd.map(pass)).toEqual(crowd.map((_, index) => index < 3));
  expect(passed).toEqual(crowd.slice(0, 3));
  crowd[10]!.destroyed = true;
  let most = 0;
  for (let before = passed.length; passed.length < 19; before = passed.length) {
    await nextTurn();
    most = Math.max(most, passed.length - before);
  }
  expect(most).toBe(3);
  expect(passed).toEqual(crowd.filter(({ destroyed }) => !destroyed));
  expect(waited).toEqual(passed.map((_, index) => index >= 3));
  // All are through: the next passes at once again.
  await nextTurn();
  expect(pass(new Connection())).toBe(true);
  expect(passed).toHaveLength(20);
});

test("in a turn that is used none passes, and two listeners have their places in line each", async () => {
  const passed = [0, 0];
  const passes = passed.map((_, index) =>
    inTurns<Connection>(1, () => {
      passed[index]!++;
    }),
  );
  useTurn(1);
  for (let each = 0; each < 5; each++) for (const pass of passes) pass(new Connection());
  expect(passed).toEqual([0, 0]);
  for (let turn = 1; turn <= 10; turn++) {
    await nextTurn();
    expect(Math.abs(passed[0]! - passed[1]!)).toBeLessThanOrEqual(1);
  }
  for (let turn = 0; turn < 20; turn++) await nextTurn();
  expect(passed).toEqual([5, 5]);
});
