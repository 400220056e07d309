/**
 * Which edges call, and which Cores there are: counted in memory, told to the other Cores through the store every few
 * seconds. What an edge asked of the others counts in its rate here, so that its limit is one for all Cores. Times are those of the
 * store, so that Cores whose clocks are apart, or are set, agree on who was seen when.
 */
import type { Clock, Timer } from "../base/time/clock.ts";
import { EdgeInstances, mergeInstances } from "./edge-instances.ts";
import { type LeaseScope, scopeHash } from "./held-leases.ts";
import type { RevocationScope } from "./protocol/events.ts";
import { type CorePresence, type EdgePresence, type Store, TOLD_ALL } from "./store/store.ts";

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
  /** By edge, the newest event that its slowest stream was told. */
  readonly places: () => ReadonlyMap<string, number>;
  /** Lease calls of an edge at other Cores, since the last time. */
  readonly onCallsElsewhere: (edge: string, calls: number) => void;
  /** This Core's clock has come to be apart from the store's, by so much, or agrees with it again (0). */
  readonly onSkew?: (skewMs: number) => void;
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
  /** What was told of its streams last. */
  toldStreams: number;
  toldSeq: number | undefined;
}

/** Who may hold a lease of a scope from before an event. */
export interface EdgesProgress {
  readonly edges: number;
  /** Those of them that have not confirmed the event. */
  readonly left: readonly string[];
  /** Cores that may know of more: they have not told what they knew when they heard of the event. */
  readonly untoldCores: readonly string[];
}

/** An edge that holds leases of a scope. */
export interface EdgeHolding {
  readonly edge: string;
  /** Empty where it is only known that it may hold one. */
  readonly versions: readonly number[];
  /** When the last of them ends. */
  readonly endsAt: string;
}

/** The versions that a lease brought; `alone` where it is of one that was asked for. */
export type TellGranted = (versions: readonly number[], alone: boolean) => void;

export interface Sighting {
  readonly version?: string | undefined;
  readonly certificateEndsAtMs?: number;
  /** Which of the edge's processes called. */
  readonly instance?: string;
}

const FLUSH_MS = 2_000;
const MAX_EDGES = 100_000;
/** Signed events count for a minute, certificates and leases are checked by each one's own clock. */
const MAX_SKEW_MS = 5_000;
/** A Core that told nothing for so long is gone, with its streams. */
const CORE_GONE_MS = 15_000;
/** Calls of an edge elsewhere that are worth telling, for each flush. */
const MANY_CALLS = 100;

export class Presence {
  readonly #options: PresenceOptions;
  readonly #edges = new Map<string, Seen>();
  #timer: Timer | undefined;
  #flushing: Promise<void> = Promise.resolve();
  #remembering: Promise<void> | undefined;
  /** What is added to each of the two clocks for the store's time, as of when it was asked last. */
  #storeMs: { readonly monotonic: number; readonly wall: number } | undefined;
  #isSkewed = false;
  /** A Core of this name was killed before this one: it had told what it knew up to this event, and what it leased then is over by then. */
  #killed: { readonly seq: number; readonly untilMs: number } | undefined;
  #closing = false;

  constructor(options: PresenceOptions) {
    this.#options = options;
    this.#schedule();
  }

  /** Before the first call: asks the store for the time, and for what a Core of this name knew before. */
  begin(): Promise<void> {
    return this.#remember();
  }

