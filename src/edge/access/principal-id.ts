import { PRINCIPAL_PREFIX, type Principal, type PrincipalKind } from "./principal.ts";

/**
 * The principal as policies write it: `local`, `spiffe://example.org/billing`, `dns:app.example`, `cn:app`,
 * `token:system:serviceaccount:shop:billing`.
 */
export function principalId(principal: Principal): string {
  return PRINCIPAL_PREFIX[principal.kind] + principal.name;
}

/** Reads what `principalId` writes. */
export function parsePrincipalId(id: string): Principal {
  if (id.startsWith("spiffe://")) return { kind: "spiffe", name: id };
  for (const [kind, prefix] of Object.entries(PRINCIPAL_PREFIX)) {
    if (prefix !== "" && id.startsWith(prefix)) return { kind: kind as PrincipalKind, name: id.slice(prefix.length) };
  }
  return { kind: "listener", name: id };
}

const RESERVED = ["spiffe:", ...Object.values(PRINCIPAL_PREFIX).filter((prefix) => prefix !== "")].join("|");

/** What a listener may call its callers: nothing that another kind of principal could be taken for, and no pattern. */
export const LISTENER_PRINCIPAL_PATTERN = `^(?!${RESERVED})[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$`;
