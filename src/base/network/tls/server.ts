/**
 * TLS with client certificates, for runtimes whose own HTTPS server doesn't show the peer's certificate: `node:tls` accepts, and each
 * socket is handed to whoever speaks on it. HTTP/1.1 alone: clients that would rather speak HTTP/2 fall back by ALPN. Works alike on Bun,
 * Deno and Node.
 */
import type { Socket } from "node:net";
import { createServer as createTlsServer, type Server as NodeTlsServer, type TLSSocket } from "node:tls";
import { type Peer, readShownCertificate } from "../../pki/peer-certificate.ts";
import { descriptorRoom } from "../../system/descriptors.ts";
import { openAskReadable } from "../../system/readable-descriptors.ts";
import { type ConnectionActivity, Connections, type TimeLimits } from "../connections.ts";
import { requireListenPermission } from "../listen-permission.ts";
import { boundReceiveBuffers } from "../receive-buffer.ts";
import type { HandshakeLimit } from "./handshake-limit.ts";
import { type Handshake, HandshakeLine } from "./handshake-line.ts";

/** PEM texts. Any of them may be a chain or a bundle. */
export interface ServerCertificates {
  readonly cert: string;
  readonly key: string;
  /** The authorities whose client certificates are accepted; empty where any are. */
  readonly clientCa: string;
}

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
  /** Takes an admitted connection, and tells `activity` of what happens on it, so that the time limits hold. */
  readonly onConnection: (socket: TLSSocket, peer: Peer, activity: ConnectionActivity) => void;
  /** What is offered by ALPN, by default HTTP/1.1; none: no protocol is negotiated. */
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
}

const DEFAULT_TLS_LIMITS: TlsServerLimits = {
  maxConnections: 10_000,
  handshakeTimeoutMs: 10_000,
  idleTimeoutMs: 60_000,
  bodyTimeoutMs: 30_000,
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

/** @throws the system's error where the address can't be listened on, or a TLS error where the certificates are bad. */
export async function startTlsServer(options: TlsServerOptions): Promise<TlsServer> {
  requireListenPermission(options.hostname, options.port);
  const { handshakes } = options;
  const limits: TlsServerLimits = { ...DEFAULT_TLS_LIMITS, ...options.limits };
  // A certificate may end while its connection lives on: a stream ends with it.
  const hasExpired = ({ certificate }: Peer): boolean =>
    certificate !== undefined && certificate.notAfterMs < Date.now();
  const connections = new Connections<Peer>(limits, hasExpired);

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

  const askReadable = "Bun" in globalThis ? await openAskReadable() : undefined;
  /** On other runtimes a socket that is announced can't be paused: none waits there. */
  const line = askReadable && new HandshakeLine(askReadable);
  /** Of those that may try it. */
  const attempts = new WeakMap<object, Attempt>();
  const end = (attempt: Attempt | undefined): void => void (attempt && line?.ended(attempt));
  const server: NodeTlsServer = createTlsServer(secureOptions(options.certificates), (socket) => {
    end(attempts.get(socket));
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
    socket.once("close", () => {
      connections.delete(connection);
      options.onClosed?.(peer);
    });
    socket.setNoDelay(true);
    options.onConnection(socket, peer, connections.activityOf(connection));
  });
  server.on("tlsClientError", (error: NodeJS.ErrnoException, socket?: TLSSocket & { readonly _parent?: object }) => {
    // Which of the two sockets was announced differs between runtimes.
    const attempt = attempts.get(socket ?? {}) ?? attempts.get(socket?._parent ?? {});
    end(attempt);
    socket?.destroy();
    if (attempt === undefined) return;
    const { remoteAddress } = attempt;
    handshakes?.failed(remoteAddress);
    options.onRefused?.({ remoteAddress, code: error.code ?? "handshake_failed", reason: error.message });
  });
  server.prependListener("connection", (socket: Socket) => {
    if (!descriptorRoom.admits()) return void socket.destroy();
    const remoteAddress = socket.remoteAddress ?? "";
    if (handshakes?.admits(remoteAddress) !== false) {
      const attempt = new Attempt(socket, remoteAddress);
      attempts.set(socket, attempt);
      if (line === undefined) return;
      socket.once("close", () => line.ended(attempt));
      return line.begin(attempt);
    }
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
  await boundReceiveBuffers(fd);
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

interface PausableHandle {
  readonly fd?: number;
  pause?(): void;
  resume?(): void;
}

/** A connection's handshake. It is the runtime that reads then, not the stream. */
class Attempt implements Handshake {
  readonly remoteAddress: string;
  readonly #socket: Socket & { readonly _handle?: PausableHandle | null };

  constructor(socket: Socket, remoteAddress: string) {
    this.#socket = socket;
    this.remoteAddress = remoteAddress;
  }

  get descriptor(): number {
    return this.#socket._handle?.fd ?? -1;
  }

  pause(): void {
    this.#socket._handle?.pause?.();
  }

  resume(): void {
    this.#socket._handle?.resume?.();
  }
}

function certificateOf(socket: TLSSocket): Peer["certificate"] {
  return readShownCertificate(socket.getPeerCertificate(true));
}
