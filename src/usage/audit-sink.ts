/** Where audit events go besides the Core: the port of what plugins bring (a SIEM, a queue, a ledger). */
import type { Operation } from "../access/access-policy.ts";
import type { Principal } from "../access/principal.ts";
import type { Health } from "../health.ts";
import type { Outcome } from "./usage-recorder.ts";

export interface AuditSink {
  /** What status and metrics call it. */
  readonly name: string;

  /** Connects, if there is anything to connect. Called once; a rejection stops the edge's start. */
  start?(): Promise<void>;

  /**
   * Takes a batch in the order of the events, and resolves once they are safe with the receiver. A rejection means "not
   * taken": the same batch comes again later, so the receiver must bear an event twice. Never called again before the
   * promise has settled; once `signal` aborts it must settle soon. The events are the edge's: read them, don't keep them.
   */
  write(events: readonly AuditEvent[], signal: AbortSignal): Promise<void>;

  health?(): Health;

  /** Lets go of connections and secrets. May be called twice. */
  close(): Promise<void>;
}

/** One operation, as the audit tells it (design.md, "Usage and audit"). */
export interface AuditEvent {
  /** UTC, ISO 8601 with milliseconds. */
  readonly time: string;
  readonly principal: string;
  readonly principalKind: Principal["kind"];
  /** The peer's address; undefined on a Unix socket. */
  readonly peer?: string | undefined;
  readonly tenant: string;
  readonly service: string;
  /** 0 where none was reached. */
  readonly version: number;
  readonly operation: Operation;
  readonly outcome: Outcome;
  /** How many keys; more than 1 for a batch under one key. */
  readonly count: number;
  readonly requestId?: string | undefined;
}
