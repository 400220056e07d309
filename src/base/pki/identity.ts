/**
 * Who a certificate speaks for, as a SPIFFE ID in its URI SAN (core-protocol.md): `spiffe://<trust domain>/edge/<id>`,
 * `/core`, `/core/admin`, `/client/<name>`.
 */
export type Identity =
  | { readonly kind: "edge"; readonly edge: string }
  | { readonly kind: "core" }
  | { readonly kind: "core-admin" }
  | { readonly kind: "client"; readonly path: string };

const TRUST_DOMAIN = /^[a-z0-9][a-z0-9._-]{0,254}$/;
const SEGMENT = /^[A-Za-z0-9._-]{1,128}$/;

/** Lower-case letters, digits, dots, dashes and underscores, as the SPIFFE ID standard has it. */
export function isTrustDomain(text: string): boolean {
  return TRUST_DOMAIN.test(text);
}

/** Whether `text` can be an edge id or one segment of a client's path. */
export function isPathSegment(text: string): boolean {
  return SEGMENT.test(text) && text !== "." && text !== "..";
}

/** The SPIFFE ID of an identity. The caller has checked the parts. */
export function spiffeId(trustDomain: string, identity: Identity): string {
  const root = `spiffe://${trustDomain}`;
  switch (identity.kind) {
    case "edge":
      return `${root}/edge/${identity.edge}`;
    case "core":
      return `${root}/core`;
    case "core-admin":
      return `${root}/core/admin`;
    case "client":
      return `${root}/${identity.path}`;
  }
}

/** Reads a SPIFFE ID; undefined for anything that is not one, strictly. */
export function parseSpiffeId(uri: string): { trustDomain: string; identity: Identity } | undefined {
  const match = /^spiffe:\/\/([^/]+)\/(.+)$/.exec(uri);
  const trustDomain = match?.[1];
  const path = match?.[2];
  if (trustDomain === undefined || path === undefined || uri.length > 2048 || !isTrustDomain(trustDomain)) {
    return undefined;
  }
  const segments = path.split("/");
  if (!segments.every(isPathSegment)) return undefined;
  if (path === "core") return { trustDomain, identity: { kind: "core" } };
  if (path === "core/admin") return { trustDomain, identity: { kind: "core-admin" } };
  const edge = segments[1];
  if (segments[0] === "edge" && segments.length === 2 && edge !== undefined) {
    return { trustDomain, identity: { kind: "edge", edge } };
  }
  return { trustDomain, identity: { kind: "client", path } };
}
