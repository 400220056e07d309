/** What hooks see of leases and revocations: decorators that are only there where a hook listens. */

import type { LeaseControl } from "../cache/lease-cache.ts";
import { checkGrant, wipeGrant } from "../key-source/grant.ts";
import { type KeySource, KeySourceError, type LeaseGrant } from "../key-source/key-source.ts";
import type { HookRunner } from "./hook-runner.ts";

/**
 * Asks `onLease` about every grant. A refusal wipes its keys and counts as the source's own (`edge_not_allowed`), so that a
 * lease held is given up too; a hook that failed is like a source that is away, so that a lease held goes on to its deadline.
 */
export function withLeaseHooks(source: KeySource, hooks: HookRunner): KeySource {
  if (!hooks.has("onLease")) return source;
  return {
    get name() {
      return source.name;
    },
    start: async () => source.start?.(),
    health: () => source.health?.() ?? { ok: true },
    close: () => source.close(),

    async lease(request, signal): Promise<LeaseGrant> {
      const grant = await source.lease(request, signal);
      try {
        checkGrant(request, grant);
      } catch (error) {
        wipeGrant(grant);
        throw error;
      }
      const refusal = await hooks.ask(
        "onLease",
        Object.freeze({
          source: grant.source ?? source.name,
          tenant: grant.tenant,
          service: grant.service,
          versions: Object.freeze(grant.versions.map(({ version, state }) => Object.freeze({ version, state }))),
          ttlMs: grant.ttlMs,
        }),
      );
      if (refusal === undefined) return grant;
      wipeGrant(grant);
      throw new KeySourceError(
        refusal.failed ? "unavailable" : "edge_not_allowed",
        `${refusal.sentence} (${refusal.hook}: ${refusal.code})`,
      );
    },
  };
}

/** Tells `onRevocation` of every revocation, after the keys have been wiped. */
export function withRevocationHooks(control: LeaseControl, hooks: HookRunner): LeaseControl {
  if (!hooks.has("onRevocation")) return control;
  return {
    revoke(scope) {
      const wiped = control.revoke(scope);
      hooks.tell("onRevocation", Object.freeze({ scope: Object.freeze({ ...scope }), wiped }));
      return wiped;
    },
    forget: (scope) => control.forget(scope),
    dropAll: (reason) => control.dropAll(reason),
    renew: (tenant, service) => control.renew(tenant, service),
    renewAll: () => control.renewAll(),
  };
}
