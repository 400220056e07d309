/** The states of keys and of what holds them (core-protocol.md, "Leases"). */
import type { LeasableState } from "../../edge/key-source/key-source.ts";

export type { LeasableState };
export type KeyState = LeasableState | "compromised" | "destroyed";
/** Of a whole service or tenant: `active`, or cut off as one. */
export type ScopeState = "active" | "compromised" | "destroyed";

export interface VersionSummary {
  readonly version: number;
  readonly state: KeyState;
  readonly createdAt: string;
}

export interface ServiceSummary {
  readonly tenant: string;
  readonly service: string;
  readonly state: ScopeState;
  readonly versions: readonly VersionSummary[];
}

export interface TenantSummary {
  readonly tenant: string;
  readonly state: ScopeState;
  readonly services: number;
  readonly createdAt: string;
}

const BADNESS = { active: 0, deprecated: 0, compromised: 1, destroyed: 2 } as const;

/** Of a version and what it belongs to, the state that counts. */
export function worse<A extends KeyState, B extends KeyState>(one: A, other: B): A | B {
  return BADNESS[one] > BADNESS[other] ? one : other;
}
