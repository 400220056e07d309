/**
 * Tenants, services and the versions of their keys. A change of a key's state and its event are one transaction, so an event
 * exists exactly if the change does, whenever the process ends and whichever Core made it.
 */
import { isName } from "../../base/names.ts";
import { CoreError } from "../protocol/core-error.ts";
import type { LoggedEvent, RevocationScope } from "../protocol/events.ts";
import { type LeasableState, type ServiceSummary, type TenantSummary, worse } from "../protocol/key-state.ts";
import type { LeasableRows, Store, StoreChange, VersionRow } from "../store/store.ts";
import { noteOnce, type Once, refuseTwice } from "./done-before.ts";
import type { KeyHierarchy } from "./hierarchy.ts";
import { noService, noTenant, restoreWithin, revokedScope, revokeWithin } from "./revoking.ts";

/** A service key in the clear, for as long as a lease is being made. */
export interface OpenedVersion {
  readonly version: number;
  readonly state: LeasableState;
  /** 32 bytes; whoever called `openVersions` wipes them. */
  readonly key: Uint8Array;
}

/** What a lease is made of: keys, and the log as of the moment that their states are of. */
export interface OpenedLease {
  readonly log: string;
  readonly revocationSeq: number;
  readonly versions: readonly OpenedVersion[];
}

export interface KeyRegistryOptions {
  readonly store: Store;
  readonly hierarchy: KeyHierarchy;
  readonly now: () => number;
  /** Called with the events of each change, after its commit. */
  readonly onCommitted: (events: readonly LoggedEvent[]) => Promise<void>;
}

const MAX_VERSION = 2 ** 32 - 1;
const MAX_STATES_TOLD = 100;

export class KeyRegistry {
  readonly #store: Store;
  readonly #hierarchy: KeyHierarchy;
  readonly #now: () => number;
  readonly #onCommitted: (events: readonly LoggedEvent[]) => Promise<void>;

  constructor(options: KeyRegistryOptions) {
    this.#store = options.store;
    this.#hierarchy = options.hierarchy;
    this.#now = options.now;
    this.#onCommitted = options.onCommitted;
  }

