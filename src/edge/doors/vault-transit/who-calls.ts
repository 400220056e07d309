/** How Vault's clients carry their token. */
import type { DoorRequestHead } from "../door.ts";

export function tokenOf({ headers }: Pick<DoorRequestHead, "headers">): string | undefined {
  const token = headers.get("x-vault-token");
  if (token !== undefined && token !== "") return token;
  return /^Bearer +(\S+)$/i.exec(headers.get("authorization") ?? "")?.[1];
}

/**
 * Whether this comes from a client of Vault. A web page can send none of these headers without asking first, so that none can have
 * the browser of someone on this machine call the edge.
 */
export function isFromVaultClient({ headers }: DoorRequestHead): boolean {
  return headers.has("x-vault-token") || headers.has("x-vault-request") || headers.has("authorization");
}
