import { EdgeInstances } from "./edge-instances.ts";

const MAX_EDGES = 100_000;

/** What one Core has seen of an edge, and what of that the store was told. */
export interface Seen {
  lastSeenMs: number;
  leaseCalls: number;
  usageBatches: number;
  recentCalls: number;
  version: string | undefined;
  certificateEndsAtMs: number | undefined;
  readonly instances: EdgeInstances;
  told: boolean;
  /** What was told of its streams last. */
  toldStreams: number;
  toldSeq: number | undefined;
}

/** The edges that this Core has seen, the one seen longest ago first. */
export class SeenEdges {
  readonly #leaseMs: number;
  readonly #edges = new Map<string, Seen>();

  constructor(leaseMs: number) {
    this.#leaseMs = leaseMs;
  }

  has(edge: string): boolean {
    return this.#edges.has(edge);
  }

  get(edge: string): Seen | undefined {
    return this.#edges.get(edge);
  }

  [Symbol.iterator](): IterableIterator<[string, Seen]> {
    return this.#edges.entries();
  }

  /** That of an edge, which becomes the one that was seen last. */
  of(edge: string): Seen {
    let seen = this.#edges.get(edge);
    if (seen === undefined) {
      if (this.#edges.size >= MAX_EDGES) this.#forgetOldest();
      seen = {
        lastSeenMs: 0,
        leaseCalls: 0,
        usageBatches: 0,
        recentCalls: 0,
        version: undefined,
        certificateEndsAtMs: undefined,
        instances: new EdgeInstances(this.#leaseMs),
        told: false,
        toldStreams: 0,
        toldSeq: undefined,
      };
    }
    // The newest last: what is forgotten first is what was seen longest ago.
    this.#edges.delete(edge);
    this.#edges.set(edge, seen);
    return seen;
  }

  /** Those that were told of first: the store knows what they may hold. */
  #forgetOldest(): void {
    for (const mayForget of [({ told }: Seen) => told, () => true]) {
      for (const [edge, seen] of this.#edges) {
        if (this.#edges.size < MAX_EDGES * 0.9) return;
        if (mayForget(seen)) this.#edges.delete(edge);
      }
      if (this.#edges.size < MAX_EDGES) return;
    }
  }
}
