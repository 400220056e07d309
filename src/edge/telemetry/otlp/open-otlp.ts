/** Puts the exporter together from the configuration. Loaded where `telemetry.otlp` is configured, and nowhere else. */
import { isLoopbackUrl } from "../../../base/network/loopback-host.ts";
import { readAuthorities, readCertificatePair } from "../../../base/pki/pem.ts";
import type { Clock } from "../../../base/time/clock.ts";
import { VERSION } from "../../../base/version.ts";
import type { AuditEvent, AuditSink } from "../../usage/audit-sink.ts";
import { SinkSender } from "../../usage/sink-sender.ts";
import type { MetricDefinition } from "../metrics.ts";
import { OtlpClient, OtlpError } from "./client.ts";
import { logsMessage, type Span, tracesMessage } from "./messages.ts";
import { OtlpFigures, type OtlpSignal, otlpMetrics } from "./otlp-metrics.ts";
import { Tracing } from "./tracing.ts";

/** `telemetry.otlp`, as the configuration has it. */
export interface OtlpSettings {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly service_name: string;
  readonly traces: boolean;
  readonly audit: boolean;
}

export interface OtlpOptions {
  readonly settings: OtlpSettings;
  readonly edgeId: string;
  readonly clock: Clock;
  readonly warn: (message: string) => void;
  readonly stopping: AbortSignal;
  /** How long one request may take once the edge stops. */
  readonly stopTimeoutMs: number;
}

export interface Otlp {
  /** Undefined where `traces` is false. */
  readonly tracing: Tracing | undefined;
  /** Undefined where `audit` is false; its queue is that of audit sinks. */
  readonly auditSink: AuditSink | undefined;
  readonly metrics: readonly MetricDefinition[];
  /** Reads the files of its certificates anew. @throws where they are no good: the old ones stay in use */
  takeCredentials(): void;
  /** Sends the spans that wait; resolves once the audit's sink is closed, too. May be called twice. */
  close(timeoutMs: number): Promise<void>;
}

const TIMEOUT_MS = 10_000;
const SPANS_QUEUED_MAX = 2_048;
const SPANS_BATCH_MAX = 512;
const SEND_AFTER_MS = 1_000;
/** The last write of a sink is its whole queue. */
const RECORDS_PER_REQUEST = 500;

/** @throws Error with a sentence for settings that can never work */
export function openOtlp({ settings, edgeId, clock, warn, stopping, stopTimeoutMs }: OtlpOptions): Otlp {
  const figures = new OtlpFigures();
  const client = new OtlpClient({
    ...checkOtlp(settings),
    headers: settings.headers,
    clock,
    timeoutMs: () => (stopping.aborted ? Math.min(TIMEOUT_MS, stopTimeoutMs) : TIMEOUT_MS),
  });
  const resource = {
    "service.name": settings.service_name,
    "service.version": VERSION,
    "service.instance.id": edgeId,
    "process.pid": process.pid,
  };

  /** What is refused for good is counted, not sent again: else it would stop all that comes after it. */
  async function post(signal: OtlpSignal, count: number, message: object, abort: AbortSignal): Promise<void> {
    try {
      const rejected = await client.post(`/v1/${signal}`, message, abort);
      figures[signal].sent += count - Math.min(rejected, count);
      figures[signal].refused += Math.min(rejected, count);
    } catch (error) {
      figures[signal].errors++;
      if (!(error instanceof OtlpError) || error.code !== "refused") throw error;
      figures[signal].refused += count;
      warn(`The collector refuses ${count} items of ${signal} for good, so they are lost: ${error.message}`);
    }
  }

  const spans = settings.traces
    ? new SinkSender<Span>({
        clock,
        kind: "collector of spans",
        sink: {
          name: "otlp",
          write: (batch, abort) => post("traces", batch.length, tracesMessage(resource, batch), abort),
          close: async () => {},
        },
        maxQueued: SPANS_QUEUED_MAX,
        maxBatch: SPANS_BATCH_MAX,
        sendAfterMs: SEND_AFTER_MS,
        warn,
      })
    : undefined;

  async function writeAudit(events: readonly AuditEvent[], abort: AbortSignal): Promise<void> {
    for (let from = 0; from < events.length; from += RECORDS_PER_REQUEST) {
      const batch = events.slice(from, from + RECORDS_PER_REQUEST);
      await post("logs", batch.length, logsMessage(resource, batch, clock.wallMs()), abort);
    }
  }

  const audit = Promise.withResolvers<void>();
  if (!settings.audit) audit.resolve();
  let closing: Promise<void> | undefined;
  return {
    tracing: spans && new Tracing(clock, (span) => spans.append(span)),
    auditSink: settings.audit
      ? { name: "otlp", write: writeAudit, close: () => Promise.resolve(audit.resolve()) }
      : undefined,
    takeCredentials: () => client.useCredentials(checkOtlp(settings).tls),
    metrics: otlpMetrics(figures, () => spans?.status().dropped ?? 0),
    close(timeoutMs) {
      // The connections are the audit's, too.
      closing ??= Promise.all([spans?.close(timeoutMs), audit.promise]).then(() => client.close());
      return closing;
    },
  };
}

/** Reads the files, for `config check` too. @throws likewise */
export function checkOtlp({
  url: text,
  ca,
  cert,
  key,
}: OtlpSettings): Pick<ConstructorParameters<typeof OtlpClient>[0], "url" | "tls"> {
  const url = new URL(text);
  if (url.protocol === "http:" && !isLoopbackUrl(url)) {
    throw new Error("http:// is for a collector on this machine alone: write https:// for one elsewhere");
  }
  if (url.username !== "" || url.search !== "" || url.hash !== "") {
    throw new Error("the URL is a host, a port and perhaps a path: give credentials in headers");
  }
  if ((cert === undefined) !== (key === undefined)) throw new Error("cert and key go together: give both, or neither");
  const pair = cert === undefined || key === undefined ? undefined : readCertificatePair(cert, key);
  const authorities = ca === undefined ? undefined : readAuthorities(ca).pem;
  return { url, tls: { ca: authorities, cert: pair?.cert, key: pair?.key } };
}
