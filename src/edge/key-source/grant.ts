import { SERVICE_KEY_BYTES } from "../../base/service-key.ts";
import { wipe } from "../../base/wipe.ts";
import { KeySourceError, type LeaseGrant, type LeaseRequest } from "./key-source.ts";

const VERSION_MAX = 2 ** 32 - 1;

/**
 * Refuses a grant that breaks the contract of `KeySource.lease`, whoever made it: the lease would be for another tenant,
 * or would never end.
 *
 * @throws {KeySourceError} `unavailable`: another try, or another source, can help.
 */
export function checkGrant(request: LeaseRequest, grant: LeaseGrant): void {
  if (typeof grant !== "object" || grant === null) throw wrong("no lease at all");
  if (grant.tenant !== request.tenant) throw wrong("another tenant");
  if (grant.service !== request.service) throw wrong("another service");
  if (!isPositive(grant.ttlMs)) throw wrong("a time to live that is not positive");
  if (!isPositive(grant.refreshAfterMs)) throw wrong("a time to renew that is not positive");
  if (grant.log !== undefined && typeof grant.log !== "string") throw wrong("a log that has no name");
  if (!Number.isSafeInteger(grant.revocationSeq) || grant.revocationSeq < 0) throw wrong("no revocation number");
  if (!Array.isArray(grant.versions) || grant.versions.length === 0) throw wrong("no versions");

  let active = 0;
  for (let index = 0; index < grant.versions.length; index++) {
    const { version, state, key } = grant.versions[index]!;
    if (!Number.isInteger(version) || version < 1 || version > VERSION_MAX) throw wrong("a version out of range");
    for (let before = 0; before < index; before++) {
      if (grant.versions[before]!.version === version) throw wrong("a version twice");
    }
    if (state !== "active" && state !== "deprecated") throw wrong("a state that is never leased");
    if (state === "active") active++;
    if (!(key instanceof Uint8Array) || key.length !== SERVICE_KEY_BYTES)
      throw wrong(`a key without ${SERVICE_KEY_BYTES} bytes`);
  }
  if (request.version === undefined) {
    if (active !== 1) throw wrong(`${active} active versions`);
  } else if (grant.versions.length !== 1 || grant.versions[0]!.version !== request.version) {
    throw wrong("another version");
  }
}

function wrong(what: string): KeySourceError {
  return new KeySourceError("unavailable", `The key source granted something else than was asked for: ${what}.`);
}

/** Wipes every key of a grant, well-formed or not. */
export function wipeGrant(grant: unknown): void {
  const versions = (grant as LeaseGrant | undefined)?.versions;
  if (!Array.isArray(versions)) return;
  for (const entry of versions as unknown[]) {
    const key = (entry as { key?: unknown } | undefined)?.key;
    if (key instanceof Uint8Array) wipe(key);
  }
}

function isPositive(ms: number): boolean {
  return typeof ms === "number" && ms > 0 && Number.isFinite(ms);
}
