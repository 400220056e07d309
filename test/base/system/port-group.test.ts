/** Which of two that listen on one port gets the connections: the newest, and the other once one leaves. */
import { afterEach, expect, test } from "bun:test";
import { connect, createServer, type Server } from "node:net";
import { joinPortGroup, type PortGroup } from "../../../src/base/system/port-group.ts";

const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function member(name: string, port: number): Promise<{ port: number; group: PortGroup; close(): Promise<void> }> {
  const server = createServer((socket) => void socket.end(name));
  servers.push(server);
  await new Promise<void>((listening) => server.listen({ host: "127.0.0.1", port, reusePort: true }, listening));
  const { fd } = (server as unknown as { readonly _handle: { readonly fd: number } })._handle;
  return {
    port: (server.address() as { port: number }).port,
    group: (await joinPortGroup(fd))!,
    close: () => new Promise((closed) => void server.close(() => closed())),
  };
}

function whoAnswers(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    let came = "";
    socket.on("data", (bytes) => {
      came += bytes;
    });
    socket.on("error", reject);
    socket.on("end", () => resolve(came));
  });
}

/** Where the kernel spread them, 40 would all meet one by a chance of one in a trillion. */
async function answering(port: number): Promise<string[]> {
  const names = await Promise.all(Array.from({ length: 40 }, () => whoAnswers(port)));
  return [...new Set(names)];
}

test.if(process.platform === "linux")(
  "the newest gets every new connection, through upgrades and one taken back",
  async () => {
    const first = await member("first", 0);
    const { port } = first;
    expect(await answering(port)).toEqual(["first"]);
    const second = await member("second", port);
    expect(await answering(port)).toEqual(["second"]);
    first.group.leave();
    expect(await answering(port)).toEqual(["second"]);
    await first.close();
    const third = await member("third", port);
    expect(await answering(port)).toEqual(["third"]);
    third.group.leave();
    expect(await answering(port)).toEqual(["second"]);
    await third.close();
    expect(await answering(port)).toEqual(["second"]);
    // Alone, it has nobody to leave to.
    second.group.leave();
    expect(await answering(port)).toEqual(["second"]);
  },
);
