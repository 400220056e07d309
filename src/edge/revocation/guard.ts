/**
 * The guard between the revocation transports and the lease cache (core-protocol.md, "Revocations"): any number of
 * transports feed it; it puts events in order, drops duplicates, sees holes, and says what must not be used.
 *
 * Two rules carry the safety. A `revoke` is applied the moment it is known, hole or no hole: refusing early is always
 * safe. What gives something back (`restore`, moving on in the log) waits until nothing before it is missing.
 */

import { messageOf } from "../../base/errors.ts";
import type { Clock, Timer } from "../../base/time/clock.ts";
import type { LeaseControl, LeaseGate } from "../cache/lease-cache.ts";
import type { PluginLog } from "../plugin-host/plugin.ts";
import { Blocks } from "./blocks.ts";
import { BurstLog } from "./burst-log.ts";
import { catchUp } from "./catch-up.ts";
import type { CoreEvents } from "./core-events.ts";
import { DroppedEvent, type DropReason } from "./dropped-event.ts";
import { claimOf, type EventVerifier } from "./event-verifier.ts";
import type { RestoreEvent, RevocationEvent, RevocationSink } from "./revocation-transport.ts";

export interface RevocationGuard extends LeaseGate {
  /** Names the cache whose leases are cut short. Before the first lease; the two know each other, so one comes second. */
  attach(control: LeaseControl): void;
  /** The guard as one transport sees it. Once per transport. */
  sink(transport: string): RevocationSink;
  /** Begins to count silence. After every `sink`. */
  start(): void;
  status(): RevocationStatus;
  /** Cancels timers and calls in flight; what is blocked stays blocked. */
  close(): void;
}

export interface RevocationGuardOptions {
  readonly clock: Clock;
  readonly log: PluginLog;
  /** Where missing events are asked for; without it a hole drops every lease. */
  readonly core?: CoreEvents | undefined;
  /** For transports that deliver signed events; without it those are dropped. */
  readonly verifier?: EventVerifier | undefined;
  /** How long no transport may be heard before `onSilence`. */
  readonly maxSilenceMs: number;
  readonly onSilence: "renew_early" | "fail_closed";
  /** Called after an event was applied (for a `revoke`: after the keys are wiped), once per event. */
  readonly onApplied?: ((event: RevocationEvent, transport: string) => void) | undefined;
  readonly limits?: Partial<RevocationLimits> | undefined;
}

export interface RevocationLimits {
  /** How long another transport may still bring a missing event before the Core is asked. */
  readonly holeGraceMs: number;
  /** How long the Core may take to bring the next of the missing events before every lease is dropped. */
  readonly fillTimeoutMs: number;
  /** How long a lease may know of newer events than the transports before the Core is asked. */
  readonly leaseHintGraceMs: number;
  /** The least time between two questions to the Core that no hole demands. */
  readonly probeIntervalMs: number;
  /** A signed event older than this tells nothing about a transport being alive. */
  readonly freshMs: number;
  /** How many blocked scopes are remembered. */
  readonly maxScopes: number;
  /** How many events beyond a hole are remembered. */
  readonly maxAhead: number;
}

export const DEFAULT_LIMITS: RevocationLimits = {
  holeGraceMs: 50,
  fillTimeoutMs: 900,
  leaseHintGraceMs: 1_000,
  probeIntervalMs: 5_000,
  freshMs: 10_000,
  maxScopes: 65_536,
  maxAhead: 4_096,
};

export interface RevocationStatus {
  /** The event log; undefined until the edge has its place in it. */
  readonly log: string | undefined;
  /** The newest event applied with no hole before it. */
  readonly seq: number;
  /** The newest event heard of. */
  readonly newestSeq: number;
  /** How many scopes are blocked. */
  readonly blocked: number;
  /** How often every lease had to be dropped. */
  readonly leaseDrops: number;
  /** How long no transport has been heard. */
  readonly silentMs: number;
  /** Whether that is longer than allowed. */
  readonly silent: boolean;
  readonly transports: readonly TransportStatus[];
}

