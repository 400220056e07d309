import { connect, createServer, type Socket } from "node:net";

/** A cable between an edge and its Core that can be cut: then nothing comes through, and neither end is told. */
export interface Cable {
  readonly port: number;
  cut(): void;
  /** New connections pass again; those from before stay dead, as behind a firewall that forgot them. */
  heal(): void;
  close(): Promise<void>;
}

export async function layCable(toPort: () => number): Promise<Cable> {
  const sockets = new Set<Socket>();
  let isCut = false;
  const server = createServer((near) => {
    sockets.add(near);
    near.on("error", () => near.destroy());
    near.on("close", () => sockets.delete(near));
    if (isCut) {
      near.pause();
      return;
    }
    const far = connect(toPort(), "127.0.0.1");
    sockets.add(far);
    far.on("error", () => near.destroy());
    far.on("close", () => {
      sockets.delete(far);
      near.destroy();
    });
    near.on("close", () => far.destroy());
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as { port: number }).port,
    cut() {
      isCut = true;
      for (const socket of sockets) {
        socket.unpipe();
        socket.pause();
        socket.removeAllListeners("close");
      }
    },
    heal() {
      isCut = false;
    },
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
