import { beforeEach, expect, test } from "bun:test";
import { HandshakeLine } from "../../../../src/base/network/tls/handshake-line.ts";
import { useTurn } from "../../../../src/base/time/turns.ts";
import { PausableConnection } from "../../../support/pausable-connection.ts";
import { VirtualClock } from "../../../support/virtual-clock.ts";

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

beforeEach(nextTurn);

function crowdAt(line: HandshakeLine, count: number): PausableConnection[] {
  const crowd = Array.from({ length: count }, () => new PausableConnection());
  for (const connection of crowd) line.begin(connection);
  return crowd;
}

const begun = (crowd: readonly PausableConnection[]): number => crowd.filter(({ paused }) => !paused).length;

test("the next handshake of a crowd begins when the one before has ended, in their order, and those that are gone are passed over", async () => {
  const line = new HandshakeLine(new VirtualClock());
  const crowd = crowdAt(line, 5);
  for (let turn = 0; turn < 5; turn++) await nextTurn();
  expect(crowd.map(({ paused }) => paused)).toEqual([false, true, true, true, true]);
  crowd[1]!.destroyed = true;
  line.ended();
  for (let turn = 0; turn < 5; turn++) await nextTurn();
  expect(crowd.map(({ paused }) => paused)).toEqual([false, true, false, true, true]);
});

test("a client that does not go on holds up the next one for two milliseconds", async () => {
  const clock = new VirtualClock();
  const line = new HandshakeLine(clock);
  const crowd = crowdAt(line, 3);
  await nextTurn();
  await clock.advance(1.9);
  await nextTurn();
  expect(begun(crowd)).toBe(1);
  await clock.advance(0.2);
  await nextTurn();
  await nextTurn();
  expect(begun(crowd)).toBe(2);
});

test("a turn of the event loop that others have used begins none", async () => {
  const line = new HandshakeLine(new VirtualClock());
  useTurn(1);
  const crowd = crowdAt(line, 1);
  expect(begun(crowd)).toBe(0);
  await nextTurn();
  await nextTurn();
  expect(begun(crowd)).toBe(1);
});
