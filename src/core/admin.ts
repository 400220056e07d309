/**
 * What an administrator can do: the service layer behind `/core/v1/admin/…`, the console, `dev` and tests. Who may call it is
 * decided before it.
 */
import type { Clock } from "../base/time/clock.ts";
import { type Impact, impactOf } from "./impact.ts";
import type { KeyHierarchy } from "./keys/hierarchy.ts";
import type { KeyRegistry } from "./keys/registry.ts";
import { type MasterKeyRotation, rotateMasterKey } from "./keys/rotate-master-key.ts";
import type { Presence } from "./presence.ts";
import type { EdgeState } from "./presence-views.ts";
import { CoreError } from "./protocol/core-error.ts";
import type { LoggedEvent, RevocationScope } from "./protocol/events.ts";
import type { ServiceSummary, TenantSummary } from "./protocol/key-state.ts";
import type { SigningKeys } from "./signing-keys.ts";
import type { CorePresence, Store } from "./store/store.ts";
import type { AuditFilter, UsageTotal } from "./store/usage-tables.ts";

export interface RevocationOptions {
  readonly reason?: string;
  /** A new active version of the service in the same transaction; for the revocation of one version. */
  readonly rotate?: boolean;
}

export interface CoreStatus {
  readonly version: string;
  /** How this Core is called among those of its store. */
  readonly core: string;
  readonly database: {
    readonly kind: string;
    readonly name: string;
    readonly away?: string;
    readonly unfit?: string;
    readonly full?: string;
    readonly late?: string;
  };
  readonly log: string;
  readonly lastSeq: number;
  readonly streams: number;
  readonly connections: number;
  readonly signingKey: string;
  readonly certificateEndsAt: string;
  readonly startedAt: string;
  readonly cores: readonly CorePresence[];
}

/** @throws CoreError for what can't be done, StoreUnavailable, StoreFull */
export interface CoreAdmin {
  createTenant(tenant: string): Promise<void>;
  /** With version 1 active; the tenant is made where it is new. */
  createService(tenant: string, service: string): Promise<void>;
  tenants(): Promise<TenantSummary[]>;
  services(tenant: string): Promise<ServiceSummary[]>;
  rotate(tenant: string, service: string): Promise<LoggedEvent>;
  /** The events: the revocation, and with `rotate` the rotation that followed in the same transaction. */
  revoke(scope: RevocationScope, options?: RevocationOptions): Promise<LoggedEvent[]>;
  /** Erases keys for good. */
  destroy(scope: RevocationScope, options?: RevocationOptions): Promise<LoggedEvent[]>;
  restore(scope: RevocationScope): Promise<LoggedEvent>;
  edges(): Promise<EdgeState[]>;
  /** What revoking or destroying this would hit. Changes nothing. */
  impact(scope: RevocationScope): Promise<Impact>;
  usage(limit?: number): Promise<UsageTotal[]>;
  /** The newest first. */
  auditEvents(filter?: Partial<AuditFilter>): Promise<Record<string, unknown>[]>;
  eventsAfter(seq: number, limit?: number): Promise<LoggedEvent[]>;
  /** A new key signs events from now on, at every Core; `withdraw` takes the old ones out of the key set at once. Returns its id. */
  rollSigningKey(options?: { readonly withdraw?: boolean }): Promise<string>;
  /** Puts everything under the configured master key; may be called again after it was broken off. */
  rotateMasterKey(): Promise<MasterKeyRotation>;
  status(): Promise<CoreStatus>;
}

const DEFAULT_REASON = "no reason given";
const DEFAULT_LIMIT = 1_000;

export interface AdminParts {
  readonly store: Store;
  readonly registry: KeyRegistry;
  readonly hierarchy: KeyHierarchy;
  readonly presence: Presence;
  readonly clock: Clock;
  readonly signingKeys: SigningKeys;
  readonly status: () => Omit<CoreStatus, "cores">;
}

export function createAdmin(parts: AdminParts): CoreAdmin {
  const { store, registry, hierarchy, presence, signingKeys, status } = parts;
  return {
    createTenant: (tenant) => registry.createTenant(tenant),
    createService: (tenant, service) => registry.createService(tenant, service),
    tenants: () => registry.tenants(),
    services: (tenant) => registry.services(tenant),
    rotate: (tenant, service) => registry.rotate(tenant, service),
    revoke: (scope, { reason = DEFAULT_REASON, rotate = false } = {}) =>
      registry.revoke(scope, "compromised", reason, { rotate }),
    destroy: (scope, { reason = DEFAULT_REASON, rotate = false } = {}) =>
      registry.revoke(scope, "destroyed", reason, { rotate }),
    restore: (scope) => registry.restore(scope),
    edges: () => presence.edges(),
    impact: (scope) => impactOf({ ...parts, usage: store.usage }, scope),
    usage: (limit = DEFAULT_LIMIT) => store.usage.totals(limit),
    auditEvents: (filter = {}) => store.usage.auditEvents({ limit: DEFAULT_LIMIT, ...filter }),
    eventsAfter: (seq, limit = DEFAULT_LIMIT) => store.eventsAfter(seq, limit),
    rollSigningKey: (options) => signingKeys.roll(options),
    async rotateMasterKey() {
      const [target] = hierarchy.masterKeyIds;
      const lacking = (await presence.cores()).filter(({ masterKeys }) => !masterKeys.includes(target!));
      if (lacking.length > 0) {
        throw new CoreError(
          "conflict",
          `the Core ${lacking[0]!.core} does not have the new master key yet: give it to every Core first`,
        );
      }
      return rotateMasterKey(store, hierarchy);
    },
    status: async () => ({ ...status(), cores: await presence.cores().catch(() => []) }),
  };
}
