/**
 * TLS for callers on a network: TLS 1.3 (1.2 if asked for), over it HTTP/1.1 or a door's own protocol. The principal comes from the
 * client's certificate, or from a bearer token where there is none and the configuration names issuers.
 */
import type { TLSSocket } from "node:tls";
import { CryptoEdgeError, messageOf } from "../../base/errors.ts";
import type { ConnectionActivity } from "../../base/network/connections.ts";
import type { Http1Socket } from "../../base/network/http1.ts";
import { responseOf, writeError } from "../../base/network/problem.ts";
import { type CallerLoad, RequestGate } from "../../base/network/request-gate.ts";
import { startTlsServer } from "../../base/network/tls/server.ts";
import type { CertificateExpiry } from "../../base/pki/certificate-expiry.ts";
import { followFiles } from "../../base/pki/follow-files.ts";
import type { Peer } from "../../base/pki/peer-certificate.ts";
import type { RevocationLists } from "../../base/pki/revocation-list.ts";
import { filesOfServerTrust, readServerTrust, type ServerTrust } from "../../base/pki/server-trust.ts";
import type { Clock } from "../../base/time/clock.ts";
import { createTokenVerifier, type TokenIssuer, type TokenVerifier } from "../access/bearer-token.ts";
import { type NameSource, principalOfCertificate } from "../access/certificate-identity.ts";
import type { Principal } from "../access/principal.ts";
import { principalId } from "../access/principal-id.ts";
import type { DoorConnection } from "../doors/door.ts";
import {
  type Handler,
  type Listener,
  type ListenerDoors,
  ListenerError,
  type ListenerLimits,
  type ListenerLog,
} from "./listener.ts";
import { serveSocketDoor } from "./socket-doors.ts";
import { speakHttp1 } from "./speak-http1.ts";

export interface HttpsListenerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Paths of PEM files. */
  readonly cert: string;
  readonly key: string;
  readonly clientCa: string | undefined;
  /** `any`: every certificate passes, names nobody, and is shown to the doors. */
  readonly clientCertificates: "verified" | "any";
  /** Paths of revocation lists. */
  readonly clientCrl: readonly string[];
  readonly nameSources: readonly NameSource[];
  readonly minVersion: "TLSv1.3" | "TLSv1.2";
  /** Without any, a client certificate is a must. */
  readonly tokens: readonly TokenIssuer[];
  readonly administration: boolean;
  readonly limits: ListenerLimits;
  readonly clock: Clock;
  readonly log: ListenerLog;
  /** Told of the certificates in use. */
  readonly expiry?: CertificateExpiry | undefined;
}

/** What is known of one connection's other end. */
interface Caller {
  /** Undefined: without a certificate, so each request brings its token. */
  principal: Principal | undefined;
  /** Why its requests are refused: told to the caller, so that it need not guess from a broken connection. */
  refused: string | undefined;
  /** The revocation lists that it was checked against. */
  checkedBy: RevocationLists;
  readonly load: PrincipalLoad;
}

/** What one principal uses, over all its connections. */
interface PrincipalLoad extends CallerLoad {
  readonly id: string;
  connections: number;
}

