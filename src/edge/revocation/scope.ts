import type { RevocationScope } from "../cache/lease-cache.ts";

/** The scope alone, without the event around it. */
export function scopeOf({ tenant, service, version }: RevocationScope): RevocationScope {
  if (service === undefined) return { tenant };
  return version === undefined ? { tenant, service } : { tenant, service, version };
}
