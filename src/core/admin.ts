/** What an administrator can do: in-process for `dev` and tests, and behind `/core/v1/admin/…`. */
import type { RevocationScope } from "../edge/cache/lease-cache.ts";
import type { LoggedEvent } from "./events.ts";
import type { KeyStore, ServiceSummary, TenantSummary } from "./key-store.ts";
import type { UsageTotal } from "./usage-intake.ts";

export interface CoreAdmin {
  createTenant(tenant: string): void;
  /** With version 1 active; the tenant is made where it is new. */
  createService(tenant: string, service: string): void;
  tenants(): TenantSummary[];
  services(tenant: string): ServiceSummary[];
  rotate(tenant: string, service: string): LoggedEvent;
  /** The events: the revocation, and with `rotate` the rotation that followed in the same transaction. */
  revoke(scope: RevocationScope, options?: { readonly reason?: string; readonly rotate?: boolean }): LoggedEvent[];
  /** Erases keys for good. */
  destroy(scope: RevocationScope, options?: { readonly reason?: string; readonly rotate?: boolean }): LoggedEvent[];
  restore(scope: RevocationScope): LoggedEvent;
  edges(): EdgeState[];
  usage(limit?: number): UsageTotal[];
  auditEvents(limit?: number): unknown[];
  eventsAfter(seq: number, limit?: number): LoggedEvent[];
  /** A new key signs events from now on. Returns its id. */
  rollSigningKey(): Promise<string>;
}

/** What this Core has seen of an edge since it started. */
export interface EdgeState {
  readonly edge: string;
  readonly lastSeenAt: string;
  readonly leaseCalls: number;
  readonly usageBatches: number;
  /** Revocation streams open now. */
  readonly streams: number;
}

export const DEFAULT_REASON = "no reason given";
const DEFAULT_LIMIT = 1_000;

export function createAdmin(
  store: KeyStore,
  parts: {
    readonly edges: () => EdgeState[];
    readonly usage: (limit: number) => UsageTotal[];
    readonly auditEvents: (limit: number) => unknown[];
    readonly rollSigningKey: () => Promise<string>;
  },
): CoreAdmin {
  return {
    createTenant: (tenant) => store.createTenant(tenant),
    createService: (tenant, service) => store.createService(tenant, service),
    tenants: () => store.tenants(),
    services: (tenant) => store.services(tenant),
    rotate: (tenant, service) => store.rotate(tenant, service),
    revoke: (scope, { reason = DEFAULT_REASON, rotate = false } = {}) =>
      store.revoke(scope, "compromised", reason, { rotate }),
    destroy: (scope, { reason = DEFAULT_REASON, rotate = false } = {}) =>
      store.revoke(scope, "destroyed", reason, { rotate }),
    restore: (scope) => store.restore(scope),
    edges: parts.edges,
    usage: (limit = DEFAULT_LIMIT) => parts.usage(limit),
    auditEvents: (limit = DEFAULT_LIMIT) => parts.auditEvents(limit),
    eventsAfter: (seq, limit = DEFAULT_LIMIT) => store.eventsAfter(seq, limit),
    rollSigningKey: parts.rollSigningKey,
  };
}
