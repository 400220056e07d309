/** What a revocation would hit, before it is made. */
import { mapInTurns } from "../base/time/run-in-turns.ts";
import { yieldToEventLoop } from "../base/time/turns.ts";
import type { Presence } from "./presence.ts";
import type { RevocationScope } from "./protocol/events.ts";
import { slotOf } from "./store/impact-tables.ts";
import type { Store } from "./store/store.ts";
import type { UsageTables } from "./store/usage-tables.ts";

export interface Impact {
  /** Reported since then: an hour ago, or up to five minutes before. */
  readonly since: string;
  readonly operations: number;
  /** Of the edges that the Cores have seen, and of them those that follow the events now. */
  readonly known: number;
  readonly following: number;
  /** Those with a lease or with operations: the busiest first. */
  readonly edges: readonly EdgeImpact[];
}

export interface EdgeImpact {
  readonly edge: string;
  /** Successful ones that it reported since `since`. */
  readonly operations: number;
  /** Versions within the scope that it holds a lease of; none where it is only known that it may hold one. */
  readonly versions: readonly number[];
  /** When its last lease ends; absent where it holds none. */
  readonly leaseEndsAt?: string;
  /** Whether it follows the events of a Core, and so is told at once. */
  readonly follows: boolean;
}

const HOUR_MS = 3_600_000;

export interface ImpactParts {
  readonly usage: UsageTables;
  readonly presence: Presence;
  readonly store: Pick<Store, "nowMs">;
}

export async function impactOf({ usage, presence, store }: ImpactParts, scope: RevocationScope): Promise<Impact> {
  const nowMs = await store.nowMs();
  const since = slotOf(nowMs - HOUR_MS);
  const holders = await presence.holders(scope);
  const edges = await presence.edges();
  await yieldToEventLoop();
  const uses = await usage.usedWithin(scope, since);
  await yieldToEventLoop();
  const following = new Set(edges.filter(({ streams }) => streams > 0).map(({ edge }) => edge));
  const holdingOf = new Map(holders.map((one) => [one.edge, one]));
  const usesOf = Map.groupBy(uses, ({ edge }) => edge);
  const each = await mapInTurns([...new Set([...holdingOf.keys(), ...usesOf.keys()])], (edge): EdgeImpact => {
    const held = holdingOf.get(edge);
    return {
      edge,
      operations: (usesOf.get(edge) ?? []).reduce((sum, { count }) => sum + count, 0),
      versions: (held?.versions ?? []).toSorted((one, other) => other - one),
      ...(held === undefined ? {} : { leaseEndsAt: held.endsAt }),
      follows: following.has(edge),
    };
  });
  return {
    since,
    known: edges.length,
    following: following.size,
    operations: each.reduce((sum, { operations }) => sum + operations, 0),
    edges: each.toSorted((one, other) => other.operations - one.operations || (one.edge < other.edge ? -1 : 1)),
  };
}
