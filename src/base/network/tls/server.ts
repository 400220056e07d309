/**
 * TLS with client certificates, for runtimes whose own HTTPS server doesn't show the peer's certificate: `node:tls` accepts, and each
 * socket is handed to whoever speaks on it, or to a plain `node:http` server. HTTP/1.1 alone: clients that would rather speak HTTP/2 fall
 * back by ALPN. Works alike on Bun, Deno and Node.
 */
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { createServer as createTlsServer, type Server as NodeTlsServer, type TLSSocket } from "node:tls";
import { type Peer, readShownCertificate } from "../../pki/peer-certificate.ts";
import { type Connection, type ConnectionActivity, Connections, type TimeLimits } from "../connections.ts";
import { requireListenPermission } from "../listen-permission.ts";
import type { HandshakeLimit } from "./handshake-limit.ts";

/** PEM texts. Any of them may be a chain or a bundle. */
export interface ServerCertificates {
  readonly cert: string;
  readonly key: string;
  /** The authorities whose client certificates are accepted; empty where any are. */
  readonly clientCa: string;
}

export type TlsRequest = IncomingMessage;
export type TlsResponse = ServerResponse;

export interface TlsServerOptions {
  readonly hostname: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Whether other processes listen on the same port (`SO_REUSEPORT`). */
  readonly sharesPort?: boolean;
  readonly certificates: ServerCertificates;
  /**
   * `optional` lets callers without a certificate in (who then authenticate otherwise); a bad one is always refused. `any` does so too, and takes every
   * certificate whose key the peer proves to hold, whoever signed it: what it is worth is then for the application to say.
   */
  readonly clientCertificate?: "required" | "optional" | "any";
  readonly minVersion?: "TLSv1.3" | "TLSv1.2";
  readonly limits?: Partial<TlsServerLimits>;
  /** Told of failures here; what succeeded is for the application to say. Without it handshakes may fail as often as they will. */
  readonly handshakes?: HandshakeLimit;
  /** Answers a request. Never rejects: what it throws ends the connection and goes to `onError`. */
  readonly onRequest?: (request: TlsRequest, response: TlsResponse, peer: Peer) => void | Promise<void>;
  /** Takes the connection in the place of `onRequest`. */
  readonly onConnection?: (socket: TLSSocket, peer: Peer, activity: ConnectionActivity) => void;
  /** What is offered by ALPN, by default what `onRequest` speaks; none: no protocol is negotiated. */
  readonly protocols?: readonly string[];
  /**
   * A last look at a verified peer, once per connection: a reason refuses it (a revoked certificate, too many
   * connections). Synchronous: it stands on the accepting path.
   */
  readonly admit?: (peer: Peer) => string | undefined;
  /** An admitted connection has ended. */
  readonly onClosed?: (peer: Peer) => void;
  /** A connection that was refused before any request: for a log line. Reasons name no secret. */
  readonly onRefused?: (refusal: {
    readonly remoteAddress: string;
    readonly code: string;
    readonly reason: string;
  }) => void;
  /** A fault in a handler or a connection, after admission. */
  readonly onError?: (error: unknown) => void;
}

export interface TlsServerLimits extends TimeLimits {
  readonly maxConnections: number;
  /** From the TCP connection to the end of the TLS handshake. */
  readonly handshakeTimeoutMs: number;
  readonly maxHeaderBytes: number;
}

export const DEFAULT_TLS_LIMITS: TlsServerLimits = {
  maxConnections: 10_000,
  handshakeTimeoutMs: 10_000,
  idleTimeoutMs: 60_000,
  bodyTimeoutMs: 30_000,
  maxHeaderBytes: 16_384,
};

export interface TlsServer {
  readonly port: number;
  /** Of the socket that listens; undefined where the runtime does not tell. */
  readonly descriptor: number | undefined;
  /** Connections that passed the handshake and are open. */
  readonly connections: number;
  /** New connections use these; open ones go on undisturbed. Throws, changing nothing, where they don't fit together. */
  reload(certificates: ServerCertificates): void;
  /** Asks `admit` again about every open connection, and ends those it refuses now. */
  recheck(): void;
  /** Each answer is its connection's last from now on: `Connections.drain`. */
  drain(leastMs: number, mostMs: number): Promise<void>;
  /** Stops accepting, waits for requests in flight up to `graceMs`, then cuts what is left. */
  close(graceMs?: number): Promise<void>;
}

const CONNECTION = Symbol("crypto-edge connection");

