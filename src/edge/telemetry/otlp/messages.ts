/** The messages of OTLP as JSON has them (opentelemetry-proto, "JSON Protobuf Encoding"): ids in hex, 64-bit numbers as strings. */
import { VERSION } from "../../../base/version.ts";
import { type AuditEvent, auditRecord } from "../../usage/audit-sink.ts";

export type AttributeValue = string | number | boolean | undefined;
export type Attributes = Readonly<Record<string, AttributeValue>>;

/** A span that has ended. */
export interface Span {
  /** 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits. */
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly name: string;
  readonly kind: "internal" | "client" | "consumer";
  /** Milliseconds since 1970, with a fraction. */
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Attributes;
  /** The code of the error that it ended with. */
  readonly error: string | undefined;
}

const KINDS = { internal: 1, client: 3, consumer: 5 } as const;
const STATUS_ERROR = 2;
const [SEVERITY_INFO, SEVERITY_WARN] = [9, 13];
const SCOPE = { name: "crypto-edge", version: VERSION };

export function tracesMessage(resource: Attributes, spans: readonly Span[]): object {
  const scopeSpans = [{ scope: SCOPE, spans: spans.map(spanMessage) }];
  return { resourceSpans: [{ resource: { attributes: attributesMessage(resource) }, scopeSpans }] };
}

export function logsMessage(resource: Attributes, events: readonly AuditEvent[], nowMs: number): object {
  const scopeLogs = [{ scope: SCOPE, logRecords: events.map((event) => logMessage(event, nowMs)) }];
  return { resourceLogs: [{ resource: { attributes: attributesMessage(resource) }, scopeLogs }] };
}

function spanMessage({ traceId, spanId, parentSpanId, name, kind, startMs, endMs, attributes, error }: Span): object {
  return {
    traceId,
    spanId,
    ...(parentSpanId === undefined ? undefined : { parentSpanId }),
    name,
    kind: KINDS[kind],
    startTimeUnixNano: nanoseconds(startMs),
    endTimeUnixNano: nanoseconds(Math.max(startMs, endMs)),
    attributes: attributesMessage(attributes),
    ...(error === undefined ? undefined : { status: { code: STATUS_ERROR, message: error } }),
  };
}

/** The audit line is the body, as it stands in the other places of the audit. */
function logMessage(event: AuditEvent, nowMs: number): object {
  const went = event.outcome === "ok";
  return {
    timeUnixNano: nanoseconds(Date.parse(event.time)),
    observedTimeUnixNano: nanoseconds(nowMs),
    severityNumber: went ? SEVERITY_INFO : SEVERITY_WARN,
    severityText: went ? "INFO" : "WARN",
    body: { stringValue: JSON.stringify(auditRecord(event)) },
    attributes: attributesMessage({
      "crypto_edge.audit.type": event.type,
      "crypto_edge.audit.operation": event.operation,
      "crypto_edge.audit.outcome": event.outcome,
    }),
  };
}

function attributesMessage(attributes: Attributes): object[] {
  return Object.entries(attributes).flatMap(([key, value]) =>
    value === undefined ? [] : [{ key, value: valueMessage(value) }],
  );
}

function valueMessage(value: string | number | boolean): object {
  if (typeof value === "string") return { stringValue: value };
  return typeof value === "number" ? { intValue: String(value) } : { boolValue: value };
}

/** A double has no room for nanoseconds since 1970: whole milliseconds and the fraction apart. */
function nanoseconds(ms: number): string {
  const whole = Math.floor(ms);
  return String(BigInt(whole) * 1_000_000n + BigInt(Math.round((ms - whole) * 1e6)));
}
