/** What becomes of a TLS connection: its caller is known or not, and HTTP/1.1 or a door's own protocol is spoken over it. */
import type { TLSSocket } from "node:tls";
import type { ConnectionActivity } from "../../base/network/connections.ts";
import type { Http1Socket } from "../../base/network/http1/socket.ts";
import type { RequestGate } from "../../base/network/request-gate.ts";
import type { HandshakeLimit } from "../../base/network/tls/handshake-limit.ts";
import type { Peer } from "../../base/pki/peer-certificate.ts";
import type { TokenVerifier } from "../access/bearer-token.ts";
import type { DoorConnection } from "../doors/door.ts";
import type { ListenerDoors, ListenerLimits, ListenerLog } from "./listener.ts";
import { serveSocketDoor } from "./socket-doors.ts";
import { speakHttp } from "./speak-http.ts";
import type { TlsCallers } from "./tls-callers.ts";

export interface TlsConnectionParts {
  readonly doors: ListenerDoors;
  readonly callers: TlsCallers;
  /** Failures are counted against the peer's address. */
  readonly handshakes: HandshakeLimit;
  readonly gate: RequestGate;
  readonly tokens: TokenVerifier | undefined;
  readonly limits: ListenerLimits;
  readonly log: ListenerLog;
}

export interface TlsConnections {
  onConnection(socket: TLSSocket, peer: Peer, activity: ConnectionActivity): void;
  onError(error: unknown): void;
}

export function tlsConnections(parts: TlsConnectionParts): TlsConnections {
  const { doors, callers, handshakes, gate, tokens, limits, log } = parts;
  const onError = (error: unknown): void => log.error({ err: error }, "a connection failed by a defect of the edge");

  function onConnection(socket: TLSSocket, peer: Peer, activity: ConnectionActivity): void {
    const caller = callers.of(peer);
    if (caller === undefined) return void socket.destroy();
    caller.destroy = () => socket.destroy();
    const connection: DoorConnection = {
      kind: "http" in doors ? "https" : "tls",
      principal: caller.principal,
      peer: peer.remoteAddress,
      peerCertificate: peer.certificate?.der,
      otherCertificates: peer.certificate?.issuers ?? [],
      verifyToken: tokens && ((token) => tokens.principalOf(`Bearer ${token}`, peer.remoteAddress)),
    };
    if ("socket" in doors) {
      const isRefused = (): boolean => callers.refusalOf(caller, peer) !== undefined;
      if (isRefused()) {
        handshakes.failed(peer.remoteAddress);
        return void socket.destroy();
      }
      let isCounted = false;
      serveSocketDoor(doors.socket, socket, {
        connection,
        load: caller.share,
        gate,
        limits,
        activity,
        isRefused,
        countAgainstAddress() {
          if (!isCounted) handshakes.failed(peer.remoteAddress);
          isCounted = true;
        },
        onError,
      });
      if (!isCounted) handshakes.succeeded(peer.remoteAddress);
      return;
    }
    if (caller.refused === undefined) handshakes.succeeded(peer.remoteAddress);
    else handshakes.failed(peer.remoteAddress);
    speakHttp(socket as unknown as Http1Socket, {
      connection,
      doors: doors.http,
      share: caller.share,
      shares: callers.shares,
      gate,
      tokens,
      refusalOf: () => callers.refusalOf(caller, peer),
      onKnown: (share) => callers.known(caller, share),
      limits,
      activity,
      log,
    });
  }

  return { onConnection, onError };
}
