/** Plain HTTP on a loopback port or a Unix socket. All callers of such a listener are one. */
import { messageOf, type OperationError } from "../../base/errors.ts";
import { Connections } from "../../base/network/connections.ts";
import type { Http1Head } from "../../base/network/http1/head.ts";
import { createHostCheck, isLoopback } from "../../base/network/loopback-host.ts";
import { overloaded, RequestGate } from "../../base/network/request-gate.ts";
import { descriptorRoom } from "../../base/system/descriptors.ts";
import type { PortGroup } from "../../base/system/port-group.ts";
import type { Principal } from "../access/principal.ts";
import type { DoorConnection } from "../doors/door.ts";
import type { DoorRoutes } from "./door-routes.ts";
import { handOver } from "./hand-over.ts";
import { type Listener, ListenerError, type ListenerLimits, type ListenerLog } from "./listener.ts";
import { acceptPlain, type PlainAddress, type PlainServer } from "./plain-sockets.ts";
import { Shares } from "./shares.ts";
import { speakHttp } from "./speak-http.ts";
import { bindUnixSocket, type UnixSocketOptions } from "./unix-socket.ts";

export interface PlainListenerOptions {
  /** Undefined where every route is open. */
  readonly principal: Principal | undefined;
  readonly doors: DoorRoutes;
  readonly limits: ListenerLimits;
  readonly log: ListenerLog;
  /** Whether another edge may serve the same port, and this one hands over to it at its end. */
  readonly shared?: boolean;
}

/** @throws {ListenerError} for a port in use or an address that is not this machine's. */
export async function listenOnPort(host: string, port: number, options: PlainListenerOptions): Promise<Listener> {
  const address = {
    hostname: host,
    port,
    reusePort: (options.limits.sharesPort ?? false) || (options.shared ?? false),
  };
  const refusalOf = isLoopback(host) ? createHostCheck() : () => undefined;
  try {
    const { drain, descriptor, ...server } = await serve(address, refusalOf, options);
    const group = options.shared && descriptor !== undefined ? await joinGroup(descriptor) : undefined;
    const drained = (timeoutMs: number): Promise<void> => {
      group?.leave();
      return drain(timeoutMs);
    };
    return {
      ...server,
      ...(options.shared ? { drain: drained } : {}),
      address: `http://${host.includes(":") ? `[${host}]` : host}:${server.port}`,
    };
  } catch (error) {
    throw (error as { code?: string }).code === "EADDRINUSE"
      ? new ListenerError(`Port ${port} on ${host} is in use. Stop what listens there, or choose another port.`)
      : new ListenerError(`Cannot listen on ${host}:${port}: ${messageOf(error)}.`);
  }
}

/** @throws {ListenerError} */
export function listenOnUnixSocket(
  path: string,
  socket: UnixSocketOptions,
  options: PlainListenerOptions,
): Promise<Listener> {
  return bindUnixSocket(path, socket, (unix) => serve({ unix }, () => undefined, options));
}

type PlainService = Required<Pick<Listener, "drain" | "close">> & Pick<PlainServer, "port" | "descriptor">;

async function serve(
  address: PlainAddress,
  refusalOf: (head: Http1Head) => OperationError | undefined,
  { principal, doors, limits, log }: PlainListenerOptions,
): Promise<PlainService> {
  const times = { idleTimeoutMs: limits.idleTimeoutMs, bodyTimeoutMs: limits.requestTimeoutMs };
  const connections = new Connections<undefined>(times, () => false);
  const connectionsMax = Math.min(limits.connectionsMax, limits.connectionsPerPrincipalMax);
  const gate = new RequestGate(limits);
  const shares = new Shares();
  const share = shares.of("the listener's callers");
  share.connections = 1;
  const refuse = (): OperationError => overloaded("This listener has too many connections");

  const server = await acceptPlain(address, (socket) => {
    if (connections.closing || connections.size >= 2 * connectionsMax || !descriptorRoom.admits()) {
      return socket.destroy();
    }
    const isTooMany = connections.size >= connectionsMax;
    if (connections.size === connectionsMax) log.warn({ connectionsMax }, "a listener refuses connections: too many");
    const open = connections.add(socket, undefined);
    socket.on("close", () => connections.delete(open));
    const activity = connections.activityOf(open);
    // It has a moment to ask, and to be told.
    if (isTooMany) activity.lastAnswered();
    const connection: DoorConnection = {
      kind: "unix" in address ? "unix" : "http",
      principal,
      peer: socket.remoteAddress,
      peerCertificate: undefined,
      otherCertificates: [],
    };
    speakHttp(socket, {
      connection,
      doors,
      share,
      shares,
      gate,
      tokens: undefined,
      refusalOf: isTooMany ? refuse : refusalOf,
      onKnown: undefined,
      limits,
      activity,
      log,
    });
  });
  return {
    port: server.port,
    descriptor: server.descriptor,
    drain: (timeoutMs) => handOver(connections, timeoutMs),
    async close(timeoutMs) {
      server.stop();
      await connections.close(timeoutMs);
    },
  };
}

/** Its code is loaded where a port is shared. */
async function joinGroup(descriptor: number): Promise<PortGroup | undefined> {
  const { joinPortGroup } = await import("../../base/system/port-group.ts");
  return joinPortGroup(descriptor);
}