  async createTenant(tenant: string, once?: Once): Promise<void> {
    requireName("tenant", tenant);
    await this.#change(once, async (change) => {
      if ((await change.tenantState(tenant)) !== undefined) {
        throw new CoreError("conflict", `the tenant ${tenant} exists already`);
      }
      await this.#insertTenant(change, tenant);
      return [];
    });
  }

  /** Makes the service with version 1 active, and its tenant where that is new. */
  async createService(tenant: string, service: string, once?: Once): Promise<void> {
    requireName("tenant", tenant);
    requireName("service", service);
    await this.#change(once, async (change) => {
      const state = await change.tenantState(tenant);
      if (state === undefined) await this.#insertTenant(change, tenant);
      else if (state !== "active") throw revokedScope(`the tenant ${tenant}`, state);
      if ((await change.service(tenant, service)) !== undefined) {
        throw new CoreError("conflict", `the service ${tenant}/${service} exists already`);
      }
      await change.insertService(tenant, service, this.#at());
      await this.#insertVersion(change, tenant, service, 1);
      return [];
    });
  }

  /**
   * The versions of one lease, opened: the active one and up to `deprecated` older ones, or the one asked for.
   *
   * @throws CoreError `key_not_found`, `key_revoked`
   */
  async openVersions(
    tenant: string,
    service: string,
    version: number | undefined,
    deprecated: number,
  ): Promise<OpenedLease> {
    const found = await this.#store.leasable(tenant, service, version, deprecated + 1);
    if (found === undefined) throw noService(tenant, service);
    const wrapped =
      version === undefined ? await this.#newest(tenant, service, found) : one(tenant, service, version, found);
    if (found.wrappedTenantKey === null) throw new CoreError("key_revoked", `the tenant ${tenant} is destroyed`);
    const keys = this.#hierarchy.openServiceKeys(found.wrappedTenantKey, tenant, service, wrapped);
    return {
      log: found.log,
      revocationSeq: found.lastSeq,
      versions: wrapped.map(({ version: number, state }, index) => ({ version: number, state, key: keys[index]! })),
    };
  }

  /** Makes a new active version; the older one turns deprecated. */
  async rotate(tenant: string, service: string, once?: Once): Promise<LoggedEvent> {
    const events = await this.#change(once, async (change) => [await this.#rotateWithin(change, tenant, service)]);
    await this.#onCommitted(events);
    return events[0]!;
  }

  /**
   * Cuts off a version, a service or a tenant. `compromised` can be restored, `destroyed` cannot: its keys are erased.
   * With `rotate`, a version's service gets a new active version in the same transaction.
   */
  async revoke(
    scope: RevocationScope,
    state: "compromised" | "destroyed",
    reason: string,
    { rotate = false, once }: { readonly rotate?: boolean; readonly once?: Once } = {},
  ): Promise<LoggedEvent[]> {
    const { tenant, service, version } = scope;
    if (rotate && (service === undefined || version === undefined)) {
      throw new CoreError("invalid_request", "only the revocation of one version can make a new one at once");
    }
    const events = await this.#change(once, async (change) => {
      await revokeWithin(change, scope, state, this.#at());
      const revoked = await change.appendEvent((log, seq) => ({
        type: "revoke",
        log,
        seq,
        at: this.#at(),
        ...scope,
        state,
        reason,
      }));
      if (!rotate || service === undefined) return [revoked];
      return [revoked, await this.#rotateWithin(change, tenant, service)];
    });
    await this.#onCommitted(events);
    if (state === "destroyed") await this.#store.erase();
    return events;
  }

  /** Lifts a revocation, where the keys are still there. The scope is the one that was revoked. */
  async restore(scope: RevocationScope, once?: Once): Promise<LoggedEvent> {
    const events = await this.#change(once, async (change) => {
      await restoreWithin(change, scope, this.#at());
      return [await change.appendEvent((log, seq) => ({ type: "restore", log, seq, at: this.#at(), ...scope }))];
    });
    await this.#onCommitted(events);
    return events[0]!;
  }

  tenants(): Promise<TenantSummary[]> {
    return this.#store.tenants();
  }

  async services(tenant: string): Promise<ServiceSummary[]> {
    if ((await this.#store.tenantState(tenant)) === undefined) throw noTenant(tenant);
    return this.#store.services(tenant);
  }

  /** One change; with `once`, in the same transaction, one that is made once. @throws {DoneBefore} */
  #change(once: Once | undefined, body: (change: StoreChange) => Promise<LoggedEvent[]>): Promise<LoggedEvent[]> {
    return this.#store.change(async (change) => {
      await refuseTwice(change, once);
      const events = await body(change);
      await noteOnce(change, once, events);
      return events;
    });
  }

  async #newest(tenant: string, service: string, found: LeasableRows): Promise<Leasable[]> {
    const blocked = worse(found.tenantState, found.state);
    const versions = found.versions.filter(isLeasable);
    if (blocked === "active" && versions[0]?.state === "active") return versions;
    const states = await this.#store.newestStates(tenant, service, MAX_STATES_TOLD);
    throw new CoreError(
      "key_revoked",
      blocked === "active"
        ? `${tenant}/${service} has no active version: rotate it at the Core`
        : `${tenant}/${service} is ${blocked}`,
      { details: { states } },
    );
  }

  async #rotateWithin(change: StoreChange, tenant: string, service: string): Promise<LoggedEvent> {
    const scope = await change.service(tenant, service);
    if (scope === undefined) throw noService(tenant, service);
    const blocked = worse(scope.tenantState, scope.state);
    if (blocked !== "active") {
      throw revokedScope(
        scope.tenantState === "active" ? `the service ${tenant}/${service}` : `the tenant ${tenant}`,
        blocked,
      );
    }
    const version = await change.nextVersion(tenant, service);
    if (version > MAX_VERSION) throw new CoreError("conflict", `${tenant}/${service} has used up its versions`);
    await this.#insertVersion(change, tenant, service, version);
    return change.appendEvent((log, seq) => ({ type: "rotate", log, seq, at: this.#at(), tenant, service, version }));
  }

  async #insertTenant(change: StoreChange, tenant: string): Promise<void> {
    await change.insertTenant(tenant, await this.#hierarchy.newTenantKey(change, tenant), this.#at());
  }

  async #insertVersion(change: StoreChange, tenant: string, service: string, version: number): Promise<void> {
    const wrappedTenantKey = (await change.service(tenant, service))?.wrappedTenantKey ?? undefined;
    if (wrappedTenantKey === undefined) throw revokedScope(`the tenant ${tenant}`, "destroyed");
    const key = this.#hierarchy.newServiceKey(wrappedTenantKey, tenant, service, version);
    await change.insertVersion(tenant, service, version, key, this.#at());
  }

  #at(): string {
    return new Date(this.#now()).toISOString();
  }
}

interface Leasable {
  readonly version: number;
  readonly state: LeasableState;
  readonly wrappedKey: Uint8Array;
}

function isLeasable(row: VersionRow): row is Leasable {
  return row.wrappedKey !== null && (row.state === "active" || row.state === "deprecated");
}

/** The one version that was asked for. @throws CoreError */
function one(tenant: string, service: string, version: number, found: LeasableRows): Leasable[] {
  const [row] = found.versions;
  if (row === undefined) {
    const isLost = found.lost !== undefined && version >= found.lost.from && version <= found.lost.to;
    throw new CoreError(
      "key_not_found",
      isLost
        ? `version ${version} of ${tenant}/${service} is lost: this Core was restored from a backup that is older`
        : `there is no version ${version} of ${tenant}/${service} at this Core`,
    );
  }
  const blocked = worse(found.tenantState, found.state);
  const state = blocked === "active" ? row.state : worse(blocked, row.state);
  if (state !== row.state || !isLeasable(row)) {
    throw new CoreError("key_revoked", `version ${version} of ${tenant}/${service} is ${state}`, {
      details: { states: [{ version, state }] },
    });
  }
  return [row];
}

function requireName(what: string, name: string): void {
  if (!isName(name)) {
    throw new CoreError(
      "invalid_request",
      `the ${what}'s name must have 1 to 128 of A-Z a-z 0-9 . _ : - and begin with a letter or digit`,
    );
  }
}
