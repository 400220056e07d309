import type { Principal } from "./principal.ts";

/** What stands before the name in policies, so that no kind of principal can pass for another. */
const PREFIX: Readonly<Record<Principal["kind"], string>> = {
  listener: "",
  spiffe: "",
  dns: "dns:",
  common_name: "cn:",
  token: "token:",
};

/**
 * The principal as policies write it: `local`, `spiffe://example.org/billing`, `dns:app.example`, `cn:app`,
 * `token:system:serviceaccount:shop:billing`.
 */
export function principalId(principal: Principal): string {
  return PREFIX[principal.kind] + principal.name;
}

/** Reads what `principalId` writes. */
export function parsePrincipalId(id: string): Principal {
  if (id.startsWith("spiffe://")) return { kind: "spiffe", name: id };
  for (const kind of ["dns", "common_name", "token"] as const) {
    if (id.startsWith(PREFIX[kind])) return { kind, name: id.slice(PREFIX[kind].length) };
  }
  return { kind: "listener", name: id };
}

/** What a listener may call its callers: nothing that another kind of principal could be taken for, and no pattern. */
export const LISTENER_PRINCIPAL_PATTERN = "^(?!spiffe:|dns:|cn:|token:)[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$";
