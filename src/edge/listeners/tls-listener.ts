/**
 * TLS for callers on a network: TLS 1.3 (1.2 if asked for), over it HTTP/1.1 or a door's own protocol. The principal comes from the
 * client's certificate, else from what each request proves: a bearer token where the configuration names issuers, or a door's own proof.
 */
import { messageOf } from "../../base/errors.ts";
import { RequestGate } from "../../base/network/request-gate.ts";
import { HandshakeLimit } from "../../base/network/tls/handshake-limit.ts";
import { startTlsServer } from "../../base/network/tls/server.ts";
import type { CertificateExpiry } from "../../base/pki/certificate-expiry.ts";
import { followFiles } from "../../base/pki/follow-files.ts";
import {
  filesOfServerTrust,
  readRenewedServerTrust,
  readServerTrust,
  type ServerTrust,
} from "../../base/pki/server-trust.ts";
import { stateOfFiles } from "../../base/pki/watch-files.ts";
import { joinPortGroup } from "../../base/system/port-group.ts";
import type { Clock } from "../../base/time/clock.ts";
import { createTokenVerifier, type TokenIssuer, type TokenVerifier } from "../access/bearer-token.ts";
import type { NameSource } from "../access/certificate-identity.ts";
import { handOver } from "./hand-over.ts";
import { type Listener, type ListenerDoors, ListenerError, type ListenerLimits, type ListenerLog } from "./listener.ts";
import { TlsCallers } from "./tls-callers.ts";
import { tlsConnections } from "./tls-connections.ts";

export interface TlsListenerOptions {
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
  /** Without any, a client certificate is a must, unless a door has a proof of its own. */
  readonly tokens: readonly TokenIssuer[];
  readonly limits: ListenerLimits;
  /** Whether another edge may serve the same port, and this one hands over to it at its end. */
  readonly shared?: boolean;
  readonly clock: Clock;
  readonly log: ListenerLog;
  /** Told of the certificates in use. */
  readonly expiry?: CertificateExpiry | undefined;
}

/** What a client may offer; who would rather speak HTTP/2 falls back (RFC 7301). */
const HTTP_PROTOCOLS = ["http/1.1", "http/1.0"];

/** @throws {ListenerError} for an address in use, or files that are no good. */
export async function listenOnTls(options: TlsListenerOptions, doors: ListenerDoors): Promise<Listener> {
  const { host, limits, shared = false, clock, log } = options;
  const files = { cert: options.cert, key: options.key, clientCrl: options.clientCrl, clientCa: trustedCa(options) };
  const jwksFiles = options.tokens.map(({ jwks }) => jwks).filter((place) => !/^https?:/.test(place));
  const followed = [...filesOfServerTrust(files), ...jwksFiles];
  const since = stateOfFiles(followed);
  let trust: ServerTrust;
  let tokens: TokenVerifier | undefined;
  try {
    trust = await readServerTrust(files, clock);
    tokens = options.tokens.length === 0 ? undefined : createTokenVerifier(options.tokens, clock);
  } catch (error) {
    throw new ListenerError(`The HTTPS listener on ${host}:${options.port} cannot start: ${messageOf(error)}`);
  }

  const takesOtherProofs = tokens !== undefined || ("http" in doors && doors.http.takesProofs);
  const handshakes = new HandshakeLimit(limits.failedHandshakesPerSecond, clock);
  const callers = new TlsCallers({
    namesBy: options.clientCertificates === "any" ? "doors" : "certificate",
    nameSources: options.nameSources,
    revocationLists: () => trust.revocationLists,
    limits,
    clock,
    log,
  });
  const serve = tlsConnections({ doors, callers, handshakes, gate: new RequestGate(limits), tokens, limits, log });

  const server = await startTlsServer({
    hostname: host,
    port: options.port,
    sharesPort: (limits.sharesPort ?? false) || shared,
    certificates: trust.certificates,
    clientCertificate: options.clientCertificates === "any" ? "any" : takesOtherProofs ? "optional" : "required",
    minVersion: options.minVersion,
    limits: {
      maxConnections: limits.connectionsMax,
      handshakeTimeoutMs: limits.requestTimeoutMs,
      idleTimeoutMs: limits.idleTimeoutMs,
      bodyTimeoutMs: limits.requestTimeoutMs,
    },
    handshakes,
    admit: (peer) => callers.admit(peer),
    onClosed: (peer) => callers.closed(peer),
    onConnection: serve.onConnection,
    protocols: "http" in doors ? HTTP_PROTOCOLS : [],
    onRefused: ({ remoteAddress, code, reason }) =>
      log.warn({ remoteAddress, code, reason }, "a connection is refused"),
    onError: serve.onError,
  }).catch((error: unknown) => {
    throw (error as { code?: string }).code === "EADDRINUSE"
      ? new ListenerError(`Port ${options.port} on ${host} is in use. Stop what listens there, or choose another port.`)
      : new ListenerError(`Cannot listen on ${host}:${options.port}: ${messageOf(error)}.`);
  });

  const group = shared && server.descriptor !== undefined ? await joinPortGroup(server.descriptor) : undefined;
  const scheme = "http" in doors ? "https" : "tls";
  const address = `${scheme}://${host.includes(":") ? `[${host}]` : host}:${server.port}`;
  const tell = (): void => {
    options.expiry?.use(address, files.cert, trust.chain);
    if (files.clientCa !== undefined) options.expiry?.use(address, files.clientCa, trust.authorities);
    options.expiry?.useLists(address, trust.revocationLists);
  };
  tell();
  const following = followFiles({
    role: address,
    files: followed,
    since,
    clock,
    log,
    read: async () => ({ renewed: await readRenewedServerTrust(files, clock), issuers: tokens?.read() }),
    use({ renewed, issuers }) {
      server.reload(renewed.certificates);
      trust = renewed;
      if (issuers !== undefined) tokens?.use(issuers);
      tell();
    },
  });

  return {
    address,
    reload: following.reload,
    ...(shared
      ? {
          drain(timeoutMs: number) {
            group?.leave();
            return handOver(server, timeoutMs);
          },
        }
      : {}),
    async close(timeoutMs) {
      following.close();
      await server.close(timeoutMs);
    },
  };
}

/** Undefined where any client certificate passes: then nobody vouches for it. */
function trustedCa({ clientCertificates, clientCa }: TlsListenerOptions): string | undefined {
  return clientCertificates === "any" ? undefined : clientCa;
}
