/** From an entry of `listeners:` to a listener that is open. */

import type { CertificateExpiry } from "../base/pki/certificate-expiry.ts";
import { loadMetadata } from "../base/system/metadata.ts";
import type { Clock } from "../base/time/clock.ts";
import type { Principal } from "./access/principal.ts";
import type { LimitsConfiguration, ListenerConfiguration } from "./config/schema.ts";
import type { DoorRoutes } from "./listeners/door-routes.ts";
import {
  type Listener,
  type ListenerDoors,
  ListenerError,
  type ListenerLimits,
  type ListenerLog,
} from "./listeners/listener.ts";
import { listenOnPort, listenOnUnixSocket } from "./listeners/plain-http.ts";

export interface ListenerParts {
  readonly limits: LimitsConfiguration;
  readonly doors: ListenerDoors;
  readonly clock: Clock;
  readonly log: ListenerLog;
  /** Told of the certificates in use. */
  readonly expiry?: CertificateExpiry | undefined;
  readonly sharesPort: boolean;
}

/** @throws {ListenerError} */
export async function openListener(configuration: ListenerConfiguration, parts: ListenerParts): Promise<Listener> {
  const { doors, clock, log } = parts;
  const limits = listenerLimits(parts.limits, parts.sharesPort);
  if ("https" in configuration || "tls" in configuration) {
    const { cert, key } = configuration;
    const isHttps = "https" in configuration;
    // TLS, certificates and tokens are loaded where a listener has them.
    await loadMetadata();
    const { listenOnTls } = await import("./listeners/tls-listener.ts");
    return listenOnTls(
      {
        ...(isHttps ? configuration.https : configuration.tls),
        cert,
        key,
        tokens: isHttps ? configuration.tokens : [],
        clientCa: configuration.client_ca,
        clientCertificates: configuration.client_certificates,
        clientCrl: configuration.client_crl,
        nameSources: configuration.principal_from,
        shared: isHttps && configuration.shared,
        minVersion: `TLSv${configuration.min_tls}`,
        limits,
        clock,
        log,
        expiry: parts.expiry,
      },
      doors,
    );
  }
  const principal: Principal = { kind: "listener", name: configuration.principal };
  if ("http" in configuration) {
    const { host, port } = configuration.http;
    return listenOnPort(host, port, {
      principal,
      doors: httpOf(doors),
      limits,
      log,
      shared: configuration.shared,
    });
  }
  const { unix, mode, owner, shared } = configuration;
  const socket = {
    mode: Number.parseInt(mode, 8),
    ...(owner === undefined ? {} : { owner }),
    ...(shared ? { shared: clock } : {}),
  };
  if ("socket" in doors) {
    const { listenWithSocketDoor } = await import("./listeners/socket-doors.ts");
    return listenWithSocketDoor(unix, socket, { principal, door: doors.socket, limits, log });
  }
  return listenOnUnixSocket(unix, socket, { principal, doors: doors.http, limits, log });
}

/** The configuration's check lets no other doors near an HTTP port. */
function httpOf(doors: ListenerDoors): DoorRoutes {
  if ("http" in doors) return doors.http;
  throw new ListenerError("A door with a protocol of its own has a unix or a tls listener.");
}

export function listenerLimits(limits: LimitsConfiguration, sharesPort: boolean): ListenerLimits {
  return {
    connectionsMax: limits.max_connections,
    connectionsPerPrincipalMax: limits.max_connections_per_principal,
    failedHandshakesPerSecond: limits.failed_handshakes_per_second,
    requestsMax: limits.max_requests,
    requestsPerCallerMax: limits.max_requests_per_principal,
    headerBytesMax: limits.max_header,
    bodyBytesMax: limits.max_body,
    bodiesBytesMax: limits.max_bodies,
    requestTimeoutMs: limits.request_timeout,
    idleTimeoutMs: limits.idle_timeout,
    sharesPort,
  };
}