export interface TransportStatus {
  readonly name: string;
  readonly connected: boolean;
  /** Why it is not connected. */
  readonly reason: string | undefined;
  /** Milliseconds since the last event or heartbeat that was believed; undefined before the first. */
  readonly lastHeardMs: number | undefined;
  /** From the Core's commit to the arrival here, of the newest event or heartbeat, by the two machines' wall clocks. */
  readonly lagMs: number | undefined;
  /** Events that this transport was the first to bring. */
  readonly events: number;
  readonly duplicates: number;
  /** How often it showed that an event was missing. */
  readonly gaps: number;
  readonly disconnections: number;
  readonly drops: Readonly<Partial<Record<DropReason, number>>>;
}

/** What the guard remembers of one transport. */
interface Link {
  readonly name: string;
  connected: boolean;
  reason: string | undefined;
  lastHeardMs: number | undefined;
  lagMs: number | undefined;
  events: number;
  duplicates: number;
  gaps: number;
  disconnections: number;
  readonly drops: Partial<Record<DropReason, number>>;
  /** The newest sequence number that the Core must know on this connection; a heartbeat below it is another history. */
  highWater: number;
  /** The place at the last `resumeAfter`. */
  resumedAt: number;
  /** Fresh heartbeats in a row that are behind what was applied. */
  behind: number;
  /** Signed events that are being verified. */
  verifying: number;
  /** When an event that came before by another road was last verified all the same. */
  copyVerifiedMs: number;
}

const COPY_VERIFIED_EVERY_MS = 10_000;
/** Signed events of one transport that are verified at once. Its events come one by one, its heartbeats once a second. */
const VERIFYING_MAX = 64;

/** Logs that were left; an answer from one of them is late, not news. */
const RETIRED_LOGS_MAX = 16;

