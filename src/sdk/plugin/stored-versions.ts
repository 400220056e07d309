/** What a key source that stores versions with states answers to a request; every shipped source answers alike. */
import { wipe } from "../../base/wipe.ts";
import { KeySourceError, type LeasableState, type LeasedServiceKey } from "../../edge/key-source/key-source.ts";
import { SectionError } from "../../edge/plugin-host/plugin.ts";

/** The states of core-protocol.md, "Leases": the first two are leased, the others refused. */
export type StoredState = "active" | "deprecated" | "compromised" | "destroyed";

/** Every state that a stored version can have, from most to least useful. */
export const STORED_STATES: readonly StoredState[] = ["active", "deprecated", "compromised", "destroyed"];

/**
 * Of all versions stored under a tenant and service, those to lease: the one asked for alone, else all that are active or
 * deprecated.
 *
 * @throws {KeySourceError} `key_not_found`; `key_revoked`; `unavailable` when several are active.
 *
 * @example
 * ```ts
 * const stored = await readVersions(tenant, service); // [{ version: 1, state: "deprecated", … }, { version: 2, state: "active", … }]
 * return openVersions(leasableVersions(stored, request.version), open, () => signal.aborted);
 * ```
 */
export function leasableVersions<Stored extends { readonly version: number; readonly state: StoredState }>(
  stored: readonly Stored[],
  version: number | undefined,
): (Stored & { readonly state: LeasableState })[] {
  const asked = version === undefined ? stored : stored.filter((each) => each.version === version);
  if (asked.length === 0) throw new KeySourceError("key_not_found", "The source has no such service key.");
  const leasable = asked.filter(
    (each): each is Stored & { readonly state: LeasableState } =>
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

/**
 * Opens each of the versions, side by side: all of them, or none and what was opened is wiped.
 *
 * @param isOver Whether nobody waits for the keys any more, asked when they are all there.
 * @throws what `open` throws first; {KeySourceError} `unavailable` when it is over.
 *
 * @example
 * ```ts
 * return openVersions(versions, async ({ version, state, wrapped }) => ({ version, state, key: await unwrap(wrapped) }), () => signal.aborted);
 * ```
 */
export async function openVersions<Stored>(
  versions: readonly Stored[],
  open: (version: Stored) => Promise<LeasedServiceKey>,
  isOver: () => boolean,
): Promise<LeasedServiceKey[]> {
  const results = await Promise.allSettled(versions.map(open));
  const failed = results.find((result) => result.status === "rejected");
  const opened = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  if (failed === undefined && !isOver()) return opened;
  for (const { key } of opened) wipe(key);
  throw failed?.reason ?? new KeySourceError("unavailable", "The source was closed, or the call given up.");
}

/**
 * The times of a section (`LeaseTimes`, in milliseconds) as a grant has them.
 *
 * @throws {SectionError} where a lease would end before it is renewed
 *
 * @example
 * ```ts
 * const times = leaseTimesOf(section);
 * return { ...times, versions };
 * ```
 */
export function leaseTimesOf(section: { readonly ttl: number; readonly refresh_after: number }): {
  readonly ttlMs: number;
  readonly refreshAfterMs: number;
} {
  const { ttl: ttlMs, refresh_after: refreshAfterMs } = section;
  if (refreshAfterMs >= ttlMs) throw new SectionError(["refresh_after"], "must be shorter than ttl");
  return { ttlMs, refreshAfterMs };
}
