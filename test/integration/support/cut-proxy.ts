/** A TCP proxy that a test can cut: then nothing passes either way, and nobody is told, as when a cable is pulled. */
import { connect, createServer, type Socket } from "node:net";

export interface CutProxy {
  readonly port: number;
  cut(): void;
  heal(): void;
  /** From now on to another port: as an address that moves to another machine. Connections end. */
  leadTo(port: number): void;
  close(): void;
}

export async function startCutProxy(targetPort: number): Promise<CutProxy> {
  let target = targetPort;
  const sockets = new Set<Socket>();
  let isCut = false;
  const keep = (socket: Socket): Socket => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    if (isCut) socket.pause();
    return socket;
  };
  const server = createServer((inner) => {
    keep(inner);
    // While it is cut, a connection is accepted by the kernel and goes nowhere.
    const outer = keep(connect(target, "127.0.0.1"));
    inner.on("data", (data) => void (isCut || outer.write(data)));
    outer.on("data", (data) => void (isCut || inner.write(data)));
    inner.on("close", () => outer.destroy());
    outer.on("close", () => inner.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return {
    port,
    cut() {
      isCut = true;
    },
    heal() {
      isCut = false;
      // What was lost on the way can't be made up for: the connections end.
      for (const socket of sockets) socket.destroy();
    },
    leadTo(next) {
      target = next;
      isCut = false;
      for (const socket of sockets) socket.destroy();
    },
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