export function createRevocationGuard(options: RevocationGuardOptions): RevocationGuard {
  const { clock, core, verifier, maxSilenceMs, onSilence } = options;
  const limits: RevocationLimits = { ...DEFAULT_LIMITS, ...options.limits };
  const log = new BurstLog(options.log, clock);
  const links: Link[] = [];
  const closing = new AbortController();

  let control: LeaseControl = NOTHING_HELD;
  /** The event log in use; undefined until the edge has its place. */
  let history: string | undefined;
  /** The newest event applied with no hole before it. */
  let applied = 0;
  /** The newest event that the Core or a signed event vouches for. */
  let newest = 0;
  /** The newest event that a lease vouches for: no hole by itself, since the transports may be just behind. */
  let hinted = 0;
  /** Leases answered before this are refused, whatever their scope. */
  let floor = 0;
  let leaseDrops = 0;
  const retired = new Set<string>();
  /** Events beyond a hole: a `restore` waits here, of others only the number. */
  const ahead = new Map<number, RestoreEvent | undefined>();
  const blocks = new Blocks({
    maxScopes: limits.maxScopes,
    onForget: (seq) => {
      floor = Math.max(floor, seq);
    },
  });

  let filling = false;
  let fillTimer: Timer | undefined;
  /** What `fillTimer` waits for is no hole that was seen, but what a lease vouches for. */
  let isHintPending = false;
  let lastProbeMs = Number.NEGATIVE_INFINITY;

  let started = false;
  let heardMonotonicMs = clock.monotonicMs();
  let heardWallMs = clock.wallMs();
  let silenceTimer: Timer | undefined;
  let silent = false;

  // ---- history and place

  function dropEveryLease(reason: string): void {
    leaseDrops++;
    options.log.warn({ reason, log: history, seq: applied, newest }, "every lease is dropped");
    control.dropAll(reason);
  }

  /** Where counting starts: everything before it is in the past of every lease that will be admitted. */
  function takePlace(eventLog: string, seq: number): void {
    history = eventLog;
    applied = seq;
    newest = seq;
    hinted = 0;
    floor = seq;
    ahead.clear();
    retired.delete(eventLog);
    options.log.info({ log: eventLog, seq }, "the edge has its place in the event log");
  }

  /** core-protocol.md: a log that changes, or a number that goes back, is another history. */
  function startHistory(eventLog: string, seq: number, reason: string): void {
    if (history !== undefined) {
      if (history !== eventLog) retired.add(history);
      for (const oldest of retired) {
        if (retired.size <= RETIRED_LOGS_MAX) break;
        retired.delete(oldest);
      }
      blocks.rebase();
      for (const link of links) link.highWater = 0;
      dropEveryLease(reason);
    }
    takePlace(eventLog, seq);
  }

  // ---- events

  /** Judges one event. `direct`: straight from the Core, in its order; else signed, by any road. */
  function accept(link: Link, event: RevocationEvent, direct: boolean): void {
    const isKnownLog = event.log === history;
    if (history === undefined) {
      // An old signed event is no place to start: it may come from a log that was left long ago.
      if (!direct && !isFresh(event)) {
        drop(link, "no_place");
        return;
      }
      takePlace(event.log, isCounted(event) ? event.seq - 1 : event.seq);
    } else if (!isKnownLog) {
      if (!direct) {
        probe();
        drop(link, "other_log");
        return;
      }
      startHistory(event.log, isCounted(event) ? event.seq - 1 : event.seq, "the event log has changed");
    }
    if (!direct && event.type === "reset") {
      drop(link, "not_an_event");
      return;
    }
    hear(link, event, direct);
    if (event.type === "reset") reset(link, event.seq, isKnownLog);
    else if (event.type === "heartbeat") heartbeat(link, event, direct);
    else count(link, event, direct);
  }

  function reset(link: Link, seq: number, isKnownLog: boolean): void {
    link.highWater = seq;
    // In a new log the place has just been taken.
    if (!isKnownLog) return;
    if (seq < applied) {
      startHistory(history!, seq, "the event log has gone back");
      return;
    }
    blocks.makeStale(Number.POSITIVE_INFINITY);
    dropEveryLease("the place in the event log is out of the Core's retention");
    takePlace(history!, seq);
  }

  function heartbeat(link: Link, event: RevocationEvent, direct: boolean): void {
    if (direct && event.seq < link.highWater) {
      startHistory(event.log, event.seq, "the event log has gone back");
    }
    if (direct) link.highWater = event.seq;
    if (event.seq > newest) newest = event.seq;
    if (event.seq > applied) hole(link);
    // Once may be a heartbeat that was overtaken; twice, the Core may have gone back.
    if (event.seq >= applied) link.behind = 0;
    else if ((direct || isFresh(event)) && ++link.behind >= 2) probe();
  }

  function count(link: Link, event: Exclude<RevocationEvent, { type: "heartbeat" | "reset" }>, direct: boolean): void {
    const { seq } = event;
    if (direct && seq > link.highWater) link.highWater = seq;
    if (seq <= applied || ahead.has(seq)) {
      link.duplicates++;
      return;
    }
    link.events++;
    if (seq > newest) newest = seq;
    if (event.type === "revoke") {
      // The gate first, then the keys: nothing can slip in between.
      blocks.revoke(event, seq, event.state === "destroyed");
      const wiped = control.revoke(event);
      const { tenant, service, version, state } = event;
      options.log.info(
        { transport: link.name, log: event.log, seq, tenant, service, version, state, wiped },
        "a revocation was applied",
      );
    }
    if (event.type === "rotate") {
      control.forget({ tenant: event.tenant, service: event.service });
      control.renew(event.tenant, event.service);
    }
    if (seq !== applied + 1) {
      if (ahead.size < limits.maxAhead) ahead.set(seq, event.type === "restore" ? event : undefined);
      if (event.type !== "restore") options.onApplied?.(event, link.name);
      hole(link);
      return;
    }
    applied = seq;
    if (event.type === "restore") restore(event, link);
    else options.onApplied?.(event, link.name);
    closeUp(link);
  }

  /** Goes on over what came early. */
  function closeUp(link: Link): void {
    while (ahead.size > 0 && ahead.has(applied + 1)) {
      applied++;
      const waiting = ahead.get(applied);
      ahead.delete(applied);
      if (waiting !== undefined) restore(waiting, link);
    }
  }

  function restore(event: RestoreEvent, link: Link): void {
    blocks.restore(event, event.seq);
    control.forget(event);
    const { tenant, service, version } = event;
    options.log.info(
      { transport: link.name, log: event.log, seq: event.seq, tenant, service, version },
      "a block was lifted",
    );
    options.onApplied?.(event, link.name);
  }

  /**
   * Whether a signed event says that it is one which has been applied: then it can change nothing, true or forged, and is not
   * verified. But for one now and then, so that a forger who names old events shows.
   */
  function isAppliedCopy(link: Link, jws: string): boolean {
    const claim = claimOf(jws);
    if (claim === undefined || claim.log !== history || (claim.seq > applied && !ahead.has(claim.seq))) return false;
    const nowMs = clock.monotonicMs();
    if (nowMs - link.copyVerifiedMs < COPY_VERIFIED_EVERY_MS) return true;
    link.copyVerifiedMs = nowMs;
    return false;
  }

  function drop(link: Link, reason: DropReason, detail?: string): void {
    link.drops[reason] = (link.drops[reason] ?? 0) + 1;
    log.warn(`${link.name} ${reason}`, { transport: link.name, reason, detail }, "a revocation event was dropped");
  }

  // ---- holes

  /** An event is missing: another transport may be about to bring it, so a moment is left. */
  function hole(link: Link): void {
    if (filling || (fillTimer !== undefined && !isHintPending)) return;
    link.gaps++;
    log.warn(
      `${link.name} gap`,
      { transport: link.name, after: applied, newest, lagMs: link.lagMs },
      "revocation events are missing: the Core is asked for them",
    );
    scheduleFill(limits.holeGraceMs);
  }

  function scheduleFill(delayMs: number, isHint = false): void {
    if (closing.signal.aborted) return;
    isHintPending = isHint;
    fillTimer?.cancel();
    fillTimer = clock.schedule(delayMs, () => {
      fillTimer = undefined;
      void fill(false);
    });
  }

  /** Asks the Core for what is missing. With `probing` also when nothing is: the Core's answer says which log it is in. */
  async function fill(probing: boolean): Promise<void> {
    if (filling || closing.signal.aborted) return;
    if (!probing && applied >= Math.max(newest, hinted)) return;
    filling = true;
    const link = newLink("core (missing events)");
    const eventLog = history;
    let failure: string | undefined = "there is no Core to ask";
    let toldUpTo = -1;
    if (core !== undefined) {
      try {
        link.highWater = applied;
        await catchUp({
          core,
          lastEventId: place(),
          deliver: (event) => guarded(link, () => accept(link, event, true)),
          isLast(event) {
            if (event.type === "heartbeat") toldUpTo = event.seq;
            if (probing) return !isCounted(event);
            return applied >= Math.max(newest, hinted) || toldUpTo >= newest;
          },
          clock,
          timeoutMs: limits.fillTimeoutMs,
          signal: closing.signal,
        });
        failure = undefined;
      } catch (error) {
        failure = messageOf(error);
      }
    }
    filling = false;
    if (closing.signal.aborted || history !== eventLog) return;
    if (applied < newest) {
      if (failure !== undefined) giveUp(failure, link);
      else if (toldUpTo >= newest) giveUp("the Core does not have them", link);
      // A newer event came in between.
      else scheduleFill(limits.holeGraceMs);
    }
    if (applied < hinted) hinted = 0;
    closeUp(link);
  }

  function giveUp(reason: string, link: Link): void {
    dropEveryLease(`events ${applied + 1} to ${newest} are missing: ${reason}`);
    let lastLost = newest;
    while (ahead.has(lastLost)) lastLost--;
    const waiting = [...ahead].sort(([a], [b]) => a - b);
    ahead.clear();
    applied = newest;
    floor = Math.max(floor, newest);
    // A `restore` among the lost ones may have lifted a block: the Core's next answer decides.
    blocks.makeStale(lastLost);
    for (const [, event] of waiting) if (event !== undefined) restore(event, link);
  }

  /** Asks the Core where the log is, when something hints that it has changed; seldom. */
  function probe(): void {
    if (core === undefined || filling || clock.monotonicMs() - lastProbeMs < limits.probeIntervalMs) return;
    lastProbeMs = clock.monotonicMs();
    void fill(true);
  }

  function place(): string | undefined {
    return history === undefined ? undefined : `${history}:${applied}`;
  }

  // ---- silence

  function isFresh(event: RevocationEvent): boolean {
    return Math.abs(clock.wallMs() - Date.parse(event.at)) <= limits.freshMs;
  }

  function hear(link: Link, event: RevocationEvent, direct: boolean): void {
    const isNew = event.type === "heartbeat" || event.type === "reset" || event.seq > applied;
    if (isNew && event.seq >= newest) link.lagMs = Math.max(0, clock.wallMs() - Date.parse(event.at));
    // What a third party repeats or held back for long proves nothing about now.
    if (!direct && !(isNew && isFresh(event))) return;
    link.lastHeardMs = clock.monotonicMs();
    heardMonotonicMs = link.lastHeardMs;
    heardWallMs = clock.wallMs();
    if (silent) {
      silent = false;
      options.log.info({ transport: link.name }, "a revocation transport is heard again");
      watchSilence();
    }
  }

  /** On two clocks, like a lease: a machine that slept has heard nothing meanwhile. */
  function silentMs(): number {
    return Math.max(clock.monotonicMs() - heardMonotonicMs, clock.wallMs() - heardWallMs, 0);
  }

  function watchSilence(): void {
    silenceTimer?.cancel();
    if (!started || links.length === 0 || closing.signal.aborted) return;
    const leftMs = maxSilenceMs - silentMs();
    silenceTimer = clock.schedule(leftMs > 0 ? leftMs : maxSilenceMs, () => {
      if (silentMs() >= maxSilenceMs) {
        if (!silent) {
          silent = true;
          options.log.warn(
            { silentMs: Math.round(silentMs()), onSilence },
            "no revocation transport is heard: a revocation may come late",
          );
        }
        if (onSilence === "renew_early") control.renewAll();
      }
      watchSilence();
    });
  }

  // ---- transports

  function newLink(name: string): Link {
    return {
      name,
      connected: false,
      reason: "not connected yet",
      lastHeardMs: undefined,
      lagMs: undefined,
      events: 0,
      duplicates: 0,
      gaps: 0,
      disconnections: 0,
      drops: {},
      highWater: 0,
      resumedAt: 0,
      behind: 0,
      verifying: 0,
      copyVerifiedMs: Number.NEGATIVE_INFINITY,
    };
  }

  /** A defect here must not leave a key in use: everything goes. */
  function guarded(link: Link, run: () => void): void {
    try {
      run();
    } catch (error) {
      options.log.error({ transport: link.name, error: messageOf(error) }, "a revocation event could not be applied");
      try {
        dropEveryLease("a revocation event could not be applied");
      } catch {
        // The cache itself is broken; its deadlines are left.
      }
    }
  }

  return {
    attach(leaseControl) {
      control = leaseControl;
    },

    sink(transport) {
      const link = newLink(transport);
      links.push(link);
      return {
        deliver(event) {
          if (closing.signal.aborted) return;
          guarded(link, () => accept(link, event, true));
        },

        async deliverSigned(jws) {
          if (closing.signal.aborted) return;
          if (verifier === undefined) {
            drop(link, "no_key", "no key set to verify it with is configured");
            return;
          }
          if (isAppliedCopy(link, jws)) {
            link.duplicates++;
            return;
          }
          if (link.verifying >= VERIFYING_MAX) {
            drop(link, "too_many");
            return;
          }
          let event: RevocationEvent;
          link.verifying++;
          try {
            event = await verifier.verify(jws);
          } catch (error) {
            if (error instanceof DroppedEvent) drop(link, error.reason, error.message);
            else drop(link, "malformed", messageOf(error));
            return;
          } finally {
            link.verifying--;
          }
          if (closing.signal.aborted) return;
          guarded(link, () => accept(link, event, false));
        },

        connected() {
          if (!link.connected) options.log.info({ transport: link.name }, "a revocation transport is connected");
          link.connected = true;
          link.reason = undefined;
          link.highWater = link.resumedAt;
        },

        disconnected(reason) {
          if (link.connected) link.disconnections++;
          link.connected = false;
          link.reason = reason;
          log.warn(`${link.name} disconnected`, { transport: link.name, reason }, "a revocation transport is down");
        },

        resumeAfter() {
          link.resumedAt = applied;
          return place();
        },
      };
    },

    start() {
      if (onSilence === "fail_closed" && links.length === 0) {
        throw new Error("revocation.on_silence is fail_closed, so revocation.transports must name at least one");
      }
      started = true;
      heardMonotonicMs = clock.monotonicMs();
      heardWallMs = clock.wallMs();
      watchSilence();
    },

    isBlocked: (tenant, service, version) => blocks.isBlocked(tenant, service, version),

    admits({ tenant, service, log: eventLog, revocationSeq }) {
      if (eventLog === undefined) {
        // Of a source that knows no revocations: refused where a block may have been forgotten, since nothing else tells.
        return !blocks.overflowed && !blocks.mayBeBlocked(tenant, service);
      }
      if (history === undefined) takePlace(eventLog, revocationSeq);
      else if (eventLog !== history) {
        if (retired.has(eventLog) && core !== undefined) {
          // A late answer, or the Core has gone back to that log: it says which.
          probe();
          return false;
        }
        startHistory(eventLog, revocationSeq, "a lease came from another event log");
      }
      if (revocationSeq < floor || revocationSeq < blocks.barrier(tenant, service)) return false;
      if (revocationSeq > Math.max(newest, hinted)) {
        hinted = revocationSeq;
        if (core !== undefined && !filling && fillTimer === undefined) scheduleFill(limits.leaseHintGraceMs, true);
      }
      return true;
    },

    isOpen: () => onSilence === "renew_early" || silentMs() < maxSilenceMs,

    status() {
      const nowMs = clock.monotonicMs();
      return {
        log: history,
        seq: applied,
        newestSeq: Math.max(newest, applied),
        blocked: blocks.size,
        leaseDrops,
        silentMs: silentMs(),
        silent: links.length > 0 && silentMs() >= maxSilenceMs,
        transports: links.map((link) => ({
          name: link.name,
          connected: link.connected,
          reason: link.reason,
          lastHeardMs: link.lastHeardMs === undefined ? undefined : nowMs - link.lastHeardMs,
          lagMs: link.lagMs,
          events: link.events,
          duplicates: link.duplicates,
          gaps: link.gaps,
          disconnections: link.disconnections,
          drops: { ...link.drops },
        })),
      };
    },

    close() {
      closing.abort();
      fillTimer?.cancel();
      silenceTimer?.cancel();
    },
  };
}

/** Before a cache is attached. */
const NOTHING_HELD: LeaseControl = {
  revoke: () => 0,
  forget: () => {},
  dropAll: () => {},
  renew: () => {},
  renewAll: () => {},
  lowestRevocationSeq: () => undefined,
};

/** Whether the event has a sequence number of its own; a heartbeat and a reset repeat the newest. */
function isCounted(event: RevocationEvent): boolean {
  return event.type !== "heartbeat" && event.type !== "reset";
}
