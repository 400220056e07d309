/** What the audit is told of leases and revocations: what the edge did by itself, not each renewal that went well. */
import type { LeaseEvent } from "../cache/lease-events.ts";
import type { AuthorityOrder } from "../revocation/authority-blocks.ts";
import type { RevocationEvent } from "../revocation/revocation-transport.ts";
import type { Usage } from "./usage.ts";

type Audit = Pick<Usage, "audit">;

export function auditLease(usage: Audit, event: LeaseEvent): void {
  switch (event.type) {
    case "installed":
      usage.audit("lease", {
        ...nameOf(event),
        operation: "lease_installed",
        outcome: "ok",
        reason: `granted by ${event.source}`,
      });
      break;
    case "expired":
    case "evicted":
      usage.audit("lease", { ...nameOf(event), operation: `lease_${event.type}`, outcome: "ok" });
      break;
    case "withdrawn":
    case "stale_grant":
      usage.audit("lease", {
        ...nameOf(event),
        operation: `lease_${event.type}`,
        outcome: "ok",
        reason: event.reason,
      });
      break;
    case "renewal_failed":
      // Once, when it begins; the metrics tell how long it goes on.
      if (event.failures > 1) break;
      usage.audit("lease", {
        ...nameOf(event),
        operation: "lease_renewal",
        outcome: "lease_unavailable",
        reason: event.reason,
      });
      break;
    case "dropped_all":
      usage.audit("lease", { operation: "lease_dropped_all", outcome: "ok", reason: event.reason });
      break;
    default:
      break;
  }
}

/** An event that the revocation guard has applied. */
export function auditRevocation(usage: Audit, event: RevocationEvent, transport: string): void {
  if (event.type === "heartbeat") return;
  const { type: operation, seq } = event;
  const scope = "tenant" in event ? { tenant: event.tenant, service: event.service, version: event.version } : {};
  const why = "reason" in event ? `: ${event.reason}` : "";
  const reason = `${event.log}:${seq} by ${transport}${why}`;
  usage.audit("revocation", { ...scope, operation, outcome: "ok", reason });
}

/** An order of an authority other than the Core, carried out. */
export function auditAuthority(usage: Audit, order: AuthorityOrder, transport: string): void {
  const { type, issuer, id, scope, reason } = order;
  const by = `${issuer}${id === undefined ? "" : `, ${id}`}, by ${transport}`;
  usage.audit("revocation", { ...scope, operation: `authority_${type}`, outcome: "ok", reason: `${by}: ${reason}` });
}

function nameOf(event: { tenant: string; service: string; version: number | undefined }) {
  return { tenant: event.tenant, service: event.service, version: event.version };
}