/** @throws {ListenerError} for an address in use, or files that are no good. */
export async function listenOnHttps(options: HttpsListenerOptions, doors: ListenerDoors): Promise<Listener> {
  const { host, limits, clock, log, nameSources } = options;
  const socketDoor = doors.socket;
  const files = { cert: options.cert, key: options.key, clientCrl: options.clientCrl, clientCa: trustedCa(options) };
  let trust: ServerTrust;
  let tokens: TokenVerifier | undefined;
  try {
    trust = await readServerTrust(files, clock);
    tokens = options.tokens.length === 0 ? undefined : createTokenVerifier(options.tokens, clock);
  } catch (error) {
    throw new ListenerError(`The HTTPS listener on ${host}:${options.port} cannot start: ${messageOf(error)}`);
  }

  const takesOtherProofs = tokens !== undefined || doors.http?.takesProofs === true;
  const gate = new RequestGate(limits);
  const callers = new WeakMap<Peer, Caller>();
  const loads = new Map<string, PrincipalLoad>();
  const principals = new WeakMap<Request, Principal>();
  const identify = (request: Request): Principal => {
    const principal = principals.get(request);
    if (principal !== undefined) return principal;
    throw new CryptoEdgeError("unauthenticated", "Present a client certificate, or a token as Authorization: Bearer.");
  };
  const handler = doors.native?.({ identify, administration: options.administration });

  function loadOf(id: string): PrincipalLoad {
    let load = loads.get(id);
    if (load === undefined) {
      load = { id, requests: 0, bytes: 0, connections: 0 };
      loads.set(id, load);
    }
    return load;
  }

  /** Once for each connection. Only what must not cost a connection is cut here; the rest is answered, then closed. */
  function admit(peer: Peer): string | undefined {
    const { certificate, remoteAddress } = peer;
    let principal: Principal | undefined;
    let refused: string | undefined;
    if (certificate !== undefined && options.clientCertificates === "verified") {
      const identified = principalOfCertificate(certificate, remoteAddress, nameSources);
      if ("refused" in identified) refused = identified.refused;
      else principal = identified;
      refused ??= trust.revocationLists.refusalOf(certificate);
      if (refused !== undefined) {
        const { serial, issuer } = certificate;
        log.warn({ remoteAddress, serial, issuer, reason: refused }, "a client certificate is refused");
      }
    }
    // Callers without a certificate share one count: a token is only known once a request has come.
    const load = loadOf(principal === undefined ? "" : principalId(principal));
    if (principal !== undefined && load.connections >= limits.connectionsPerPrincipalMax) {
      return `too many connections of ${load.id}`;
    }
    load.connections++;
    callers.set(peer, { principal, refused, checkedBy: trust.revocationLists, load });
    return undefined;
  }

  function closed(peer: Peer): void {
    const load = callers.get(peer)?.load;
    if (load === undefined) return;
    load.connections--;
    if (load.connections === 0 && load.requests === 0) loads.delete(load.id);
  }

  /** The refusal of a connection's certificate, looked at again when there are new revocation lists. */
  function refusalOf(caller: Caller, peer: Peer): string | undefined {
    if (caller.checkedBy !== trust.revocationLists && peer.certificate !== undefined) {
      caller.checkedBy = trust.revocationLists;
      caller.refused ??= trust.revocationLists.refusalOf(peer.certificate);
    }
    return caller.refused;
  }

  async function answer(native: Handler, request: Request, peer: Peer): Promise<Response> {
    const caller = callers.get(peer);
    if (caller === undefined) return responseOf(writeError(badCertificate("the connection is not known")));
    const { principal = await tokenPrincipal(request, peer) } = caller;
    if (principal instanceof Response) return principal;
    if (principal !== undefined) principals.set(request, principal);
    return native(request);
  }

  /** Of a request without a certificate: undefined where it brings no token either, which is enough for a probe. */
  async function tokenPrincipal(request: Request, peer: Peer): Promise<Principal | Response | undefined> {
    const authorization = request.headers.get("authorization");
    if (tokens === undefined || authorization === null) return undefined;
    try {
      return await tokens.principalOf(authorization, peer.remoteAddress);
    } catch (error) {
      if (!(error instanceof CryptoEdgeError)) throw error;
      log.warn({ remoteAddress: peer.remoteAddress, reason: error.message }, "a bearer token is refused");
      return responseOf(writeError(error));
    }
  }

  function onConnection(socket: TLSSocket, peer: Peer, activity: ConnectionActivity): void {
    const caller = callers.get(peer);
    if (caller === undefined) return void socket.destroy();
    const connection: DoorConnection = {
      kind: socketDoor === undefined ? "https" : "tls",
      principal: caller.principal,
      peer: peer.remoteAddress,
      peerCertificate: peer.certificate?.der,
      verifyToken: tokens && ((token) => tokens.principalOf(`Bearer ${token}`, peer.remoteAddress)),
    };
    if (socketDoor !== undefined) {
      if (refusalOf(caller, peer) !== undefined) return void socket.destroy();
      serveSocketDoor(socketDoor, socket, { connection, load: caller.load, gate, limits, activity, onError });
      return;
    }
    speakHttp1(socket as unknown as Http1Socket, {
      connection,
      load: caller.load,
      refusalOf() {
        const refused = refusalOf(caller, peer) ?? expiry(peer, clock);
        return refused === undefined ? undefined : badCertificate(refused);
      },
      answer: handler === undefined ? undefined : (request) => answer(handler, request, peer),
      quick: handler?.quick,
      doors: doors.http,
      tokens,
      gate,
      limits,
      activity,
      onError,
      onRefused: ({ message: reason }) =>
        log.warn({ remoteAddress: peer.remoteAddress, reason }, "a caller was not known"),
    });
  }

  const onError = (error: unknown): void => log.error({ err: error }, "a connection failed by a defect of the edge");
  const server = await startTlsServer({
    hostname: host,
    port: options.port,
    sharesPort: limits.sharesPort ?? false,
    certificates: trust.certificates,
    clientCertificate: options.clientCertificates === "any" ? "any" : takesOtherProofs ? "optional" : "required",
    minVersion: options.minVersion,
    limits: {
      maxConnections: limits.connectionsMax,
      handshakeTimeoutMs: limits.requestTimeoutMs,
      idleTimeoutMs: limits.idleTimeoutMs,
      bodyTimeoutMs: limits.requestTimeoutMs,
      maxHeaderBytes: limits.headerBytesMax,
    },
    admit,
    onClosed: closed,
    onConnection,
    // Clients that would rather speak HTTP/2 fall back (RFC 7301).
    protocols: socketDoor === undefined ? ["http/1.1"] : [],
    onRefused: ({ remoteAddress, code, reason }) =>
      log.warn({ remoteAddress, code, reason }, "a connection is refused"),
    onError,
  }).catch((error: unknown) => {
    throw (error as { code?: string }).code === "EADDRINUSE"
      ? new ListenerError(`Port ${options.port} on ${host} is in use. Stop what listens there, or choose another port.`)
      : new ListenerError(`Cannot listen on ${host}:${options.port}: ${messageOf(error)}.`);
  });

  const address = `${socketDoor === undefined ? "https" : "tls"}://${host.includes(":") ? `[${host}]` : host}:${server.port}`;
  const tell = (): void => {
    options.expiry?.use(address, files.cert, trust.chain);
    if (files.clientCa !== undefined) options.expiry?.use(address, files.clientCa, trust.authorities);
  };
  tell();
  const jwksFiles = options.tokens.map(({ jwks }) => jwks).filter((place) => !/^https?:/.test(place));
  const following = followFiles({
    role: address,
    files: [...filesOfServerTrust(files), ...jwksFiles],
    clock,
    log,
    read: () => readServerTrust(files, clock),
    use(renewed) {
      server.reload(renewed.certificates);
      trust = renewed;
      tokens?.reload();
      tell();
    },
  });

  return {
    address,
    reload: following.reload,
    async close(timeoutMs) {
      following.close();
      await server.close(timeoutMs);
    },
  };
}

/** Undefined where any client certificate passes: then nobody vouches for it. */
function trustedCa({ clientCertificates, clientCa }: HttpsListenerOptions): string | undefined {
  return clientCertificates === "any" ? undefined : clientCa;
}

/** A certificate may end while its connection lives on. */
function expiry({ certificate }: Peer, clock: Clock): string | undefined {
  return certificate !== undefined && certificate.notAfterMs < clock.wallMs() ? "it has expired" : undefined;
}

function badCertificate(reason: string): CryptoEdgeError {
  return new CryptoEdgeError("unauthenticated", `The client certificate is refused: ${reason}. Use another one.`);
}
