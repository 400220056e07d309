import { afterEach, beforeEach, expect, test } from "bun:test";
import { type Handshake, HandshakeLine } from "../../../../src/base/network/tls/handshake-line.ts";
import { DESCRIPTORS_MAX } from "../../../../src/base/system/readable-descriptors.ts";
import { isTurnUsed, useTurn } from "../../../../src/base/time/turns.ts";
import { VirtualClock } from "../../../support/virtual-clock.ts";

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(async () => {
  for (const client of world.clients) world.line.ended(client);
  for (let turn = 0; turn < 3; turn++) await nextTurn();
  expect(world.clock.pending).toBe(0);
});

/** A connection whose client may have sent its part. */
class Client implements Handshake {
  readonly descriptor: number;
  isPaused = false;
  hasSent = false;

  constructor(descriptor: number) {
    this.descriptor = descriptor;
  }
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
}

class World {
  readonly clock = new VirtualClock();
  readonly clients: Client[] = [];
  /** How many were asked about in each question. */
  readonly asked: number[] = [];
  readonly line = new HandshakeLine((descriptors) => {
    this.asked.push(descriptors.length);
    return descriptors.map((descriptor) => this.clients[descriptor]!.hasSent);
  }, this.clock);

  begin(count: number, hasSent = false): Client[] {
    return Array.from({ length: count }, () => {
      const client = new Client(this.clients.length);
      client.hasSent = hasSent;
      this.clients.push(client);
      this.line.begin(client);
      return client;
    });
  }

  /** Those that the runtime would read now. */
  get read(): readonly number[] {
    return this.clients.flatMap((client, index) => (client.isPaused ? [] : [index]));
  }

  /** A turn of the event loop, at whose end the runtime reads; gives the pieces that this makes. */
  async turn(): Promise<readonly number[]> {
    await nextTurn();
    const pieces = this.read.filter((index) => this.clients[index]!.hasSent);
    for (const index of pieces) this.clients[index]!.hasSent = false;
    return pieces;
  }

  async turns(count: number): Promise<(readonly number[])[]> {
    const all: (readonly number[])[] = [];
    for (let turn = 0; turn < count; turn++) all.push(await this.turn());
    return all;
  }
}

test("few handshakes at once wait for nothing, and nothing is asked", async () => {
  world.begin(2);
  await world.turns(3);
  await world.clock.advance(100);
  expect(world.read).toEqual([0, 1]);
  expect(world.asked).toEqual([]);
});

test("of a crowd whose clients all send at once, one is read in a turn", async () => {
  const crowd = world.begin(20);
  await world.turns(3);
  for (const client of crowd) client.hasSent = true;
  await world.clock.advance(1);
  const pieces = (await world.turns(60)).filter(({ length }) => length > 0);
  expect(pieces).toEqual(Array.from({ length: 20 }, (_, index) => [index]));
});

test("the second pieces come in turns with the first ones, and neither keeps the others waiting", async () => {
  world.begin(8, true);
  const order: number[] = [];
  // The last two are no crowd any more.
  while (order.length < 12) {
    const pieces = await world.turn();
    expect(pieces.length).toBeLessThan(2);
    for (const piece of pieces) {
      if (order.includes(piece)) world.line.ended(world.clients[piece]!);
      // The client answers at once.
      else world.clients[piece]!.hasSent = true;
      order.push(piece);
    }
  }
  expect(order).toEqual([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
});

test("who sends byte by byte keeps nobody out", async () => {
  const slow = world.begin(5, true);
  await world.turns(20);
  const others = world.begin(5, true);
  await world.clock.advance(1);
  for (let turn = 0; turn < 30; turn++) {
    for (const client of slow) client.hasSent = true;
    await world.turn();
  }
  expect(others.map(({ hasSent }) => hasSent)).toEqual(Array(5).fill(false));
});

test("silent ones are asked about once a millisecond, some at a time, and all of them in the end", async () => {
  const crowd = world.begin(3 * DESCRIPTORS_MAX);
  await world.turns(5);
  expect(world.asked).toEqual([DESCRIPTORS_MAX]);
  for (let passedMs = 0; passedMs < 10; passedMs++) {
    await world.clock.advance(1);
    await world.turns(3);
  }
  expect(world.asked).toEqual(Array(11).fill(DESCRIPTORS_MAX));
  expect(world.read).toEqual([]);
  crowd.at(-1)!.hasSent = true;
  for (let passedMs = 0; passedMs < 3; passedMs++) {
    await world.clock.advance(1);
    await world.turns(3);
  }
  expect(crowd.at(-1)!.hasSent).toBe(false);
});

test("a connection that ends while it waits is forgotten, and the others go on", async () => {
  const crowd = world.begin(5, true);
  for (const gone of [crowd[1]!, crowd[2]!]) {
    world.line.ended(gone);
    world.line.ended(gone);
  }
  const pieces = (await world.turns(20)).flat();
  expect(pieces).toEqual([0, 3, 4]);
});

test("when few are left none waits any more, and no timer goes on", async () => {
  const crowd = world.begin(5);
  await world.turns(3);
  expect(world.read).toEqual([]);
  for (const client of crowd.slice(0, 3)) world.line.ended(client);
  expect(world.read).toEqual([3, 4]);
  await world.turns(3);
  expect(world.clock.pending).toBe(0);
  // The next crowd waits as the first did.
  world.begin(1);
  await world.turns(3);
  expect(world.read).toEqual([]);
});

test("a turn of the event loop that others have used reads none, and one that reads one is used", async () => {
  world.begin(3, true);
  useTurn(1);
  expect(world.read).toEqual([]);
  await nextTurn();
  expect(world.read).toEqual([0]);
  expect(isTurnUsed()).toBe(true);
});
