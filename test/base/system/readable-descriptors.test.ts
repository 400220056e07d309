import { expect, test } from "bun:test";
import { closeSync, openSync } from "node:fs";
import { createServer, connect as tcpConnect } from "node:net";
import { DESCRIPTORS_MAX, openAskReadable } from "../../../src/base/system/readable-descriptors.ts";

test("says which descriptors have something to be read or have ended, in their order, and nothing of one that there is not", async () => {
  const ask = (await openAskReadable())!;
  const sockets: { readonly _handle: { readonly fd: number } }[] = [];
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    sockets.push(socket as unknown as (typeof sockets)[number]);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const clients = [];
  for (let index = 0; index < 3; index++) {
    clients.push(tcpConnect(port, "127.0.0.1"));
    while (sockets.length <= index) await Bun.sleep(1);
  }
  const descriptors = sockets.map(({ _handle }) => _handle.fd);
  expect(ask(descriptors)).toEqual([false, false, false]);
  clients[1]!.write("x");
  while (!ask(descriptors)[1]) await Bun.sleep(1);
  clients[2]!.end();
  while (!ask(descriptors)[2]) await Bun.sleep(1);
  expect(ask([-1, ...descriptors])).toEqual([false, false, true, true]);
  expect(ask([])).toEqual([]);
  // One that is always readable, at the last place of a question.
  const file = openSync("/dev/zero", "r");
  const many = [...Array<number>(DESCRIPTORS_MAX - 1).fill(descriptors[0]!), file];
  expect(ask(many).indexOf(true)).toBe(DESCRIPTORS_MAX - 1);
  closeSync(file);
  for (const client of clients) client.destroy();
  server.close();
});
