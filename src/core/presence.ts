/**
 * Which edges call, and which Cores there are: counted in memory, told to the other Cores through the store every few
 * seconds. What an edge asked of the others counts in its rate here, so that its limit is one for all Cores.
 */
import type { Clock, Timer } from "../base/time/clock.ts";
import { EdgeInstances, mergeInstances } from "./edge-instances.ts";
import type { CorePresence, EdgePresence, Store } from "./store/store.ts";

/** What the Cores have seen of an edge. The counters are since each Core's start. */
export interface EdgeState {
  readonly edge: string;
  readonly lastSeenAt: string;
  readonly leaseCalls: number;
  readonly usageBatches: number;
  /** Revocation streams open now. */
  readonly streams: number;
  /** The newest event that its slowest stream was told; absent without a stream. */
  readonly seq?: number;
  /** The newest event that all its processes have applied; absent without a stream, and while one has not confirmed any. */
  readonly applied?: number;
  /** How many events it is behind with applying them, or with being told where it confirms nothing; absent without a stream. */
  readonly lag?: number;
  /** What it says of itself. */
  readonly version?: string;
  readonly certificateEndsAt?: string;
  /** The Cores that it has called. */
  readonly cores: readonly string[];
}

export interface PresenceOptions {
  readonly store: Store;
  readonly clock: Clock;
  /** This Core among the others. */
  readonly core: string;
  readonly version: string;
  readonly masterKeys: readonly string[];
  /** The event log in use, and its newest event that this Core has heard of. */
  readonly log: () => string;
  readonly lastSeq: () => number;
  /** How long the longest lease lasts. */
  readonly leaseMs: number;
  readonly streamsOf: (edge: string) => number;
  readonly placeOf: (edge: string) => number | undefined;
  /** Lease calls of an edge at other Cores, since the last time. */
  readonly onCallsElsewhere: (edge: string, calls: number) => void;
  readonly flushMs?: number;
}

interface Seen {
  lastSeenMs: number;
  leaseCalls: number;
  usageBatches: number;
  recentCalls: number;
  version: string | undefined;
  certificateEndsAtMs: number | undefined;
  readonly instances: EdgeInstances;
  told: boolean;
}

export interface Sighting {
  readonly version?: string | undefined;
  readonly certificateEndsAtMs?: number;
  /** Which of the edge's processes called. */
  readonly instance?: string;
}

const FLUSH_MS = 2_000;
const MAX_EDGES = 100_000;
/** A Core that told nothing for so long is gone, with its streams. */
export const CORE_GONE_MS = 15_000;
/** Calls of an edge elsewhere that are worth telling, for each flush. */
const MANY_CALLS = 100;

export class Presence {
  readonly #options: PresenceOptions;
  readonly #edges = new Map<string, Seen>();
  #timer: Timer | undefined;
  #flushing: Promise<void> = Promise.resolve();
  #remembering: Promise<void> | undefined;

  constructor(options: PresenceOptions) {
    this.#options = options;
    this.#schedule();
  }

  see(edge: string, of: Sighting = {}): Seen {
    const seen = this.#entry(edge);
    seen.lastSeenMs = this.#options.clock.wallMs();
    seen.instances.see(of.instance ?? "", seen.lastSeenMs);
    seen.version = of.version ?? seen.version;
    seen.certificateEndsAtMs = of.certificateEndsAtMs ?? seen.certificateEndsAtMs;
    seen.told = false;
    return seen;
  }

