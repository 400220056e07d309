/**
 * The processes of an edge, each with leases of its own: which of them were seen lately, and how far each has applied the events.
 * An edge has applied an event only when all of them have.
 */
import type { EdgeInstance, EdgePresence } from "./store/store.ts";

/** More than an edge may have streams by default. */
const MAX_INSTANCES = 512;

export class EdgeInstances {
  readonly #leaseMs: number;
  readonly #byId = new Map<string, EdgeInstance>();
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
    this.#byId.set(id, { ...known, id, seenAt: new Date(nowMs).toISOString() });
    if (known === undefined) this.#prune();
  }

  /** Of one that was seen. What it says last counts: a history that was restored may have sent it back. */
  confirm(id: string, applied: NonNullable<EdgeInstance["applied"]>): void {
    const known = this.#byId.get(id);
    if (known !== undefined) this.#byId.set(id, { ...known, applied });
  }

  forgetApplied(): void {
    for (const { id, seenAt } of this.#byId.values()) this.#byId.set(id, { id, seenAt });
  }

  /** What was known before a restart; what is known since then stands. */
  recall(instances: readonly EdgeInstance[]): void {
    for (const one of instances) if (!this.#byId.has(one.id)) this.#byId.set(one.id, one);
  }

  list(): EdgeInstance[] {
    this.#prune();
    return [...this.#byId.values()];
  }

  #prune(): void {
    const sinceAt = new Date(this.#newestMs - this.#leaseMs).toISOString();
    for (const { id, seenAt } of this.#byId.values()) {
      if (seenAt <= sinceAt || this.#byId.size > MAX_INSTANCES) this.#byId.delete(id);
    }
  }
}

/** Each process of one edge, by what all Cores have seen of it. `seq`: what it has confirmed of this log. */
export function mergeInstances(
  rows: readonly EdgePresence[],
  log: string,
): { readonly seenAt: string; readonly seq: number | undefined }[] {
  const merged = new Map<string, { seenAt: string; seq: number | undefined }>();
  for (const row of rows) {
    for (const { id, seenAt, applied } of row.instances ?? [{ id: "", seenAt: row.lastSeenAt, applied: undefined }]) {
      const seq = applied?.log === log ? applied.seq : undefined;
      const known = merged.get(id);
      if (known === undefined) {
        merged.set(id, { seenAt, seq });
        continue;
      }
      if (seenAt > known.seenAt) known.seenAt = seenAt;
      if (seq !== undefined) known.seq = Math.max(known.seq ?? 0, seq);
    }
  }
  return [...merged.values()];
}
