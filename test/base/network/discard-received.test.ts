import { expect, test } from "bun:test";
import { connect } from "node:net";
import { discardReceived } from "../../../src/base/network/discard-received.ts";

/** A connection whose bytes the runtime does not read, and the other side of it. */
async function pausedConnection(stack: AsyncDisposableStack) {
  const accepted = Promise.withResolvers<number>();
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    allowHalfOpen: true,
    socket: {
      open(socket) {
        socket.pause();
        accepted.resolve((socket as unknown as { readonly fd: number }).fd);
      },
      data: () => accepted.reject(new Error("the runtime has read it")),
    },
  });
  stack.defer(() => listener.stop(true));
  const peer = connect({ port: listener.port, host: "127.0.0.1" });
  stack.defer(() => void peer.destroy());
  const end = Promise.withResolvers<string>();
  const connection = {
    destroyed: false,
    ended: () => end.resolve("ended"),
    destroy: () => end.resolve("destroyed"),
  };
  return { descriptor: await accepted.promise, peer, connection, end: end.promise };
}

test("all that comes is thrown away, and the other side's end is told", async () => {
  await using stack = new AsyncDisposableStack();
  const { descriptor, peer, connection, end } = await pausedConnection(stack);
  discardReceived(descriptor, connection);
  const sent = Promise.withResolvers<void>();
  peer.write(Buffer.alloc(8_000_000, "a"), () => sent.resolve());
  // More than the system keeps: it is taken.
  await sent.promise;
  peer.end();
  expect(await end).toBe("ended");
});

test("a reset destroys it", async () => {
  await using stack = new AsyncDisposableStack();
  const { descriptor, peer, connection, end } = await pausedConnection(stack);
  discardReceived(descriptor, connection);
  peer.resetAndDestroy();
  expect(await end).toBe("destroyed");
});

test("one that is destroyed is read no more: its descriptor may be another's", async () => {
  await using stack = new AsyncDisposableStack();
  const { descriptor, peer, connection, end } = await pausedConnection(stack);
  connection.destroyed = true;
  peer.end("more");
  discardReceived(descriptor, connection);
  expect(await Promise.race([end, Bun.sleep(50)])).toBeUndefined();
  connection.destroyed = false;
  discardReceived(descriptor, connection);
  expect(await end).toBe("ended");
});

test("so many at once, and another when one of them has ended", async () => {
  await using stack = new AsyncDisposableStack();
  const all = await Promise.all(Array.from({ length: 17 }, () => pausedConnection(stack)));
  const begin = (index: number): boolean => discardReceived(all[index]!.descriptor, all[index]!.connection);
  expect(all.map((_, index) => begin(index))).toEqual(all.map((_, index) => index < 16));
  all[3]!.peer.end();
  expect(await all[3]!.end).toBe("ended");
  expect(begin(16)).toBe(true);
  for (const { peer } of all) peer.end();
  expect(await Promise.all(all.map(({ end }) => end))).toEqual(all.map(() => "ended"));
});
