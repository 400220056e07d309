/** The guard as others see it: the cache (`LeaseGate`), the transports (`sink`), status and metrics. guard.ts is what stands behind. */
import type { LogPort } from "../../base/log-port.ts";
import type { Clock } from "../../base/time/clock.ts";
import type { LeaseControl, LeaseGate, RevocationScope } from "../cache/lease-cache.ts";
import type { AuthorityOrder } from "./authority-blocks.ts";
import type { ConfirmApplied } from "./confirmations.ts";
import type { CoreEvents } from "./core-events.ts";
import type { EventVerifier } from "./event-verifier.ts";
import type { GapLimits } from "./gap-filler.ts";
import type { RevocationStatus } from "./revocation-status.ts";
import type { RevocationEvent, RevocationSink } from "./revocation-transport.ts";

export interface RevocationGuard extends LeaseGate {
  /** Names the cache whose leases are cut short. Before the first lease; the two know each other, so one comes second. */
  attach(control: LeaseControl): void;
  /** The guard as one transport sees it. Once per transport. */
  sink(transport: string): RevocationSink;
  /** Begins to count silence. After every `sink`. */
  start(): void;
  status(): RevocationStatus;
  /** What must not be used now. A copy. */
  blocked(): readonly RevocationScope[];
  /** Cancels timers and calls in flight; what is blocked stays blocked. */
  close(): void;
}

export interface RevocationGuardOptions {
  readonly clock: Clock;
  readonly log: Pick<LogPort, "info" | "warn" | "error"> & Partial<Pick<LogPort, "debug">>;
  /** Where missing events are asked for; without it a gap drops every lease. */
  readonly core?: CoreEvents | undefined;
  /** For transports that deliver signed events; without it those are dropped. */
  readonly verifier?: EventVerifier | undefined;
  /** How long no transport may be heard before `onSilence`. */
  readonly maxSilenceMs: number;
  readonly onSilence: "renew_early" | "fail_closed";
  /** Tells the Core how far the events are applied here; without it the Core waits for the end of the leases. */
  readonly confirm?: ConfirmApplied | undefined;
  /** Called after an event was applied (for a `revoke`: after the keys are wiped), once per event. */
  readonly onApplied?: ((event: RevocationEvent, transport: string) => void) | undefined;
  /** Called after an order of an authority other than the Core was carried out. */
  readonly onAuthority?: ((order: AuthorityOrder, transport: string) => void) | undefined;
  /** Called when the edge gets its first position in the Core's log: nobody here heard what came before. */
  readonly onBegan?: (() => void) | undefined;
  /** From 0 to 1; spreads what a fleet asks the Core at one moment. Nothing secret comes of it. */
  readonly random?: (() => number) | undefined;
  readonly limits?: Partial<RevocationLimits> | undefined;
}

export interface RevocationLimits extends GapLimits {
  /** A signed event older than this tells nothing about a transport being alive. */
  readonly freshMs: number;
  /** How many blocked scopes are remembered; of authorities other than the Core, as many again. */
  readonly maxScopes: number;
  /** How many events beyond a gap are remembered. */
  readonly maxOutOfOrder: number;
}

export const DEFAULT_LIMITS: RevocationLimits = {
  gapGraceMs: 50,
  fillTimeoutMs: 900,
  leaseHintGraceMs: 1_000,
  probeIntervalMs: 5_000,
  freshMs: 10_000,
  maxScopes: 65_536,
  maxOutOfOrder: 4_096,
};
