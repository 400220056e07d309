import { PRINCIPAL_PREFIX, type Principal, type PrincipalKind } from "./principal.ts";

/** The kinds whose names have a prefix of ours; a SPIFFE ID has its scheme. */
const PREFIXED = (Object.keys(PRINCIPAL_PREFIX) as PrincipalKind[]).filter((kind) => PRINCIPAL_PREFIX[kind] !== "");
const SPIFFE = "spiffe:";

/**
 * The principal as policies write it: `local`, `spiffe://example.org/billing`, `dns:app.example`, `cn:app`,
 * `token:system:serviceaccount:shop:billing`.
 */
export function principalId(principal: Principal): string {
  return PRINCIPAL_PREFIX[principal.kind] + principal.name;
}

/** Reads what `principalId` writes. */
export function parsePrincipalId(id: string): Principal {
  if (id.startsWith(`${SPIFFE}//`)) return { kind: "spiffe", name: id };
  for (const kind of PREFIXED) {
    const prefix = PRINCIPAL_PREFIX[kind];
    if (id.startsWith(prefix)) return { kind, name: id.slice(prefix.length) };
  }
  return { kind: "listener", name: id };
}

/** Whether a principal or a pattern of principals speaks of another kind than a listener's own. */
export function hasKindPrefix(id: string): boolean {
  return id.startsWith(`${SPIFFE}//`) || PREFIXED.some((kind) => id.startsWith(PRINCIPAL_PREFIX[kind]));
}

/** What a listener may call its callers: nothing that another kind of principal could be taken for, and no pattern. */
export const LISTENER_PRINCIPAL_PATTERN = `^(?!${[SPIFFE, ...PREFIXED.map((kind) => PRINCIPAL_PREFIX[kind])].join("|")})[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$`;
