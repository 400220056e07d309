/** What is read of what the Cores have told of edges: pure functions of the rows, for whoever asks. */
import { runInTurns } from "../base/time/run-in-turns.ts";
import { mergeInstances } from "./edge-instances.ts";
import { type LeaseScope, scopeHash } from "./held-leases.ts";
import type { RevocationScope } from "./protocol/events.ts";
import type { EdgePresence } from "./store/store.ts";

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

/** What all Cores told, and the moment at which it is looked at. */
export interface PresenceView {
  readonly rows: readonly EdgePresence[];
  /** The event log in use. */
  readonly log: string;
  /** How long the longest lease lasts. */
  readonly leaseMs: number;
  readonly nowMs: number;
}

/** The edges that hold leases of a scope, as far as the Cores have told. */
export async function holdersOf(
  scope: RevocationScope,
  { rows, log, leaseMs, nowMs }: PresenceView,
): Promise<EdgeHolding[]> {
  const sought = scopeHash(scope);
  const holders: EdgeHolding[] = [];
  await forEachEdge(rows, (edge, told) => {
    const versions = new Set<number>();
    let endsMs = 0;
    for (const instance of mergeInstances(told, log)) {
      for (const lease of instance.leasesOf(sought)) {
        const grantedMs = lease?.grantedMs ?? Date.parse(instance.seenAt);
        if (grantedMs + leaseMs <= nowMs) continue;
        if (scope.version !== undefined && lease !== undefined && !lease.versions.includes(scope.version)) continue;
        for (const version of lease?.versions ?? []) versions.add(version);
        endsMs = Math.max(endsMs, grantedMs + leaseMs);
      }
    }
    if (endsMs > 0) holders.push({ edge, versions: [...versions], endsAt: new Date(endsMs).toISOString() });
  });
  return holders;
}

/** How many edges have a process that may hold a lease of the scope, and which of them have not confirmed the event. */
export async function holdersLeft(
  seq: number,
  scope: LeaseScope,
  { rows, log, leaseMs, nowMs }: PresenceView,
): Promise<Pick<EdgesProgress, "edges" | "left">> {
  const sinceAt = new Date(nowMs - leaseMs).toISOString();
  const sought = scopeHash(scope);
  let edges = 0;
  const left: string[] = [];
  await forEachEdge(rows, (edge, told) => {
    const holding = mergeInstances(told, log).filter((one) => one.seenAt > sinceAt && one.mayHold(sought));
    if (holding.length === 0) return;
    edges++;
    if (holding.some((one) => (one.seq ?? -1) < seq)) left.push(edge);
  });
  return { edges, left };
}

/** Each edge as all Cores together have seen it. `alive`: the Cores whose streams count. */
export async function edgeStatesOf(
  { rows, log, leaseMs, nowMs }: PresenceView,
  lastSeq: number,
  alive: ReadonlySet<string>,
): Promise<EdgeState[]> {
  const sinceAt = new Date(nowMs - leaseMs).toISOString();
  const states: EdgeState[] = [];
  await forEachEdge(rows, (edge, told) => {
    const newest = told.reduce((last, one) => (one.lastSeenAt > last.lastSeenAt ? one : last));
    const streaming = told.filter((one) => one.streams > 0 && alive.has(one.core));
    const places = streaming.flatMap(({ seq }) => (seq === undefined ? [] : [seq]));
    const seq = places.length === 0 ? undefined : Math.min(...places);
    const instances = seq === undefined ? [] : mergeInstances(told, log);
    const confirmed = instances.filter((one) => one.seenAt > sinceAt || one.seq !== undefined).map((one) => one.seq);
    const applied =
      confirmed.length === 0 || confirmed.includes(undefined) ? undefined : Math.min(...(confirmed as number[]));
    states.push({
      edge,
      lastSeenAt: newest.lastSeenAt,
      leaseCalls: sum(told.map((one) => one.leaseCalls)),
      usageBatches: sum(told.map((one) => one.usageBatches)),
      streams: sum(streaming.map((one) => one.streams)),
      ...(seq === undefined ? {} : { seq, lag: Math.max(0, lastSeq - (applied ?? seq)) }),
      ...(applied === undefined ? {} : { applied }),
      ...(newest.version === undefined ? {} : { version: newest.version }),
      ...(newest.certificateEndsAt === undefined ? {} : { certificateEndsAt: newest.certificateEndsAt }),
      cores: told.map((one) => one.core),
    });
  });
  return states;
}

/** In turns with everyone else's calls: there may be 100,000 edges. */
async function forEachEdge(
  rows: readonly EdgePresence[],
  look: (edge: string, told: readonly EdgePresence[]) => void,
): Promise<void> {
  const byEdge = new Map<string, EdgePresence[]>();
  await runInTurns(rows.length, (index) => {
    const row = rows[index]!;
    const told = byEdge.get(row.edge);
    if (told === undefined) byEdge.set(row.edge, [row]);
    else told.push(row);
    return 0;
  });
  const edges = [...byEdge];
  await runInTurns(edges.length, (index) => {
    const [edge, told] = edges[index]!;
    look(edge, told);
    return 0;
  });
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
