/** The usage recorder of the edge: counts and audit events, to the Core and to the audit log. */
import type { Clock } from "../../base/time/clock.ts";
import type { Caller, ServiceKeyName } from "../operations/operations.ts";
import type { Outcome, RecordedKind, Recorder } from "../operations/recorder.ts";
import type { AuditLog, AuditLogStatus } from "./audit-log.ts";
import { type AuditEvent, bounded } from "./audit-sink.ts";
import type { SinkSender, SinkStatus } from "./sink-sender.ts";
import type { UsageCounters } from "./usage-counters.ts";
import type { UsageShipper, UsageShipperStatus } from "./usage-shipper.ts";

/** Which operations are audited one by one. What the edge does itself (leases, revocations, start and stop) always is. */
export type AuditedOperations = "failures" | "all" | "none";

export interface UsageParts {
  readonly clock: Clock;
  readonly edgeId: string;
  readonly audited: AuditedOperations;
  readonly counters: UsageCounters;
  /** Without a Core nothing is shipped. */
  readonly shipper?: UsageShipper | undefined;
  /** Where audit lines are chained, for the Core, a file and standard output; without any of them, undefined. */
  readonly auditLog?: AuditLog | undefined;
  /** What plugins bring. */
  readonly sinks?: readonly SinkSender[];
}

/** Something that the edge itself did, or that was done to it. */
export interface OwnEvent {
  readonly operation: string;
  readonly outcome: string;
  readonly tenant?: string | undefined;
  readonly service?: string | undefined;
  readonly version?: number | undefined;
  readonly reason?: string | undefined;
}

export interface UsageStatus {
  readonly rows: number;
  readonly mergedRows: number;
  readonly core: UsageShipperStatus | undefined;
  readonly audit: AuditLogStatus | undefined;
  readonly sinks: readonly SinkStatus[];
}

export class Usage implements Pick<Recorder, "record"> {
  readonly #parts: UsageParts;
  readonly #auditsSuccess: boolean;
  readonly #auditsFailure: boolean;
  /** No one takes the counts: then none are kept. */
  readonly #counts: boolean;

  constructor(parts: UsageParts) {
    this.#parts = parts;
    const audits = parts.auditLog !== undefined || (parts.sinks ?? []).length > 0;
    this.#auditsSuccess = audits && parts.audited === "all";
    this.#auditsFailure = audits && parts.audited !== "none";
    this.#counts = parts.shipper !== undefined;
  }

  record(
    { operation }: RecordedKind,
    { principal, door, requestId }: Caller,
    { tenant, service }: ServiceKeyName,
    version: number,
    count: number,
    outcome: Outcome,
    reason?: string,
  ): void {
    // Who looks at a service key uses none.
    if (this.#counts && operation !== "describe") {
      this.#parts.counters.add(principal, operation, outcome, tenant, service, version, count);
    }
    if (outcome === "ok" ? !this.#auditsSuccess : !this.#auditsFailure) return;
    this.#append({
      type: "operation",
      time: new Date(this.#parts.clock.wallMs()).toISOString(),
      principal: bounded(principal.name),
      principalKind: principal.kind,
      peer: principal.peer,
      door,
      tenant: bounded(tenant),
      service: bounded(service),
      version,
      operation,
      outcome,
      reason: reason === undefined ? undefined : bounded(reason),
      count,
      requestId: requestId === undefined ? undefined : bounded(String(requestId)),
    });
  }

  /** Audits what the edge did: a lease taken or refused, a revocation applied, a reload. */
  audit(type: Exclude<AuditEvent["type"], "operation">, event: OwnEvent): void {
    const { clock, edgeId } = this.#parts;
    const { tenant, service, version, operation, outcome, reason } = event;
    this.#append({
      type,
      time: new Date(clock.wallMs()).toISOString(),
      principal: edgeId,
      principalKind: "edge",
      tenant,
      service,
      version: version ?? 0,
      operation,
      outcome,
      reason: reason === undefined ? undefined : bounded(reason),
      count: 1,
    });
  }

  status(): UsageStatus {
    const { counters, shipper, auditLog } = this.#parts;
    return {
      rows: counters.rows,
      mergedRows: counters.mergedRows,
      core: shipper?.status(),
      audit: auditLog?.status(),
      sinks: (this.#parts.sinks ?? []).map((sink) => sink.status()),
    };
  }

  /** Sends and writes what there is. Called once no request can come any more. May be called twice. */
  async close(timeoutMs: number): Promise<void> {
    // Its last line goes to the Core too.
    this.#parts.auditLog?.close();
    const senders = [this.#parts.shipper, ...(this.#parts.sinks ?? [])];
    await Promise.all(senders.map((sender) => sender?.close(timeoutMs)));
  }

  #append(event: AuditEvent): void {
    this.#parts.auditLog?.append(event);
    for (const sink of this.#parts.sinks ?? []) sink.append(event);
  }
}
