import { expect, test } from "bun:test";
import { keepConnected } from "../../../src/edge/revocation/keep-connected.ts";
import { settle, VirtualClock } from "../../support/virtual-clock.ts";

function start(random = 1) {
  const clock = new VirtualClock();
  const sessions: { up(): void; end(): void; fail(reason: string): void; signal: AbortSignal }[] = [];
  const down: string[] = [];
  const connection = keepConnected({
    clock,
    random: () => random,
    session: (signal, up) =>
      new Promise((end, reject) => {
        sessions.push({ up, end, fail: (reason) => reject(new Error(reason)), signal });
      }),
    onDown: (reason) => void down.push(reason),
  });
  return { clock, sessions, down, connection };
}

test("connects again after each end, after waits that grow to ten seconds until a connection works", async () => {
  const { clock, sessions, down } = start();
  const waitMs = async (end: (session: (typeof sessions)[number]) => void): Promise<number> => {
    const before = sessions.length;
    end(sessions.at(-1)!);
    let waited = 0;
    while (sessions.length === before) {
      await clock.advance(100);
      waited += 100;
    }
    return waited;
  };
  const failed = () => waitMs(({ fail }) => fail("connection refused"));
  const waits = [];
  for (let failure = 0; failure < 7; failure++) waits.push(await failed());
  expect(waits).toEqual([400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
  const ended = await waitMs(({ up, end }) => {
    up();
    end();
  });
  expect([ended, await failed()]).toEqual([200, 400]);
  expect([down[0], down[7]]).toEqual(["connection refused", "the connection ended"]);
});

test("a fleet spreads over the whole wait", async () => {
  const { clock, sessions } = start(0.25);
  sessions[0]!.fail("connection refused");
  await clock.advance(99);
  expect(sessions).toHaveLength(1);
  await clock.advance(1);
  expect(sessions).toHaveLength(2);
});

test("an end is over once the connection has let go of all, and is no failure", async () => {
  const { clock, sessions, down, connection } = start();
  let closed = false;
  const closing = connection.close().then(() => {
    closed = true;
  });
  await settle();
  expect([sessions[0]!.signal.aborted, closed]).toEqual([true, false]);
  sessions[0]!.fail("closed");
  await closing;
  expect([down, sessions.length, clock.pending]).toEqual([[], 1, 0]);
});

test("an end while it waits to connect again ends the wait", async () => {
  const { clock, sessions, connection } = start();
  sessions[0]!.fail("connection refused");
  await settle();
  await connection.close();
  await clock.advance(60_000);
  expect([sessions.length, clock.pending]).toEqual([1, 0]);
});
