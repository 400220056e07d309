/**
 * What `/readyz` and `/v1/status` say of an edge, from memory: whether it can serve what it promised, and what an operator should know.
 * Neither says anything better than it is: an edge is not ready when its next callers would be refused.
 */
import type { CertificateLife } from "../base/pki/certificate-expiry.ts";
import type { LeaseStatus } from "./cache/lease-cache.ts";
import type { LeaseCacheSummary } from "./cache/lease-summary.ts";
import type { ServiceName } from "./cache/prewarm.ts";
import type { RevocationStatus } from "./revocation/revocation-status.ts";
import type { UsageStatus } from "./usage/usage.ts";

/** What is looked at. */
export interface EdgeState {
  readonly stopping: boolean;
  /** Keys that the configuration promises from the start. */
  readonly prewarm: readonly ServiceName[];
  /** False while silence forbids serving. */
  readonly isOpen: boolean;
  readonly revocation: RevocationStatus;
  readonly summary: LeaseCacheSummary;
  /** Asked for only where keys are promised. */
  readonly leases: () => readonly LeaseStatus[];
}

/** What a probe is told, without credentials: no name of a tenant, and nothing of the event log. */
export interface Readiness {
  readonly ready: boolean;
  /** Why not; empty when it is ready. */
  readonly reasons: readonly string[];
  readonly serving: boolean;
  readonly prewarmed: boolean;
  readonly leases: Pick<LeaseCacheSummary, "shortestRemainingMs" | "failing" | "circuit">;
  readonly revocation: Pick<RevocationStatus, "silent" | "silentMs">;
}

export function readinessOf(state: EdgeState): Readiness {
  const { stopping, isOpen, revocation, summary } = state;
  const missing = missingOf(state.prewarm, state.leases);
  const { shortestRemainingMs, failing, circuit } = summary;
  const reasons = [
    stopping && "The edge is stopping.",
    missing > 0 && `No lease is held on ${missing} of the ${state.prewarm.length} keys that cache.prewarm promises.`,
    circuit !== "closed" && summary.leases === 0 && "The key source fails, and no lease is left.",
    !isOpen && "No revocation transport is heard, and revocation.on_silence is fail_closed.",
  ].filter((reason) => reason !== false);
  return {
    ready: reasons.length === 0,
    reasons,
    serving: !stopping,
    prewarmed: missing === 0,
    leases: { shortestRemainingMs, failing, circuit },
    revocation: { silent: revocation.silent, silentMs: revocation.silentMs },
  };
}

const WEEK_MS = 7 * 86_400_000;

/** What is wrong, or about to be, one sentence each: for status, beside the reasons. */
export function problemsOf(
  state: EdgeState,
  { usage, certificates, nowMs }: { usage: UsageStatus; certificates: readonly CertificateLife[]; nowMs: number },
): string[] {
  const { summary, revocation } = state;
  const { audit } = usage;
  return [
    ...readinessOf(state).reasons,
    summary.failing > 0 &&
      `${summary.failing} leases could not be renewed when last tried; they serve to their deadline.`,
    summary.circuit !== "closed" && summary.leases > 0 && "The key source fails; leases serve to their deadline.",
    ...revocation.transports
      .filter(({ connected }) => !connected)
      .map(
        ({ name, reason }) =>
          `The revocation transport "${name}" is not connected${reason === undefined ? "" : `: ${reason}`}.`,
      ),
    audit?.failing === true && "The audit can't be written: it waits in memory, and is lost beyond a bound.",
    audit !== undefined && audit.dropped > 0 && `${audit.dropped} lines of the audit were lost.`,
    ...certificates
      .filter(({ notAfterMs }) => notAfterMs - nowMs < WEEK_MS)
      .map(
        ({ kind, role, file, notAfterMs }) =>
          `The ${kind} ${file} of ${role} ${notAfterMs <= nowMs ? "ended" : "ends"} on ${new Date(notAfterMs).toISOString()}.`,
      ),
  ].filter((problem) => problem !== false);
}

function missingOf(promised: readonly ServiceName[], leases: () => readonly LeaseStatus[]): number {
  if (promised.length === 0) return 0;
  const missing = new Set(promised.map(({ tenant, service }) => `${tenant}/${service}`));
  for (const { tenant, service } of leases()) missing.delete(`${tenant}/${service}`);
  return missing.size;
}