  /** An edge's process has applied everything of the log up to `seq`. */
  confirm(edge: string, instance: string, seq: number, of: Sighting): void {
    this.see(edge, { ...of, instance }).instances.confirm(instance, { log: this.#options.log(), seq });
  }

  /** The store has another history: what was confirmed of the old one says nothing. */
  newHistory(): void {
    for (const seen of this.#edges.values()) {
      seen.instances.forgetApplied();
      seen.told = false;
    }
  }

  /**
   * How many edges may hold a lease from before an event and have not confirmed it: those with a process that a Core has seen within
   * the longest lease. One at least while another Core may know of more: until it has told what it knew when it heard of the event.
   */
  async edgesBehind(seq: number): Promise<number> {
    const { core, clock, leaseMs } = this.#options;
    const sinceAt = new Date(clock.wallMs() - leaseMs).toISOString();
    await this.#remember();
    // The Cores first: their edges were told in the same moment, or later.
    const untold = (await this.cores()).some((one) => one.core !== core && (one.seq ?? -1) < seq);
    const byEdge = Map.groupBy(await this.#everywhere(), ({ edge }) => edge);
    const behind = [...byEdge.values()].filter((rows) =>
      mergeInstances(rows, this.#options.log()).some((one) => one.seenAt > sinceAt && (one.seq ?? -1) < seq),
    ).length;
    return untold ? Math.max(1, behind) : behind;
  }

  async cores(): Promise<CorePresence[]> {
    const since = new Date(this.#options.clock.wallMs() - CORE_GONE_MS).toISOString();
    const others = (await this.#options.store.usage.cores(since)).filter(({ core }) => core !== this.#options.core);
    return [this.#own(), ...others];
  }

  async edges(): Promise<EdgeState[]> {
    const { lastSeq, log, clock, leaseMs } = this.#options;
    const rows = await this.#everywhere();
    const alive = new Set((await this.cores()).map((one) => one.core));
    const sinceAt = new Date(clock.wallMs() - leaseMs).toISOString();
    const byEdge = Map.groupBy(rows, ({ edge }) => edge);
    return [...byEdge].map(([edge, seen]) => {
      const newest = seen.reduce((last, one) => (one.lastSeenAt > last.lastSeenAt ? one : last));
      const streaming = seen.filter((one) => one.streams > 0 && alive.has(one.core));
      const places = streaming.flatMap(({ seq }) => (seq === undefined ? [] : [seq]));
      const seq = places.length === 0 ? undefined : Math.min(...places);
      const instances = seq === undefined ? [] : mergeInstances(seen, log());
      const confirmed = instances.filter((one) => one.seenAt > sinceAt || one.seq !== undefined).map((one) => one.seq);
      const applied =
        confirmed.length === 0 || confirmed.includes(undefined) ? undefined : Math.min(...(confirmed as number[]));
      return {
        edge,
        lastSeenAt: newest.lastSeenAt,
        leaseCalls: sum(seen.map((one) => one.leaseCalls)),
        usageBatches: sum(seen.map((one) => one.usageBatches)),
        streams: sum(streaming.map((one) => one.streams)),
        ...(seq === undefined ? {} : { seq, lag: Math.max(0, lastSeq() - (applied ?? seq)) }),
        ...(applied === undefined ? {} : { applied }),
        ...(newest.version === undefined ? {} : { version: newest.version }),
        ...(newest.certificateEndsAt === undefined ? {} : { certificateEndsAt: newest.certificateEndsAt }),
        cores: seen.map((one) => one.core),
      };
    });
  }

  /** Tells the store what is new. */
  flush(): Promise<void> {
    this.#flushing = this.#flushing.then(() => this.#flush());
    return this.#flushing;
  }

  async close(): Promise<void> {
    this.#timer?.cancel();
    // The others, and this Core when it starts anew, must know who holds leases.
    await this.flush();
  }

  #entry(edge: string): Seen {
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
        instances: new EdgeInstances(this.#options.leaseMs),
        told: false,
      };
    }
    // The newest last: what is forgotten first is what was seen longest ago.
    this.#edges.delete(edge);
    this.#edges.set(edge, seen);
    return seen;
  }

  /** By this Core as it is now, by the others as they told last. */
  async #everywhere(): Promise<EdgePresence[]> {
    const { core, store } = this.#options;
    const elsewhere = (await store.usage.edges()).filter((one) => one.core !== core);
    return [...this.#rows(() => true), ...elsewhere];
  }

  /** The processes of edges that this Core knew before it was started anew: they may hold leases still. */
  #remember(): Promise<void> {
    this.#remembering ??= this.#recall().catch((error: unknown) => {
      this.#remembering = undefined;
      throw error;
    });
    return this.#remembering;
  }

  async #recall(): Promise<void> {
    const { core, store, clock, leaseMs } = this.#options;
    const sinceAt = new Date(clock.wallMs() - leaseMs).toISOString();
    for (const row of await store.usage.edges()) {
      if (row.core !== core || row.lastSeenAt <= sinceAt) continue;
      const seen = this.#entry(row.edge);
      seen.lastSeenMs = Math.max(seen.lastSeenMs, Date.parse(row.lastSeenAt));
      seen.instances.recall(row.instances ?? [{ id: "", seenAt: row.lastSeenAt }]);
    }
  }

  async #flush(): Promise<void> {
    const { store, core, onCallsElsewhere } = this.#options;
    try {
      // Before they are written over.
      await this.#remember();
    } catch {
      return;
    }
    const rows = this.#rows(({ told }) => !told);
    for (const { edge } of rows) {
      const seen = this.#edges.get(edge);
      if (seen !== undefined) {
        seen.told = true;
        seen.recentCalls = 0;
      }
    }
    try {
      await store.usage.seen(this.#own(), rows);
      if (store.kind === "sqlite") return;
      const since = new Date(this.#options.clock.wallMs() - (this.#options.flushMs ?? FLUSH_MS)).toISOString();
      for (const { edge, calls } of await store.usage.callsElsewhere(core, since, MANY_CALLS)) {
        onCallsElsewhere(edge, calls);
      }
    } catch {
      // The store is away or full: told again.
      for (const { edge } of rows) {
        const seen = this.#edges.get(edge);
        if (seen !== undefined) seen.told = false;
      }
    }
  }

  #own(): CorePresence {
    const { core, version, masterKeys, clock, lastSeq } = this.#options;
    return { core, seenAt: new Date(clock.wallMs()).toISOString(), version, masterKeys, seq: lastSeq() };
  }

  #rows(which: (seen: Seen) => boolean): EdgePresence[] {
    const { core, streamsOf, placeOf } = this.#options;
    const rows: EdgePresence[] = [];
    for (const [edge, seen] of this.#edges) {
      const streams = streamsOf(edge);
      if (!which(seen) && streams === 0) continue;
      rows.push({
        edge,
        core,
        lastSeenAt: new Date(seen.lastSeenMs).toISOString(),
        leaseCalls: seen.leaseCalls,
        recentCalls: seen.recentCalls,
        usageBatches: seen.usageBatches,
        streams,
        seq: streams === 0 ? undefined : placeOf(edge),
        version: seen.version,
        certificateEndsAt:
          seen.certificateEndsAtMs === undefined ? undefined : new Date(seen.certificateEndsAtMs).toISOString(),
        instances: seen.instances.list(),
      });
    }
    return rows;
  }

  #forgetOldest(): void {
    for (const edge of this.#edges.keys()) {
      this.#edges.delete(edge);
      if (this.#edges.size < MAX_EDGES * 0.9) return;
    }
  }

  #schedule(): void {
    this.#timer = this.#options.clock.schedule(this.#options.flushMs ?? FLUSH_MS, () => {
      this.#schedule();
      void this.flush();
    });
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