  see(edge: string, of: Sighting = {}): Seen {
    const seen = this.#entry(edge);
    seen.lastSeenMs = this.#nowMs();
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

  /** An edge that was seen asks for a lease: called before the keys' states are read. What is returned is told what it got. */
  asks(edge: string, instance: string, tenant: string, service: string): TellGranted | undefined {
    const seen = this.#edges.get(edge);
    const leases = seen?.instances.leasesOf(instance);
    if (seen === undefined || leases === undefined) return undefined;
    const asked = leases.asks(tenant, service, this.#nowMs());
    seen.told = false;
    return (versions, alone) => {
      leases.granted(asked, versions, alone, this.#nowMs());
      seen.told = false;
    };
  }

  /** The edges that hold leases of a scope, as far as the Cores have told. */
  async holders(scope: RevocationScope): Promise<EdgeHolding[]> {
    const { leaseMs } = this.#options;
    await this.#remember();
    const nowMs = this.#nowMs();
    const sought = scopeHash(scope);
    const holders: EdgeHolding[] = [];
    for (const [edge, rows] of Map.groupBy(await this.#everywhere(), (row) => row.edge)) {
      const versions = new Set<number>();
      let endsMs = 0;
      for (const instance of mergeInstances(rows, this.#options.log())) {
        for (const lease of instance.leasesOf(sought)) {
          const grantedMs = lease?.grantedMs ?? Date.parse(instance.seenAt);
          if (grantedMs + leaseMs <= nowMs) continue;
          if (scope.version !== undefined && lease !== undefined && !lease.versions.includes(scope.version)) continue;
          for (const version of lease?.versions ?? []) versions.add(version);
          endsMs = Math.max(endsMs, grantedMs + leaseMs);
        }
      }
      if (endsMs > 0) holders.push({ edge, versions: [...versions], endsAt: new Date(endsMs).toISOString() });
    }
    return holders;
  }

  /**
   * The edges with a process that may hold a lease of the scope from before an event: one that has asked for such a lease within the
   * longest lease, or of which that is not known.
   */
  async progress(seq: number, scope: LeaseScope): Promise<EdgesProgress> {
    const { leaseMs } = this.#options;
    await this.#remember();
    const nowMs = this.#nowMs();
    const sinceAt = new Date(nowMs - leaseMs).toISOString();
    const sought = scopeHash(scope);
    // The Cores first: their edges were told in the same moment, or later.
    const told = await this.#others(new Date(nowMs - leaseMs - CORE_GONE_MS).toISOString());
    const untoldCores = [this.#own(), ...told].filter((one) => (one.seq ?? -1) < seq).map(({ core }) => core);
    let edges = 0;
    const left: string[] = [];
    for (const [edge, rows] of Map.groupBy(await this.#everywhere(), (row) => row.edge)) {
      const holding = mergeInstances(rows, this.#options.log()).filter(
        (one) => one.seenAt > sinceAt && one.mayHold(sought),
      );
      if (holding.length === 0) continue;
      edges++;
      if (holding.some((one) => (one.seq ?? -1) < seq)) left.push(edge);
    }
    return { edges, left, untoldCores };
  }

  /** Those that are there now. */
  async cores(): Promise<CorePresence[]> {
    const others = await this.#others(new Date(this.#nowMs() - CORE_GONE_MS).toISOString());
    return [this.#own(), ...others.filter(({ seq }) => seq !== TOLD_ALL)];
  }

  async edges(): Promise<EdgeState[]> {
    const { lastSeq, log, leaseMs } = this.#options;
    const rows = await this.#everywhere();
    const alive = new Set((await this.cores()).map((one) => one.core));
    const sinceAt = new Date(this.#nowMs() - leaseMs).toISOString();
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
    this.#closing = true;
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
        toldStreams: 0,
        toldSeq: undefined,
      };
    }
    // The newest last: what is forgotten first is what was seen longest ago.
    this.#edges.delete(edge);
    this.#edges.set(edge, seen);
    return seen;
  }

  async #others(sinceAt: string): Promise<CorePresence[]> {
    const { core, store } = this.#options;
    return (await store.usage.cores(sinceAt)).filter((one) => one.core !== core);
  }

  /** By this Core as it is now, by the others as they told last. */
  async #everywhere(): Promise<EdgePresence[]> {
    const { core, store } = this.#options;
    const told = (await store.usage.edges()).filter((one) => one.core !== core || !this.#edges.has(one.edge));
    return [...this.#rows(() => true), ...told];
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
    const { core, store, leaseMs } = this.#options;
    await this.#askTime();
    const nowMs = this.#nowMs();
    const sinceAt = new Date(nowMs - leaseMs).toISOString();
    const before = (await store.usage.cores("")).find((one) => one.core === core);
    if (before !== undefined && before.seq !== TOLD_ALL) {
      this.#killed = { seq: before.seq ?? -1, untilMs: nowMs + leaseMs };
    }
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
      await this.#askTime();
    } catch {
      return;
    }
    const rows = this.#rows(
      ({ told, toldStreams, toldSeq }, streams, seq) => !told || streams !== toldStreams || seq !== toldSeq,
    );
    for (const { edge, streams, seq } of rows) {
      const seen = this.#edges.get(edge);
      if (seen === undefined) continue;
      seen.told = true;
      seen.recentCalls = 0;
      seen.toldStreams = streams;
      seen.toldSeq = seq;
    }
    try {
      await store.usage.seen(this.#own(), rows);
      if (store.kind === "sqlite") return;
      const since = new Date(this.#nowMs() - (this.#options.flushMs ?? FLUSH_MS)).toISOString();
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

  /** The later of the two: one stands still while the machine sleeps, the other may be set back. Too late only holds edges to be there longer. */
  #nowMs(): number {
    const { clock } = this.#options;
    if (this.#storeMs === undefined) return clock.wallMs();
    return Math.max(clock.monotonicMs() + this.#storeMs.monotonic, clock.wallMs() + this.#storeMs.wall);
  }

  async #askTime(): Promise<void> {
    const { clock, store, onSkew } = this.#options;
    const nowMs = await store.nowMs();
    const skewMs = clock.wallMs() - nowMs;
    this.#storeMs = { monotonic: nowMs - clock.monotonicMs(), wall: -skewMs };
    const isSkewed = Math.abs(skewMs) > MAX_SKEW_MS;
    if (isSkewed !== this.#isSkewed) onSkew?.(isSkewed ? Math.round(skewMs) : 0);
    this.#isSkewed = isSkewed;
  }

  #own(): CorePresence {
    const { core, version, masterKeys } = this.#options;
    return { core, seenAt: new Date(this.#nowMs()).toISOString(), version, masterKeys, seq: this.#toldSeq() };
  }

  /** The newest event before which nobody holds a lease that is not told of. */
  #toldSeq(): number {
    const { lastSeq } = this.#options;
    if (this.#killed !== undefined && this.#nowMs() >= this.#killed.untilMs) this.#killed = undefined;
    if (this.#killed !== undefined) return Math.min(this.#killed.seq, lastSeq());
    return this.#closing ? TOLD_ALL : lastSeq();
  }

  #rows(which: (seen: Seen, streams: number, seq: number | undefined) => boolean): EdgePresence[] {
    const { core, streamsOf, places } = this.#options;
    const placeOf = places();
    const rows: EdgePresence[] = [];
    for (const [edge, seen] of this.#edges) {
      const streams = streamsOf(edge);
      const seq = streams === 0 ? undefined : placeOf.get(edge);
      if (!which(seen, streams, seq)) continue;
      rows.push({
        edge,
        core,
        lastSeenAt: new Date(seen.lastSeenMs).toISOString(),
        leaseCalls: seen.leaseCalls,
        recentCalls: seen.recentCalls,
        usageBatches: seen.usageBatches,
        streams,
        seq,
        version: seen.version,
        certificateEndsAt:
          seen.certificateEndsAtMs === undefined ? undefined : new Date(seen.certificateEndsAtMs).toISOString(),
        instances: seen.instances.list(),
      });
    }
    return rows;
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
