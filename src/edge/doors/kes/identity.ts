/** Who a KES client is: the hash of its public key, however its certificate was signed (KES makes a new one at every start). */
import { createHash, X509Certificate } from "node:crypto";
import type { Principal } from "../../access/principal.ts";
import type { DoorConnection } from "../door.ts";

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

const principals = new WeakMap<DoorConnection, Principal>();

/** One object for all requests of a connection, so that what the policy decided is remembered by it. */
export function principalOf(connection: DoorConnection): Principal | undefined {
  let principal = principals.get(connection);
  if (principal === undefined) {
    const name = identityOf(connection);
    if (name === undefined) return undefined;
    const { peer } = connection;
    principal = { kind: "public_key", name, ...(peer === undefined ? {} : { peer }) };
    principals.set(connection, principal);
  }
  return principal;
}
