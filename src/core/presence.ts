/**
 * Which edges call, and which Cores there are: counted in memory, told to the other Cores through the store every few
 * seconds. What an edge asked of the others counts in its rate here, so that its limit is one for all Cores. Times are those of the
 * store, so that Cores whose clocks are apart, or are set, agree on who was seen when.
 */
import type { Clock, Timer } from "../base/time/clock.ts";
import { runInTurns } from "../base/time/run-in-turns.ts";
import type { LeaseScope } from "./held-leases.ts";
import {
  type EdgeHolding,
  type EdgeState,
  type EdgesProgress,
  edgeStatesOf,
  holdersLeft,
  holdersOf,
  type PresenceView,
} from "./presence-views.ts";
import type { RevocationScope } from "./protocol/events.ts";
import { type Seen, SeenEdges } from "./seen-edges.ts";
import { type CorePresence, type EdgePresence, type Store, TOLD_ALL } from "./store/store.ts";
import { StoreTime } from "./store-time.ts";

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

/** The versions that a lease brought; `alone` where it is of one that was asked for. */
export type TellGranted = (versions: readonly number[], alone: boolean) => void;

export interface Sighting {
  readonly version?: string | undefined;
  readonly certificateEndsAtMs?: number;
  /** Which of the edge's processes called. */
  readonly instance?: string;
}

const FLUSH_MS = 2_000;
/** A Core that told nothing for so long is gone, with its streams. */
const CORE_GONE_MS = 15_000;
/** Calls of an edge elsewhere that are worth telling, for each flush. */
const MANY_CALLS = 100;

export class Presence {
  readonly #options: PresenceOptions;
  readonly #time: StoreTime;
  readonly #seen: SeenEdges;
  #timer: Timer | undefined;
  #flushing: Promise<void> = Promise.resolve();
  #remembering: Promise<void> | undefined;
  /** A Core of this name was killed before this one: it had told what it knew up to this event, and what it leased then is over by then. */
  #killed: { readonly seq: number; readonly untilMs: number } | undefined;
  #closing = false;

  constructor(options: PresenceOptions) {
    this.#options = options;
    this.#time = new StoreTime(options);
    this.#seen = new SeenEdges(options.leaseMs);
    this.#schedule();
  }

  /**
   * Before the first call: asks the store for the time, and for what a Core of this name knew before; tells the others of this one, or
   * they would take it that nobody holds a lease that they have not heard of.
   */
  async begin(): Promise<void> {
    await this.#remember();
    await this.flush();
  }

  /** The store's time, which is one for all Cores. */
  nowMs(): number {
    return this.#time.nowMs();
  }

  see(edge: string, of: Sighting = {}): Seen {
    const seen = this.#seen.of(edge);
    seen.lastSeenMs = this.#time.nowMs();
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
    for (const [, seen] of this.#seen) {
      seen.instances.forgetApplied();
      seen.told = false;
    }
  }

