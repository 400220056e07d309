/** What the audit says of one thing that happened (design.md, "Usage and audit"). */
import type { Principal } from "../access/principal.ts";

/** `operation`: a caller's; `lease`, `revocation`: the edge's own; `administration`: start, stop, reload. */
export type AuditKind = "operation" | "lease" | "revocation" | "administration";

/** As it travels and is written; the order of the fields is that of the line. */
export interface AuditEvent {
  readonly type: AuditKind;
  /** UTC, ISO 8601. */
  readonly time: string;
  /** The caller; the edge's own id, for what the edge did by itself. */
  readonly principal: string;
  readonly principal_kind: Principal["kind"] | "edge";
  readonly peer?: string;
  readonly tenant?: string;
  readonly service?: string;
  readonly version?: number;
  readonly operation: string;
  readonly outcome: string;
  readonly reason?: string;
  readonly request_id?: string;
  /** Of a batch under one key: how many. */
  readonly count?: number;
}

const LONGEST_TEXT = 300;

/** What a caller says has no length that the audit must follow. */
export function bounded(text: string): string {
  return text.length <= LONGEST_TEXT ? text : `${text.slice(0, LONGEST_TEXT)}…`;
}
