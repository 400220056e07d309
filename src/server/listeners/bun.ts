/** HTTP on a loopback port or a Unix socket, by `Bun.serve`: one of the two islands that are not web-standard. */
import { chmodSync, rmSync } from "node:fs";
import { connect } from "node:net";
import type { Server } from "bun";
import { messageOf } from "../../errors.ts";
import { problemResponse } from "../problem.ts";
import { type Handler, type Listener, ListenerError, type ListenerLimits } from "./listener.ts";

/** @throws {ListenerError} for a port in use or an address that is not this machine's. */
export function listenOnPort(host: string, port: number, handler: Handler, limits: ListenerLimits): Listener {
  let server: Server<undefined>;
  try {
    server = Bun.serve({ ...common(handler, limits), hostname: host, port, idleTimeout: 60 });
  } catch (error) {
    throw (error as { code?: string }).code === "EADDRINUSE"
      ? new ListenerError(`Port ${port} on ${host} is in use. Stop what listens there, or choose another port.`)
      : new ListenerError(`Cannot listen on ${host}:${port}: ${messageOf(error)}.`);
  }
  return listener(server, `http://${host.includes(":") ? `[${host}]` : host}:${server.port}`);
}

/**
 * A stale socket file is replaced; one that somebody listens on is an error.
 *
 * @throws {ListenerError}
 */
export async function listenOnUnixSocket(
  path: string,
  mode: number,
  handler: Handler,
  limits: ListenerLimits,
): Promise<Listener> {
  if (await isLive(path)) {
    throw new ListenerError(`The socket ${path} is in use by another process. Stop it, or choose another path.`);
  }
  try {
    rmSync(path, { force: true });
    // Nobody can connect between the socket's creation and its chmod.
    const before = process.umask(0o777);
    try {
      const server = Bun.serve({ ...common(handler, limits), unix: path });
      chmodSync(path, mode);
      return listener(server, `unix:${path}`);
    } finally {
      process.umask(before);
    }
  } catch (error) {
    throw new ListenerError(
      `Cannot listen on the socket ${path}: ${messageOf(error)}. Check that its folder exists and may be written.`,
    );
  }
}

function common(handler: Handler, limits: ListenerLimits) {
  return {
    fetch: handler,
    error: problemResponse,
    maxRequestBodySize: limits.bodyBytesMax,
    development: false,
  } as const;
}

function listener(server: Server<undefined>, address: string): Listener {
  return {
    address,
    async close(timeoutMs) {
      const finished = server.stop(false);
      const cut = setTimeout(() => server.stop(true), timeoutMs);
      await finished;
      clearTimeout(cut);
    },
  };
}

function isLive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