/** @throws the system's error where the address can't be listened on, or a TLS error where the certificates are bad. */
export async function startTlsServer(options: TlsServerOptions): Promise<TlsServer> {
  requireListenPermission(options.hostname, options.port);
  const { handshakes } = options;
  const limits: TlsServerLimits = { ...DEFAULT_TLS_LIMITS, ...options.limits };
  // A certificate may end while its connection lives on: a stream ends with it.
  const hasExpired = ({ certificate }: Peer): boolean =>
    certificate !== undefined && certificate.notAfterMs < Date.now();
  const connections = new Connections<Peer>(limits, hasExpired);

  const handle = (request: TlsRequest, response: TlsResponse): void => {
    const connection = connectionOf(request);
    if (connection === undefined) return void request.socket?.destroy();
    if (hasExpired(connection.peer)) return void connection.socket.destroy();
    connection.inFlight++;
    if (hasBody(request)) connection.bodies.set(request, performance.now());
    const bodyEnded = (): void => void connection.bodies.delete(request);
    request.once("end", bodyEnded);
    let finished = false;
    const finish = (): void => {
      if (finished) return;
      finished = true;
      bodyEnded();
      connection.inFlight--;
      connection.idleSinceMs = performance.now();
    };
    response.once("finish", finish);
    response.once("close", finish);
    request.on("error", () => finish());
    response.on("error", () => finish());
    if (connections.closing) response.setHeader("connection", "close");
    const failed = (error: unknown): void => {
      options.onError?.(error);
      connection.socket.destroy();
    };
    try {
      const done = options.onRequest!(request, response, connection.peer);
      if (done instanceof Promise) done.catch(failed);
    } catch (error) {
      failed(error);
    }
  };

  // It gets its sockets from the TLS server below, so its own timeouts are off: the sweep does that work.
  const http1 = createHttpServer(
    { maxHeaderSize: limits.maxHeaderBytes, keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 },
    handle,
  );
  http1.on("clientError", (_error: Error, socket: { destroy(): void }) => socket.destroy());

  const protocols = options.protocols ?? ["http/1.1"];
  const secureOptions = (certificates: ServerCertificates) => ({
    cert: certificates.cert,
    key: certificates.key,
    ...(certificates.clientCa === "" ? {} : { ca: certificates.clientCa }),
    requestCert: true,
    rejectUnauthorized: (options.clientCertificate ?? "required") === "required",
    minVersion: options.minVersion ?? ("TLSv1.3" as const),
    ...(protocols.length === 0 ? {} : { ALPNProtocols: [...protocols] }),
    handshakeTimeout: limits.handshakeTimeoutMs,
  });

  const server: NodeTlsServer = createTlsServer(secureOptions(options.certificates), (socket) => {
    socket.on("error", () => socket.destroy());
    const remoteAddress = socket.remoteAddress ?? "";
    const refuse = (code: string, reason: string): void => {
      handshakes?.failed(remoteAddress);
      options.onRefused?.({ remoteAddress, code, reason });
      socket.destroy();
    };
    if (connections.closing) return void socket.destroy();
    if (connections.size >= limits.maxConnections) return refuse("too_many_connections", "too many connections");
    let peer: Peer;
    try {
      peer = { remoteAddress, certificate: certificateOf(socket) };
    } catch {
      return refuse("bad_certificate", "the client's certificate can't be read");
    }
    if (peer.certificate === undefined) {
      if ((options.clientCertificate ?? "required") === "required")
        return refuse("no_certificate", "no client certificate was given");
    } else if (!socket.authorized && options.clientCertificate !== "any") {
      return refuse("bad_certificate", String(socket.authorizationError ?? "the client's certificate is not trusted"));
    }
    const reason = options.admit?.(peer);
    if (reason !== undefined) return refuse("not_admitted", reason);
    const connection = connections.add(socket, peer);
    Object.defineProperty(socket, CONNECTION, { value: connection });
    socket.once("close", () => {
      connections.delete(connection);
      options.onClosed?.(peer);
    });
    socket.setNoDelay(true);
    if (options.onConnection !== undefined) options.onConnection(socket, peer, connections.activityOf(connection));
    else http1.emit("connection", socket);
  });
  /** Of those that may try their handshake. */
  const addresses = new WeakMap<object, string>();
  server.on("tlsClientError", (error: NodeJS.ErrnoException, socket?: TLSSocket & { readonly _parent?: object }) => {
    // Which of the two sockets was announced differs between runtimes.
    const remoteAddress = addresses.get(socket ?? {}) ?? addresses.get(socket?._parent ?? {});
    socket?.destroy();
    if (remoteAddress === undefined) return;
    handshakes?.failed(remoteAddress);
    options.onRefused?.({ remoteAddress, code: error.code ?? "handshake_failed", reason: error.message });
  });
  server.prependListener("connection", (socket: Socket) => {
    const remoteAddress = socket.remoteAddress ?? "";
    if (handshakes?.admits(remoteAddress) !== false) return void addresses.set(socket, remoteAddress);
    if (handshakes.isToBeTold(remoteAddress)) {
      options.onRefused?.({ remoteAddress, code: "too_many_failures", reason: "too many handshakes failed" });
    }
    socket.destroy();
  });
  // A flood of connections that never finish their handshake is bounded too.
  server.maxConnections = limits.maxConnections * 2;

  const address = { port: options.port, host: options.hostname, reusePort: options.sharesPort ?? false };
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(address, () => {
      server.off("error", reject);
      server.on("error", (error) => options.onError?.(error));
      resolve();
    });
  });
  const bound = server.address();
  const port = typeof bound === "object" && bound !== null ? bound.port : options.port;

  let closed: Promise<void> | undefined;
  const { fd } = (server as { readonly _handle?: { readonly fd?: number } | null })._handle ?? {};
  return {
    port,
    descriptor: fd,
    drain: (leastMs, mostMs) => connections.drain(leastMs, mostMs),
    get connections() {
      return connections.size;
    },
    reload: (certificates) => server.setSecureContext(secureOptions(certificates)),
    recheck() {
      connections.destroyWhere((peer) => options.admit?.(peer) !== undefined);
    },
    close(graceMs = 0) {
      closed ??= (async () => {
        const stopped = new Promise<void>((resolve) => server.close(() => resolve()));
        await connections.close(graceMs);
        // A socket in its handshake may hold the server open: what matters is done.
        await Promise.race([stopped, new Promise<void>((resolve) => setTimeout(resolve, 500).unref())]);
      })();
      return closed;
    },
  };
}

/** Only a body is waited for with a time limit: nobody may read a request without one to its end. */
function hasBody({ headers }: TlsRequest): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}

function certificateOf(socket: TLSSocket): Peer["certificate"] {
  return readShownCertificate(socket.getPeerCertificate(true));
}

function connectionOf({ socket }: TlsRequest): Connection<Peer> | undefined {
  return (socket as { [CONNECTION]?: Connection<Peer> })[CONNECTION];
}
