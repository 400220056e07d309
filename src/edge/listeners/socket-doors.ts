/** Connections of doors that have a protocol of their own: counted, bounded and timed by the listener, served by the door. */
import { createServer } from "node:net";
import type { Duplex } from "node:stream";
import { type ConnectionActivity, Connections } from "../../base/network/connections.ts";
import { type CallerLoad, RequestGate } from "../../base/network/request-gate.ts";
import { descriptorRoom } from "../../base/system/descriptors.ts";
import type { Principal } from "../access/principal.ts";
import type { DoorConnection, SocketDoor, SocketLimits } from "../doors/door.ts";
import type { Listener, ListenerLimits, ListenerLog } from "./listener.ts";
import { bindUnixSocket, type UnixSocketOptions } from "./unix-socket.ts";

export interface SocketCaller {
  readonly connection: DoorConnection;
  readonly load: CallerLoad;
  readonly gate: RequestGate;
  readonly limits: ListenerLimits;
  readonly activity: ConnectionActivity;
  /** Whether the caller may not go on: its certificate has been revoked since, or has expired. By default never. */
  readonly isRefused?: () => boolean;
  /** The door has no use for the connection: its address made one too many. */
  readonly countAgainstAddress?: () => void;
  readonly onError: (error: unknown) => void;
}

export function serveSocketDoor(
  door: SocketDoor,
  socket: Duplex,
  { connection, load, gate, limits, activity, isRefused = () => false, countAgainstAddress, onError }: SocketCaller,
): void {
  const entered: number[] = [];
  let finish: (() => void) | undefined;
  const end = (bytes: number): void => {
    gate.leave(load, bytes);
    activity.requestEnded();
  };
  const doorLimits: SocketLimits = {
    messageBytesMax: limits.bodyBytesMax,
    idleTimeoutMs: limits.idleTimeoutMs,
    enter(bytes) {
      if (isRefused()) socket.destroy();
      if ((activity.closing && finish === undefined) || socket.destroyed || gate.enter(load, bytes) !== undefined)
        return false;
      activity.requestBegan();
      entered.push(bytes);
      return true;
    },
    countAgainstAddress: () => countAgainstAddress?.(),
    leave(bytes) {
      const index = entered.indexOf(bytes);
      if (index < 0) return;
      entered.splice(index, 1);
      end(bytes);
    },
  };
  // Counted, not listened for: a listener for data would take from the door what comes before it listens.
  activity.measure(() => (socket as Duplex & { readonly bytesRead?: number }).bytesRead ?? 0);
  socket.once("close", () => {
    for (const bytes of entered.splice(0)) end(bytes);
  });
  try {
    finish = door.serve(socket, connection, doorLimits) ?? undefined;
    if (finish !== undefined) activity.onClosing(finish);
  } catch (error) {
    onError(error);
    socket.destroy();
  }
}

export interface UnixSocketDoorOptions {
  readonly principal: Principal;
  readonly door: SocketDoor;
  readonly limits: ListenerLimits;
  readonly log: ListenerLog;
}

/** @throws {ListenerError} */
export function listenWithSocketDoor(
  path: string,
  socket: UnixSocketOptions,
  options: UnixSocketDoorOptions,
): Promise<Listener> {
  return bindUnixSocket(path, socket, (unix) => accept(unix, options));
}

/** By `node:net`, whose sockets are streams. */
async function accept(
  path: string,
  { principal, door, limits, log }: UnixSocketDoorOptions,
): Promise<Omit<Listener, "address">> {
  const times = { idleTimeoutMs: limits.idleTimeoutMs, bodyTimeoutMs: limits.requestTimeoutMs };
  const connections = new Connections<undefined>(times, () => false);
  const connectionsMax = Math.min(limits.connectionsMax, limits.connectionsPerPrincipalMax);
  const gate = new RequestGate(limits);
  const load = { requests: 0, bytes: 0, part: 1 };
  const connection: DoorConnection = {
    kind: "unix",
    principal,
    peer: undefined,
    peerCertificate: undefined,
    otherCertificates: [],
  };
  const onError = (error: unknown): void => log.error({ err: error }, "a connection failed by a defect of the edge");
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    if (connections.closing || connections.size >= connectionsMax || !descriptorRoom.admits()) {
      return void socket.destroy();
    }
    const open = connections.add(socket, undefined);
    socket.once("close", () => connections.delete(open));
    const activity = connections.activityOf(open);
    serveSocketDoor(door, socket, { connection, load, gate, limits, activity, onError });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject);
      server.on("error", onError);
      resolve();
    });
  });
  return {
    async close(timeoutMs) {
      server.close();
      await connections.close(timeoutMs);
    },
  };
}
