/**
 * The processes of an edge, each with leases of its own: which of them were seen lately, what each may hold leases of, and how far
 * it has applied the events. An edge has applied an event only when all of them have.
 */
import { HeldLeases, mayHold, type ToldLease, toldLease } from "./held-leases.ts";
import type { EdgeInstance, EdgePresence } from "./store/store.ts";

/** More than an edge may have streams by default. */
const MAX_INSTANCES = 512;

interface Instance {
  seenMs: number;
  applied: EdgeInstance["applied"];
  readonly leases: HeldLeases;
}

export class EdgeInstances {
  readonly #leaseMs: number;
  readonly #byId = new Map<string, Instance>();
  #newestMs = 0;

  /** @param leaseMs After so long unseen a process holds no lease any more, and is forgotten. */
  constructor(leaseMs: number) {
    this.#leaseMs = leaseMs;
  }

  see(id: string, nowMs: number): void {
    this.#newestMs = nowMs;
    const known = this.#byId.get(id);
    // The newest last.
    this.#byId.delete(id);
    this.#byId.set(id, { ...(known ?? this.#unknown()), seenMs: nowMs });
    if (known === undefined) this.#prune();
  }

  /** What one that was seen holds; undefined of one that was not. */
  leasesOf(id: string): HeldLeases | undefined {
    return this.#byId.get(id)?.leases;
  }

  /** Of one that was seen. What it says last counts: a history that was restored may have sent it back. */
  confirm(id: string, applied: NonNullable<EdgeInstance["applied"]>): void {
    const known = this.#byId.get(id);
    if (known !== undefined) known.applied = applied;
  }

  forgetApplied(): void {
    for (const one of this.#byId.values()) one.applied = undefined;
  }

  /** What was known before a restart; what is known since then stands. */
  recall(instances: readonly EdgeInstance[]): void {
    for (const { id, seenAt, applied, leases } of instances) {
      const atMs = Date.parse(seenAt);
      const known = this.#byId.get(id);
      const one = known ?? { ...this.#unknown(), seenMs: atMs, applied };
      one.leases.recall(leases, atMs);
      if (known === undefined) this.#byId.set(id, one);
    }
  }

  list(): EdgeInstance[] {
    this.#prune();
    return [...this.#byId].map(([id, { seenMs, applied, leases }]) => {
      const told = leases.told(this.#newestMs);
      return {
        id,
        seenAt: new Date(seenMs).toISOString(),
        ...(applied === undefined ? {} : { applied }),
        ...(told === undefined ? {} : { leases: told }),
      };
    });
  }

  #unknown(): Instance {
    return { seenMs: 0, applied: undefined, leases: new HeldLeases(this.#leaseMs) };
  }

  #prune(): void {
    for (const [id, { seenMs }] of this.#byId) {
      if (seenMs <= this.#newestMs - this.#leaseMs || this.#byId.size > MAX_INSTANCES) this.#byId.delete(id);
    }
  }
}

/** One process of an edge, by what all Cores have seen of it. */
export interface MergedInstance {
  readonly seenAt: string;
  /** What it has confirmed of the log. */
  readonly seq: number | undefined;
  /** Whether it may hold a lease of the scope with this hash. */
  mayHold(scope: number): boolean;
  /** Leases of that scope, by each Core that granted some; undefined in the list where it may be anything. */
  leasesOf(scope: number): readonly (ToldLease | undefined)[];
}

/** Each process of one edge. What a Core of an older version has told of an edge is one that may hold anything. */
export function mergeInstances(rows: readonly EdgePresence[], log: string): MergedInstance[] {
  const merged = new Map<string, { seenAt: string; seq: number | undefined; readonly told: (string | undefined)[] }>();
  for (const row of rows) {
    for (const { id, seenAt, applied, leases } of row.instances ?? [
      { id: "", seenAt: row.lastSeenAt } as EdgeInstance,
    ]) {
      const seq = applied?.log === log ? applied.seq : undefined;
      const known = merged.get(id);
      if (known === undefined) {
        merged.set(id, { seenAt, seq, told: [leases] });
        continue;
      }
      known.told.push(leases);
      if (seenAt > known.seenAt) known.seenAt = seenAt;
      if (seq !== undefined) known.seq = Math.max(known.seq ?? 0, seq);
    }
  }
  return [...merged.values()].map(({ seenAt, seq, told }) => ({
    seenAt,
    seq,
    mayHold: (scope) => told.some((one) => mayHold(one, scope)),
    leasesOf: (scope) =>
      told.filter((one) => mayHold(one, scope)).map((one) => (one === undefined ? undefined : toldLease(one, scope))),
  }));
}
