/** What the options of a Core come to, with what is set by default. */
import { hostname } from "node:os";
import type { Clock } from "../base/time/clock.ts";
import { systemClock } from "../base/time/system-clock.ts";
import type { CoreLog } from "./answers.ts";
import type { CoreOptions } from "./core-options.ts";
import { DEFAULT_EDGE_LIMITS, type EdgeLimits } from "./edge-calls.ts";
import { checkLeaseTerms, DEFAULT_LEASE_TERMS, type LeaseTerms } from "./leases.ts";
import { DEFAULT_RETAINED_EVENTS } from "./store/open-store.ts";

export interface CoreSettings {
  readonly clock: Clock;
  readonly log: CoreLog;
  /** How this Core is called among those of its store. */
  readonly name: string;
  readonly terms: LeaseTerms;
  readonly limits: EdgeLimits;
  readonly retainedEvents: number;
  readonly heartbeatMs: number;
}

/** @throws Error for lease terms that can't be kept */
export function settingsOf(options: CoreOptions): CoreSettings {
  const terms = { ...DEFAULT_LEASE_TERMS, ...options.lease };
  checkLeaseTerms(terms);
  return {
    clock: options.clock ?? systemClock,
    log: options.log ?? (() => undefined),
    name: options.name ?? `${hostname()}:${options.listen.port}`,
    terms,
    limits: limitsOf(options),
    retainedEvents: Math.max(1, options.retainedEvents ?? DEFAULT_RETAINED_EVENTS),
    heartbeatMs: options.heartbeatMs ?? 1_000,
  };
}

function limitsOf(options: CoreOptions): EdgeLimits {
  return {
    ...DEFAULT_EDGE_LIMITS,
    ...(options.leasesPerSecondPerEdge === undefined ? {} : { leasesPerSecond: options.leasesPerSecondPerEdge }),
    ...(options.streamsPerEdge === undefined ? {} : { streams: options.streamsPerEdge }),
    ...options.limits,
  };
}
