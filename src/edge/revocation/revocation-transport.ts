/**
 * What cuts leases short: the port of the revocation transports. Several run at once; each feeds the same guard, which puts
 * events in order and drops duplicates. Built in: the Core's event stream. Plugins bring message brokers.
 */

import type { RevocationScope } from "../cache/lease-cache.ts";
import type { AuthorityOrder, AuthorityOutcome } from "./authority-blocks.ts";
import type { DropReason } from "./dropped-event.ts";

/** A way on which the Core's signed events come to an edge: a broker's subscription, for example. The edge verifies each event itself. */
export interface RevocationTransport {
  /** What status, metrics and configuration call it. */
  readonly name: string;

  /**
   * Connects, and from then on delivers to `sink` until `close`; reconnects by itself, with jittered backoff. Resolves
   * once the first attempt has been started, not when it has succeeded: a broker that is down does not stop the start.
   *
   * @throws for a configuration that can never work.
   */
  start(sink: RevocationSink): Promise<void>;

  /** Stops for good. No delivery after it has resolved. May be called twice. */
  close(): Promise<void>;
}

/** The guard, as a transport sees it. Calls are synchronous, cheap, and never throw. */
export interface RevocationSink {
  /**
   * An event that came straight from the Core over mTLS, in the Core's order. A `revoke` is applied (keys wiped) when the
   * call returns; a `restore` waits while earlier events are missing.
   */
  deliver(event: RevocationEvent): void;

  /**
   * An event that came through a third party: a JWS compact serialization made by the Core. Verified first, so applied
   * a little later: the promise resolves, never rejects, once it has been applied or dropped; acknowledge to the broker then.
   */
  deliverSigned(jws: string): Promise<void>;

  /**
   * As `deliverSigned`, for a transport that owes its peer an answer: the event is verified even where it claims to be one that
   * was applied before, and the promise tells what has become of it.
   */
  confirmSigned(jws: string): Promise<Delivery>;

  /**
   * An order of an authority other than the Core, which has no place in the Core's log. The transport has verified that the
   * issuer gave it, and may give it for the scope. A `revoke` is applied (keys wiped) when the call returns.
   */
  applyAuthority(order: AuthorityOrder): AuthorityOutcome;

  /** The transport's connection came up. */
  connected(): void;

  /** The transport's connection went, with a reason for the log. */
  disconnected(reason: string): void;

  /** Where a stream resumes: `<log>:<seq>` of the newest event applied with no hole before it; undefined at first. */
  resumeAfter(): string | undefined;
}

/** What has become of an event. */
export type Delivery =
  /** It is in force, now or since before: for a `revoke`, the keys are wiped. */
  | { readonly state: "applied" }
  /** A `restore` whose turn has not come: earlier events are missing, and asked for. */
  | { readonly state: "waiting" }
  | { readonly state: "dropped"; readonly reason: DropReason; readonly detail: string };

/** core-protocol.md, "Revocations". `at` is UTC, ISO 8601. `seq` is a safe integer from 1. */
export type RevocationEvent = RevokeEvent | RotateEvent | RestoreEvent | HeartbeatEvent | ResetEvent;

interface EventBase {
  /** The event log that `seq` counts in. */
  readonly log: string;
  readonly seq: number;
  readonly at: string;
}

/** All that the scope names is refused from now on: `compromised` can be restored, `destroyed` never. */
export interface RevokeEvent extends EventBase, RevocationScope {
  readonly type: "revoke";
  readonly state: "compromised" | "destroyed";
  readonly reason: string;
}

/** New data keys are wrapped by another version from now on; the old one still opens. */
export interface RotateEvent extends EventBase {
  readonly type: "rotate";
  readonly tenant: string;
  readonly service: string;
  /** The new active version. */
  readonly version: number;
}

/** A revocation of the same scope is lifted. */
export interface RestoreEvent extends EventBase, RevocationScope {
  readonly type: "restore";
}

/** `seq` is the newest of the log: it shows a gap, and fills none. */
export interface HeartbeatEvent extends EventBase {
  readonly type: "heartbeat";
}

/** The place asked for is out of retention: drop every lease, go on from `seq`. */
export interface ResetEvent extends EventBase {
  readonly type: "reset";
  readonly reason: string;
}
