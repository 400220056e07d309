/**
 * KMIP, the part of it that needs no state (docs/door-kmip.md): the identifier of an object is the object, wrapped. One connection is one caller: that
 * of its client certificate.
 */
import { TokenBuckets } from "../../../base/time/token-bucket.ts";
import { compileGlobs } from "../../access/glob.ts";
import { principalId } from "../../access/principal-id.ts";
import type { Caller, ServiceKeyName } from "../../operations/operations.ts";
import type { DoorContext, DoorFactory, SocketDoor } from "../door.ts";
import type { KmipConfiguration } from "./configuration.ts";
import { type ConnectionParts, KmipConnection } from "./connection.ts";
import { createRevokeService, type RevokeService } from "./core-revocation.ts";
import { RESULT_REASON } from "./enumerations.ts";
import { KmipFailure } from "./failure.ts";

/** Principals whose handshakes are counted. */
const PRINCIPALS_MAX = 10_000;

const TOO_MANY_CONNECTIONS = new KmipFailure(
  RESULT_REASON.generalFailure,
  "This principal makes too many connections. Try again in a second; keep connections open, or ask whoever runs the edge for a higher handshakes_per_second.",
);

export const door: DoorFactory<KmipConfiguration> = { create: createKmipDoor };

export function createKmipDoor(section: KmipConfiguration, context: DoorContext): SocketDoor {
  const { now, log, operations, version } = context;
  const handshakes = new TokenBuckets({ perSecond: section.handshakes_per_second }, now, PRINCIPALS_MAX);
  const parts: ConnectionParts = {
    operations,
    log,
    serviceOf: serviceOf(section),
    nowSeconds: () => Math.floor(now.wallMs() / 1_000),
    monotonicMs: () => now.monotonicMs(),
    vendor: `crypto-edge ${version}`,
    revokeService: revokeService(section),
  };
  return {
    name: "kmip",
    transport: "socket",
    serve(socket, { principal }, limits) {
      if (principal === undefined) return void socket.destroy();
      const tooMany = handshakes.get(principalId(principal)).take(1) > 0;
      if (tooMany) limits.countAgainstAddress();
      const caller: Caller = { principal, door: "kmip", requestId: undefined };
      new KmipConnection(socket, caller, limits, parts, tooMany ? TOO_MANY_CONNECTIONS : undefined);
    },
  };
}

/** Where new objects of a caller belong: by the first entry that names it, else the door's own tenant and service. */
function serviceOf({ places, tenant, service }: KmipConfiguration): (caller: Caller) => ServiceKeyName | undefined {
  const byPrincipal = places.map((place) => ({ named: compileGlobs(place.principals), place }));
  const general = tenant === undefined ? undefined : { tenant, service };
  return ({ principal }) => {
    const id = principalId(principal);
    const found = byPrincipal.find(({ named }) => named(id))?.place;
    return found === undefined ? general : { tenant: found.tenant, service: found.service };
  };
}

/** @throws {Error} for a section that can't work */
function revokeService({ forward, core, revoke_principals: principals }: KmipConfiguration): RevokeService | undefined {
  if (forward === undefined) {
    if (core === undefined && principals.length === 0) return undefined;
    throw new Error('"core" and "revoke_principals" are for "forward: core": add it, or remove them.');
  }
  if (core === undefined)
    throw new Error('"forward: core" needs "core:" with url, ca, cert and key of an administrator.');
  if (principals.length === 0) throw new Error('"forward: core" needs "revoke_principals": who may revoke.');
  return createRevokeService(core, principals);
}
