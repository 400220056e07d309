/** A receiver of OTLP/HTTP with JSON, which takes nothing that the specification would not have. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";

export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly name: string;
  readonly kind: number;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly error: string | undefined;
}

export interface ReceivedLog {
  readonly body: Readonly<Record<string, unknown>>;
  readonly severity: string;
  readonly attributes: Readonly<Record<string, unknown>>;
}

export interface OtlpReceiver {
  readonly url: string;
  readonly port: number;
  readonly spans: ReceivedSpan[];
  readonly logs: ReceivedLog[];
  readonly resources: Record<string, unknown>[];
  /** Whole requests as they came. */
  readonly requests: { readonly path: string; readonly headers: IncomingMessage["headers"]; readonly text: string }[];
  /** What was wrong with them. */
  readonly faults: string[];
  /** What is answered in the place of 200; true: it was. */
  answer: ((path: string, response: ServerResponse) => boolean) | undefined;
  close(): Promise<void>;
}

/** `tls`: over HTTPS, as node:https takes it. */
export async function startOtlpReceiver(port = 0, tls?: ServerOptions): Promise<OtlpReceiver> {
  const receiver = { spans: [], logs: [], resources: [], requests: [], faults: [], answer: undefined } as unknown as {
    -readonly [Key in keyof OtlpReceiver]: OtlpReceiver[Key];
  };
  const take = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const path = request.url ?? "";
    const text = Buffer.concat(chunks).toString();
    receiver.requests.push({ path, headers: request.headers, text });
    if (receiver.answer?.(path, response)) return;
    try {
      if (request.method !== "POST" || request.headers["content-type"] !== "application/json") {
        throw new Error(`${request.method} of ${request.headers["content-type"]}`);
      }
      readMessage(receiver, path, JSON.parse(text));
      response.writeHead(200, { "Content-Type": "application/json" }).end("{}");
    } catch (error) {
      receiver.faults.push(String(error));
      response.writeHead(400).end();
    }
  };
  const server = tls === undefined ? createServer(take) : createTlsServer(tls, take);
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  receiver.port = (server.address() as AddressInfo).port;
  receiver.url = `${tls === undefined ? "http" : "https"}://127.0.0.1:${receiver.port}`;
  receiver.close = () =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return receiver;
}

type Fields = Readonly<Record<string, unknown>>;

function readMessage(receiver: OtlpReceiver, path: string, message: unknown): void {
  if (path === "/v1/traces") {
    for (const { resource, scopeSpans } of list(exactly(message, ["resourceSpans"]).resourceSpans)) {
      receiver.resources.push(attributes(exactly(resource, ["attributes"]).attributes));
      for (const one of list(scopeSpans)) {
        exactly(exactly(one, ["scope", "spans"]).scope, ["name", "version"]);
        receiver.spans.push(...list(one.spans).map(readSpan));
      }
    }
  } else if (path === "/v1/logs") {
    for (const { resource, scopeLogs } of list(exactly(message, ["resourceLogs"]).resourceLogs)) {
      receiver.resources.push(attributes(exactly(resource, ["attributes"]).attributes));
      for (const one of list(scopeLogs)) {
        exactly(exactly(one, ["scope", "logRecords"]).scope, ["name", "version"]);
        receiver.logs.push(...list(one.logRecords).map(readLog));
      }
    }
  } else throw new Error(`nothing is at ${path}`);
}

function readSpan(span: Fields): ReceivedSpan {
  const always = ["traceId", "spanId", "name", "kind", "startTimeUnixNano", "endTimeUnixNano", "attributes"];
  exactly(span, always, ["parentSpanId", "status"]);
  const status = span.status === undefined ? undefined : exactly(span.status, ["code", "message"]);
  if (status !== undefined && status.code !== 2) throw new Error("a status without an error");
  const [startNs, endNs] = [nanoseconds(span.startTimeUnixNano), nanoseconds(span.endTimeUnixNano)];
  if (endNs < startNs) throw new Error("a span ends before it begins");
  if (![1, 3, 5].includes(span.kind as number)) throw new Error(`the kind ${span.kind}`);
  return {
    traceId: text(span.traceId, /^(?!0{32})[0-9a-f]{32}$/),
    spanId: text(span.spanId, /^(?!0{16})[0-9a-f]{16}$/),
    parentSpanId: span.parentSpanId === undefined ? undefined : text(span.parentSpanId, /^(?!0{16})[0-9a-f]{16}$/),
    name: text(span.name, /^[a-z.]+$/),
    kind: span.kind as number,
    startNs,
    endNs,
    attributes: attributes(span.attributes),
    error: status && text(status.message, /^[a-z_]+$/),
  };
}

function readLog(record: Fields): ReceivedLog {
  exactly(record, ["timeUnixNano", "observedTimeUnixNano", "severityNumber", "severityText", "body", "attributes"]);
  nanoseconds(record.timeUnixNano);
  nanoseconds(record.observedTimeUnixNano);
  const severity = text(record.severityText, /^(INFO|WARN)$/);
  if (record.severityNumber !== (severity === "INFO" ? 9 : 13)) throw new Error("a severity of two minds");
  const body = JSON.parse(text(exactly(record.body, ["stringValue"]).stringValue, /^\{.*\}$/s)) as Fields;
  return { body, severity, attributes: attributes(record.attributes) };
}

function attributes(value: unknown): Record<string, unknown> {
  return Object.fromEntries(
    list(value).map((attribute) => {
      const { key, value: any } = exactly(attribute, ["key", "value"]);
      const entries = Object.entries(any as object);
      const [kind, inner] = entries[0] ?? [];
      const right =
        (kind === "stringValue" && typeof inner === "string") ||
        (kind === "intValue" && typeof inner === "string" && /^-?\d+$/.test(inner)) ||
        (kind === "boolValue" && typeof inner === "boolean");
      if (entries.length !== 1 || !right) throw new Error(`the attribute ${String(key)}`);
      return [text(key, /^[a-z][a-z0-9_.]*$/), kind === "intValue" ? Number(inner) : inner];
    }),
  );
}

function exactly(value: unknown, always: readonly string[], perhaps: readonly string[] = []): Fields {
  const keys = Object.keys(value as object);
  const wrong = [
    ...always.filter((key) => !keys.includes(key)),
    ...keys.filter((key) => !always.includes(key) && !perhaps.includes(key)),
  ];
  if (wrong.length > 0) throw new Error(`fields missing or unknown: ${wrong.join(", ")}`);
  return value as Fields;
}

function list(value: unknown): Fields[] {
  if (!Array.isArray(value) || value.length === 0) throw new Error("an empty list, or none");
  return value as Fields[];
}

function text(value: unknown, pattern: RegExp): string {
  if (typeof value !== "string" || !pattern.test(value)) throw new Error(`${JSON.stringify(value)} is not ${pattern}`);
  return value;
}

/** Within a day of now: a factor of a thousand would not be. */
function nanoseconds(value: unknown): bigint {
  const ns = BigInt(text(value, /^\d{19}$/));
  const awayMs = Number(ns / 1_000_000n) - Date.now();
  if (Math.abs(awayMs) > 86_400_000) throw new Error(`a time ${awayMs} ms away`);
  return ns;
}
