/** Plain HTTP on a loopback port or a Unix socket. */
import { chmodSync, chownSync, lstatSync, rmSync } from "node:fs";
import { type CryptoEdgeError, messageOf } from "../../base/errors.ts";
import { Connections } from "../../base/network/connections.ts";
import { createHostCheck, isLoopback } from "../../base/network/loopback-host.ts";
import { overloaded, RequestGate } from "../../base/network/request-gate.ts";
import type { Principal } from "../access/principal.ts";
import type { DoorRoutes } from "./door-routes.ts";
import { type Handler, type Listener, ListenerError, type ListenerLimits, type ListenerLog } from "./listener.ts";
import { acceptPlain, type PlainAddress } from "./plain-sockets.ts";
import type { UnixSocketDoorOptions } from "./socket-doors.ts";
import { type Http1Caller, speakHttp1 } from "./speak-http1.ts";

/** @throws {ListenerError} for a port in use or an address that is not this machine's. */
export async function listenOnPort(host: string, port: number, options: PlainListenerOptions): Promise<Listener> {
  const address = { hostname: host, port, reusePort: options.limits.sharesPort ?? false };
  const refusalOf = isLoopback(host) ? createHostCheck() : () => undefined;
  try {
    const server = await serve(address, refusalOf, options);
    return { ...server, address: `http://${host.includes(":") ? `[${host}]` : host}:${server.port}` };
  } catch (error) {
    throw (error as { code?: string }).code === "EADDRINUSE"
      ? new ListenerError(`Port ${port} on ${host} is in use. Stop what listens there, or choose another port.`)
      : new ListenerError(`Cannot listen on ${host}:${port}: ${messageOf(error)}.`);
  }
}

export interface PlainListenerOptions {
  /** All callers of such a listener are one. Undefined where the handler asks nobody's name. */
  readonly principal: Principal | undefined;
  /** The native door; undefined where it is not served. */
  readonly handler: Handler | undefined;
  /** The other doors; undefined where there are none. */
  readonly doors?: DoorRoutes | undefined;
  readonly limits: ListenerLimits;
  readonly log: ListenerLog;
}

export interface UnixSocketOptions {
  readonly mode: number;
  /** Numeric ids; -1 leaves one as it is. */
  readonly owner?: { readonly user: number; readonly group: number };
}

/**
 * A stale socket file is replaced; one that somebody listens on is an error.
 *
 * @throws {ListenerError}
 */
export async function listenOnUnixSocket(
  path: string,
  socket: UnixSocketOptions,
  options: PlainListenerOptions,
): Promise<Listener> {
  return bindUnixSocket(path, socket, () => serve({ unix: path }, () => undefined, options));
}

/** The same for a door with a protocol of its own. @throws {ListenerError} */
export async function listenWithSocketDoor(
  path: string,
  socket: UnixSocketOptions,
  options: UnixSocketDoorOptions,
): Promise<Listener> {
  const { acceptForSocketDoor } = await import("./socket-doors.ts");
  return bindUnixSocket(path, socket, () => acceptForSocketDoor(path, options));
}

async function bindUnixSocket(
  path: string,
  { mode, owner }: UnixSocketOptions,
  listen: () => Promise<Omit<Listener, "address">>,
): Promise<Listener> {
  if (await isLive(path)) {
    throw new ListenerError(`The socket ${path} is in use by another process. Stop it, or choose another path.`);
  }
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === false) {
    throw new ListenerError(`${path} exists and is no socket. Move it away, or choose another path.`);
  }
  try {
    rmSync(path, { force: true });
    // Nobody can connect between the socket's creation and its chmod.
    const before = process.umask(0o777);
    try {
      const server = await listen();
      if (owner !== undefined) chownSync(path, owner.user, owner.group);
      chmodSync(path, mode);
      return { ...server, address: `unix:${path}` };
    } finally {
      process.umask(before);
    }
  } catch (error) {
    throw new ListenerError(
      `Cannot listen on the socket ${path}: ${messageOf(error)}. Check that its folder exists and may be written, and that the owner may be set.`,
    );
  }
}

async function serve(
  address: PlainAddress,
  refusalOf: Http1Caller["refusalOf"],
  { principal, handler, doors, limits, log }: PlainListenerOptions,
): Promise<Omit<Listener, "address"> & { readonly port: number | undefined }> {
  const times = { idleTimeoutMs: limits.idleTimeoutMs, bodyTimeoutMs: limits.requestTimeoutMs };
  const connections = new Connections<undefined>(times, () => false);
  const connectionsMax = Math.min(limits.connectionsMax, limits.connectionsPerPrincipalMax);
  const gate = new RequestGate(limits);
  const load = { requests: 0, bytes: 0 };
  const onError = (error: unknown): void => log.error({ err: error }, "a connection failed by a defect of the edge");
  const refuse = (): CryptoEdgeError => overloaded("This listener has too many connections");

  const server = await acceptPlain(address, (socket) => {
    if (connections.closing || connections.size >= 2 * connectionsMax) return socket.destroy();
    const isTooMany = connections.size >= connectionsMax;
    if (connections.size === connectionsMax) log.warn({ connectionsMax }, "a listener refuses connections: too many");
    const connection = connections.add(socket, undefined);
    socket.on("close", () => connections.delete(connection));
    const activity = connections.activityOf(connection);
    // It has a moment to ask, and to be told.
    if (isTooMany) activity.lastAnswered();
    speakHttp1(socket, {
      connection: {
        kind: "unix" in address ? "unix" : "http",
        principal,
        peer: socket.remoteAddress,
        peerCertificate: undefined,
      },
      load,
      refusalOf: isTooMany ? refuse : refusalOf,
      answer: handler,
      quick: handler?.quick,
      doors,
      tokens: undefined,
      gate,
      limits,
      activity,
      onError,
      onRefused: (error) => log.warn({ reason: error.message }, "a caller was not known"),
    });
  });
  return {
    port: server.port,
    async close(timeoutMs) {
      server.stop();
      await connections.close(timeoutMs);
    },
  };
}

async function isLive(path: string): Promise<boolean> {
  const { connect } = await import("node:net");
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