  /** An edge that was seen asks for a lease: called before the keys' states are read. What is returned is told what it got. */
  asks(edge: string, instance: string, tenant: string, service: string): TellGranted | undefined {
    const seen = this.#seen.get(edge);
    const leases = seen?.instances.leasesOf(instance);
    if (seen === undefined || leases === undefined) return undefined;
    const asked = leases.asks(tenant, service, this.#time.nowMs());
    seen.told = false;
    return (versions, alone) => {
      leases.granted(asked, versions, alone, this.#time.nowMs());
      seen.told = false;
    };
  }

  /** The edges that hold leases of a scope, as far as the Cores have told. */
  async holders(scope: RevocationScope): Promise<EdgeHolding[]> {
    await this.#remember();
    return holdersOf(scope, await this.#view());
  }

  /**
   * The edges with a process that may hold a lease of the scope from before an event: one that has asked for such a lease within the
   * longest lease, or of which that is not known.
   */
  async progress(seq: number, scope: LeaseScope): Promise<EdgesProgress> {
    await this.#remember();
    // The Cores first: their edges were told in the same moment, or later.
    const told = await this.#others(this.#time.ago(this.#options.leaseMs + CORE_GONE_MS));
    const untoldCores = [this.#own(), ...told].filter((one) => (one.seq ?? -1) < seq).map(({ core }) => core);
    return { ...(await holdersLeft(seq, scope, await this.#view())), untoldCores };
  }

  /** Those that are there now. */
  async cores(): Promise<CorePresence[]> {
    const others = await this.#others(this.#time.ago(CORE_GONE_MS));
    return [this.#own(), ...others.filter(({ seq }) => seq !== TOLD_ALL)];
  }

  async edges(): Promise<EdgeState[]> {
    const view = await this.#view();
    const alive = new Set((await this.cores()).map((one) => one.core));
    return edgeStatesOf(view, this.#options.lastSeq(), alive);
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

  async #others(sinceAt: string): Promise<CorePresence[]> {
    const { core, store } = this.#options;
    return (await store.usage.cores(sinceAt)).filter((one) => one.core !== core);
  }

  /** By this Core as it is now, by the others as they told last. */
  async #view(): Promise<PresenceView> {
    const { core, store, log, leaseMs } = this.#options;
    const nowMs = this.#time.nowMs();
    const told = (await store.usage.edges()).filter((one) => one.core !== core || !this.#seen.has(one.edge));
    return { rows: (await this.#rows(() => true)).concat(told), log: log(), leaseMs, nowMs };
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
    await this.#time.ask();
    const nowMs = this.#time.nowMs();
    const sinceAt = new Date(nowMs - leaseMs).toISOString();
    const before = (await store.usage.cores("")).find((one) => one.core === core);
    if (before !== undefined && before.seq !== TOLD_ALL) {
      this.#killed = { seq: before.seq ?? -1, untilMs: nowMs + leaseMs };
    }
    for (const row of await store.usage.edges()) {
      if (row.core !== core || row.lastSeenAt <= sinceAt) continue;
      const seen = this.#seen.of(row.edge);
      seen.lastSeenMs = Math.max(seen.lastSeenMs, Date.parse(row.lastSeenAt));
      seen.instances.recall(row.instances ?? [{ id: "", seenAt: row.lastSeenAt }]);
    }
  }

  async #flush(): Promise<void> {
    const { store, core, onCallsElsewhere } = this.#options;
    try {
      // Before they are written over.
      await this.#remember();
      await this.#time.ask();
    } catch {
      return;
    }
    // Before the rows: a lease that is asked for while they are made must not count as told.
    const own = this.#own();
    const rows = await this.#rows(
      ({ told, toldStreams, toldSeq }, streams, seq) => !told || streams !== toldStreams || seq !== toldSeq,
      (seen, { streams, seq }) => {
        seen.told = true;
        seen.recentCalls = 0;
        seen.toldStreams = streams;
        seen.toldSeq = seq;
      },
    );
    try {
      await store.usage.seen(own, rows);
      if (store.kind === "sqlite") return;
      const since = this.#time.ago(this.#options.flushMs ?? FLUSH_MS);
      for (const { edge, calls } of await store.usage.callsElsewhere(core, since, MANY_CALLS)) {
        onCallsElsewhere(edge, calls);
      }
    } catch {
      // The store is away or full: told again.
      for (const { edge } of rows) {
        const seen = this.#seen.get(edge);
        if (seen !== undefined) seen.told = false;
      }
    }
  }

  #own(): CorePresence {
    const { core, version, masterKeys } = this.#options;
    return { core, seenAt: new Date(this.#time.nowMs()).toISOString(), version, masterKeys, seq: this.#toldSeq() };
  }

  /** The newest event before which nobody holds a lease that is not told of. */
  #toldSeq(): number {
    const { lastSeq } = this.#options;
    if (this.#killed !== undefined && this.#time.nowMs() >= this.#killed.untilMs) this.#killed = undefined;
    if (this.#killed !== undefined) return Math.min(this.#killed.seq, lastSeq());
    return this.#closing ? TOLD_ALL : lastSeq();
  }

  /** In turns with everyone else's calls; `take` gets each at the moment of which it is. */
  async #rows(
    which: (seen: Seen, streams: number, seq: number | undefined) => boolean,
    take: (seen: Seen, row: EdgePresence) => void = () => undefined,
  ): Promise<EdgePresence[]> {
    const { streamsOf, places } = this.#options;
    const placeOf = places();
    const all = [...this.#seen];
    const rows: EdgePresence[] = [];
    await runInTurns(all.length, (index) => {
      const [edge, seen] = all[index]!;
      const streams = streamsOf(edge);
      const seq = streams === 0 ? undefined : placeOf.get(edge);
      if (!which(seen, streams, seq)) return 0;
      const row = this.#rowOf(edge, seen, streams, seq);
      take(seen, row);
      rows.push(row);
      return 0;
    });
    return rows;
  }

  #rowOf(edge: string, seen: Seen, streams: number, seq: number | undefined): EdgePresence {
    return {
      edge,
      core: this.#options.core,
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
    };
  }

  #schedule(): void {
    this.#timer = this.#options.clock.schedule(this.#options.flushMs ?? FLUSH_MS, () => {
      this.#schedule();
      void this.flush();
    });
  }
}
