import { expect, test } from "bun:test";
import { Outbox } from "../../../src/edge/revocation/outbox.ts";
import { settle } from "../../support/virtual-clock.ts";

test("what waits is sent in order, one after the other, once there is a connection", async () => {
  const outbox = new Outbox();
  for (const event of ["a", "b", "c"]) outbox.add(event);
  expect(outbox.size).toBe(3);
  const sent: string[] = [];
  let release: () => void = () => {};
  outbox.open((event) => {
    sent.push(event);
    return new Promise((resolve) => {
      release = resolve;
    });
  });
  await settle();
  expect(sent).toEqual(["a"]);
  release();
  await settle();
  expect(sent).toEqual(["a", "b"]);
  release();
  await settle();
  release();
  await outbox.drained();
  expect([sent, outbox.size, outbox.lost]).toEqual([["a", "b", "c"], 0, 0]);
});

test("is bounded: the oldest go, and are counted", async () => {
  const outbox = new Outbox(2);
  for (const event of ["a", "b", "c", "d"]) outbox.add(event);
  expect([outbox.size, outbox.lost]).toEqual([2, 2]);
  const sent: string[] = [];
  outbox.open(async (event) => void sent.push(event));
  await outbox.drained();
  expect(sent).toEqual(["c", "d"]);
});

test("what could not be sent waits for the next connection, and so does what comes meanwhile", async () => {
  const outbox = new Outbox();
  let tries = 0;
  outbox.add("a");
  outbox.open(() => {
    tries++;
    return Promise.reject(new Error("the connection broke"));
  });
  await settle();
  outbox.add("b");
  await settle();
  expect([tries, outbox.size]).toEqual([1, 2]);
  const sent: string[] = [];
  outbox.open(async (event) => void sent.push(event));
  await outbox.drained();
  expect(sent).toEqual(["a", "b"]);
  outbox.shut();
  outbox.add("c");
  await settle();
  expect([sent.length, outbox.size]).toEqual([2, 1]);
});

test("an event that went for want of room while it was being sent takes no other with it", async () => {
  const outbox = new Outbox(1);
  let release: () => void = () => {};
  const sent: string[] = [];
  outbox.add("a");
  outbox.open((event) => {
    sent.push(event);
    return event === "a"
      ? new Promise((resolve) => {
          release = resolve;
        })
      : Promise.resolve();
  });
  await settle();
  outbox.add("b");
  release();
  await outbox.drained();
  expect([sent, outbox.size]).toEqual([["a", "b"], 0]);
});

test("what comes while nothing waits is sent at once, in order", async () => {
  const outbox = new Outbox();
  const sent: string[] = [];
  outbox.open(async (event) => void sent.push(event));
  await outbox.drained();
  outbox.add("a");
  await settle();
  expect(sent).toEqual(["a"]);
  outbox.add("b");
  await outbox.drained();
  expect([sent, outbox.size]).toEqual([["a", "b"], 0]);
});

test("waits for what is being sent before it says that nothing waits any more", async () => {
  const outbox = new Outbox();
  let release: () => void = () => {};
  outbox.add("a");
  outbox.open(
    () =>
      new Promise((resolve) => {
        release = resolve;
      }),
  );
  let drained = false;
  void outbox.drained().then(() => {
    drained = true;
  });
  await settle();
  expect(drained).toBe(false);
  release();
  await settle();
  expect(drained).toBe(true);
});

test("what fails on a connection that another has replaced is sent by the new one", async () => {
  const outbox = new Outbox();
  let fail: (reason: Error) => void = () => {};
  outbox.add("a");
  outbox.open(
    () =>
      new Promise((_resolve, reject) => {
        fail = reject;
      }),
  );
  await settle();
  const sent: string[] = [];
  outbox.open(async (event) => void sent.push(event));
  fail(new Error("the first connection broke"));
  await settle();
  expect([sent, outbox.size]).toEqual([["a"], 0]);
});

test("holds ten thousand unless told otherwise", () => {
  const outbox = new Outbox();
  for (let event = 0; event < 10_001; event++) outbox.add(`${event}`);
  expect([outbox.size, outbox.lost]).toEqual([10_000, 1]);
});
