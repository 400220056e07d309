/** Who a KES client is: the hash of its public key, however its certificate was signed (KES makes a new one at every start). */
import { createHash, X509Certificate } from "node:crypto";
import { OperationError } from "../../../base/errors.ts";
import { readPeerCertificate } from "../../../base/pki/peer-certificate.ts";
import type { DoorConnection, DoorIdentity } from "../door.ts";

const known = new WeakMap<DoorConnection, string | undefined>();

/** Lower-case hexadecimal SHA-256 of the SubjectPublicKeyInfo; undefined without a certificate. Made once a connection. */
export function identityOf(connection: DoorConnection): string | undefined {
  const { peerCertificate } = connection;
  if (peerCertificate === undefined) return undefined;
  if (!known.has(connection)) known.set(connection, hashOfKey(peerCertificate));
  return known.get(connection);
}

function hashOfKey(certificate: Uint8Array): string | undefined {
  try {
    const key = new X509Certificate(certificate).publicKey.export({ type: "spki", format: "der" });
    return createHash("sha256").update(key).digest("hex");
  } catch {
    return undefined;
  }
}

/** One object for all requests of a connection, so that what the policy decided is remembered by it. */
const identities = new WeakMap<DoorConnection, DoorIdentity>();

export function identify(connection: DoorConnection): DoorIdentity {
  let identity = identities.get(connection);
  if (identity === undefined) {
    identity = makeIdentity(connection);
    identities.set(connection, identity);
  }
  return identity;
}

/** As KES: of what the client sent one certificate alone may be no authority's. Here it is also the one whose key is proven. */
function makeIdentity(connection: DoorConnection): DoorIdentity {
  const { peer, peerCertificate, otherCertificates } = connection;
  if (otherCertificates.some(({ isAuthority }) => !isAuthority)) {
    return refused("tls: received more than one client certificate");
  }
  const isAuthority = peerCertificate !== undefined && readPeerCertificate(peerCertificate).isAuthority;
  const name = isAuthority ? undefined : identityOf(connection);
  if (name === undefined) return refused("tls: client certificate is required");
  return { kind: "proven", principal: { kind: "public_key", name, ...(peer === undefined ? {} : { peer }) } };
}

/** 400, in KES's words. */
function refused(message: string): DoorIdentity {
  return { kind: "refused", error: new OperationError("invalid_request", message) };
}
