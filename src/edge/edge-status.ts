/** What /readyz and /v1/status say of a running edge, gathered from its parts. */
import type { Hardening } from "../base/system/harden-process.ts";
import { systemClock } from "../base/time/system-clock.ts";
import { COMMIT, VERSION } from "../base/version.ts";
import type { LoadedConfiguration } from "./config/load-with-plugins.ts";
import { type EdgeContainer, TOKENS } from "./container.ts";
import { isChain } from "./key-source/chained.ts";
import { type EdgeState, problemsOf, type Readiness, readinessOf } from "./status.ts";

export interface EdgeStatusParts {
  readonly configuration: LoadedConfiguration["configuration"];
  readonly hardening: Hardening;
  readonly isStopping: () => boolean;
}

export interface EdgeStatus {
  readiness(): Readiness;
  /** All that /v1/status has, of this process alone. */
  status(): { readonly ready: boolean } & Readonly<Record<string, unknown>>;
}

/** The edge's uptime counts from here. */
export function createEdgeStatus(container: EdgeContainer, parts: EdgeStatusParts): EdgeStatus {
  const { configuration, hardening } = parts;
  const certificates = container.resolve(TOKENS.certificates);
  const guard = container.resolve(TOKENS.revocationGuard);
  const leases = container.resolve(TOKENS.leaseCache);
  const usage = container.resolve(TOKENS.usage);
  const keySource = container.resolve(TOKENS.keySource);
  const hooks = container.resolve(TOKENS.hooks);
  const cipher = container.resolve(TOKENS.cipher);
  const keyMemory = container.resolve(TOKENS.keyMemory);
  const startedMs = systemClock.monotonicMs();

  const state = (): EdgeState => ({
    stopping: parts.isStopping(),
    prewarm: configuration.cache.prewarm,
    isOpen: guard.isOpen(),
    revocation: guard.status(),
    summary: leases.summary(),
    leases: () => leases.leases(),
  });
  const readiness = (): Readiness => readinessOf(state());
  const status = () => {
    const ends = certificates.ends();
    return {
      edge: configuration.edge.id,
      version: VERSION,
      commit: COMMIT,
      uptimeMs: Math.round(systemClock.monotonicMs() - startedMs),
      ...readiness(),
      problems: problemsOf(state(), { usage: usage.status(), certificates: ends, nowMs: systemClock.wallMs() }),
      revocation: guard.status(),
      leases: leases.summary(),
      certificates: ends.map(({ role, file, notAfterMs }) => ({
        role,
        file,
        ends: new Date(notAfterMs).toISOString(),
      })),
      source: keySource.name,
      ...(keySource.health === undefined ? undefined : { sourceHealth: keySource.health() }),
      ...(isChain(keySource) ? { sources: keySource.status() } : undefined),
      ...(hooks === undefined ? undefined : { hooks: hooks.status() }),
      cipher: cipher.description,
      keyMemory: { ...keyMemory.stats, dumpable: hardening.dumpable, coreFiles: hardening.coreFiles },
      usage: usage.status(),
    };
  };
  return { readiness, status };
}
