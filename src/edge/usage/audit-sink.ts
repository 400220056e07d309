/** Where audit events go besides the Core: the port of what plugins bring (a SIEM, a queue, a ledger). */

import type { Health } from "../../base/health.ts";
import type { Principal } from "../access/principal.ts";

/** A receiver of audit events, such as a log service. The edge holds what is not taken yet, within its bound. */
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

/** One thing that happened, as the audit tells it (design.md, "Usage and audit"). */
export interface AuditEvent {
  /** `operation`: a caller's; `lease`, `revocation`: the edge's own; `administration`: start, stop, reload. */
  readonly type: "operation" | "lease" | "revocation" | "administration";
  /** UTC, ISO 8601 with milliseconds. */
  readonly time: string;
  /** The caller; the edge's own id, for what the edge did by itself. */
  readonly principal: string;
  readonly principalKind: Principal["kind"] | "edge";
  /** The peer's address; undefined on a Unix socket. */
  readonly peer?: string | undefined;
  /** The front door of an operation: `native`, `aws-kms` … */
  readonly door?: string | undefined;
  /** Undefined, like `service`, for what concerns the whole edge. */
  readonly tenant?: string | undefined;
  readonly service?: string | undefined;
  /** 0 where none was reached. */
  readonly version: number;
  /** Of `type` `operation`: an operation of the policies, or `describe`. */
  readonly operation: string;
  /** `ok`, or the code of the error. */
  readonly outcome: string;
  /** The message of the error. */
  readonly reason?: string | undefined;
  /** How many keys; more than 1 for a batch under one key. */
  readonly count: number;
  readonly requestId?: string | undefined;
}

/** As it is sent and written: one JSON object, what is undefined left out. `count` would make it a usage count. */
export function auditRecord(event: AuditEvent): object {
  const { type, time, principal, principalKind, peer, door, tenant, service, version, operation, outcome } = event;
  return {
    type,
    time,
    principal,
    principal_kind: principalKind,
    peer,
    door,
    tenant,
    service,
    version: version === 0 ? undefined : version,
    operation,
    outcome,
    reason: event.reason,
    request_id: event.requestId,
    keys: event.count === 1 ? undefined : event.count,
  };
}

const LONGEST_TEXT = 300;

/** What a caller says has no length that the audit must follow. */
export function bounded(text: string): string {
  return text.length <= LONGEST_TEXT ? text : `${text.slice(0, LONGEST_TEXT)}…`;
}
