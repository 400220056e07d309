/** What a revocation and its lifting change, within one change of the store; and what they refuse. */
import { CoreError } from "../protocol/core-error.ts";
import type { RevocationScope } from "../protocol/events.ts";
import type { StoreChange } from "../store/store.ts";

/**
 * The state of what a scope names, read in one go.
 *
 * @throws CoreError where there is no such tenant, service or version
 */
async function scopeState(change: StoreChange, { tenant, service, version }: RevocationScope): Promise<string> {
  if (version !== undefined && service === undefined) {
    throw new CoreError("invalid_request", "a version belongs to a service: name the service too");
  }
  const [tenantState, found, row] = await Promise.all([
    change.tenantState(tenant),
    service === undefined ? undefined : change.service(tenant, service),
    service === undefined || version === undefined ? undefined : change.version(tenant, service, version),
  ]);
  if (tenantState === undefined) throw noTenant(tenant);
  if (service === undefined) return tenantState;
  if (found === undefined) throw noService(tenant, service);
  if (version === undefined) return found.state;
  if (row === undefined) throw new CoreError("key_not_found", `there is no version ${version} of ${tenant}/${service}`);
  return row.state;
}

export async function revokeWithin(
  change: StoreChange,
  scope: RevocationScope,
  state: "compromised" | "destroyed",
  at: string,
): Promise<void> {
  const { tenant, service, version } = scope;
  const current = await scopeState(change, scope);
  if (current === "destroyed" || current === state) {
    throw new CoreError("conflict", `${nameOf(scope)} is ${current} already`);
  }
  if (service !== undefined && version !== undefined) {
    await change.setVersionState(tenant, service, version, state, at);
  } else if (service !== undefined) {
    if (state === "destroyed") await change.destroyService(tenant, service, at);
    else await change.setServiceState(tenant, service, state);
  } else if (state === "destroyed") await change.destroyTenant(tenant, at);
  else await change.setTenantState(tenant, state);
}

export async function restoreWithin(change: StoreChange, scope: RevocationScope, at: string): Promise<void> {
  const { tenant, service, version } = scope;
  const current = await scopeState(change, scope);
  if (current !== "compromised") {
    throw new CoreError(
      "conflict",
      current === "destroyed"
        ? `${nameOf(scope)} is destroyed: its keys are gone for good`
        : `${nameOf(scope)} is ${current}, not compromised`,
    );
  }
  if (service !== undefined && version !== undefined) await change.restoreVersion(tenant, service, version, at);
  else if (service !== undefined) await change.setServiceState(tenant, service, "active");
  else await change.setTenantState(tenant, "active");
}

function nameOf({ tenant, service, version }: RevocationScope): string {
  if (service === undefined) return `the tenant ${tenant}`;
  return version === undefined ? `the service ${tenant}/${service}` : `version ${version} of ${tenant}/${service}`;
}

export function noTenant(tenant: string): CoreError {
  return new CoreError("key_not_found", `there is no tenant ${tenant} at this Core`);
}

export function noService(tenant: string, service: string): CoreError {
  return new CoreError("key_not_found", `there is no service ${tenant}/${service} at this Core`);
}

export function revokedScope(what: string, state: string): CoreError {
  return new CoreError(
    "key_revoked",
    state === "compromised" ? `${what} is compromised: restore it first` : `${what} is ${state}`,
  );
}
