/** What a key source that stores versions with states answers to a request; every shipped source answers alike. */
import { KeySourceError } from "../key-source/key-source.ts";

/** The states of core-protocol.md, "Leases": the first two are leased, the others refused. */
export type StoredState = "active" | "deprecated" | "compromised" | "destroyed";

export const STORED_STATES: readonly StoredState[] = ["active", "deprecated", "compromised", "destroyed"];

/**
 * Of all versions stored under a tenant and service, those to lease: the one asked for alone, else all that are active or
 * deprecated.
 *
 * @throws {KeySourceError} `key_not_found`; `key_revoked`; `unavailable` when several are active.
 */
export function leasableVersions<Stored extends { readonly version: number; readonly state: StoredState }>(
  stored: readonly Stored[],
  version: number | undefined,
): (Stored & { readonly state: "active" | "deprecated" })[] {
  const asked = version === undefined ? stored : stored.filter((each) => each.version === version);
  if (asked.length === 0) throw new KeySourceError("key_not_found", "The source has no such service key.");
  const leasable = asked.filter(
    (each): each is Stored & { readonly state: "active" | "deprecated" } =>
      each.state === "active" || each.state === "deprecated",
  );
  const active = leasable.filter(({ state }) => state === "active").length;
  if (leasable.length === 0 || (version === undefined && active === 0)) {
    throw new KeySourceError("key_revoked", "The service key is compromised or destroyed.");
  }
  if (version === undefined && active > 1) {
    throw new KeySourceError("unavailable", "Several versions are active. Set all but one to deprecated.");
  }
  return leasable;
}
