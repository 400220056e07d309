import { type Identity, parseSpiffeId } from "../base/pki/identity.ts";
import type { Peer } from "../base/pki/peer-certificate.ts";
import { CoreError } from "./protocol/core-error.ts";

/** Who calls, from the SPIFFE ID of its certificate. One ID, of this Core's trust domain. @throws CoreError */
export function identifyCaller(peer: Peer, trustDomain: string): Identity {
  if (peer.certificate?.isAuthority === true) {
    throw new CoreError("not_allowed", "the client certificate is an authority's (CA:TRUE), which is no caller's");
  }
  const ids = peer.certificate?.uris.filter((uri) => uri.startsWith("spiffe://")) ?? [];
  const [only] = ids;
  const parsed = ids.length === 1 && only !== undefined ? parseSpiffeId(only) : undefined;
  if (parsed === undefined) {
    throw new CoreError("not_allowed", "the client certificate must name exactly one SPIFFE ID in its URI SAN");
  }
  if (parsed.trustDomain !== trustDomain) {
    throw new CoreError(
      "not_allowed",
      `the client certificate is of the trust domain ${parsed.trustDomain}, not ${trustDomain}`,
    );
  }
  return parsed.identity;
}

/** What a peer's connections are counted under: its SPIFFE ID, whatever else it is allowed. */
export function callerName(peer: Peer): string {
  return peer.certificate?.uris.find((uri) => uri.startsWith("spiffe://")) ?? "a caller without a SPIFFE ID";
}

export function requireEdge(identity: Identity): string {
  if (identity.kind === "edge") return identity.edge;
  throw new CoreError("edge_not_allowed", "only an edge may call this: its certificate names spiffe://…/edge/<id>");
}

export function requireAdmin(identity: Identity): void {
  if (identity.kind === "core-admin") return;
  throw new CoreError(
    "not_allowed",
    "only an administrator may call this: a certificate that names spiffe://…/core/admin",
  );
}
