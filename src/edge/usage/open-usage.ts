/** Puts the usage recorder together from the configuration. */
import type { Clock } from "../../base/time/clock.ts";
import type { AuditFile, FsyncPolicy } from "./audit-file.ts";
import type { LineSink } from "./audit-log.ts";
import type { AuditSink } from "./audit-sink.ts";
import { type AuditedOperations, Usage } from "./usage.ts";
import { UsageCounters } from "./usage-counters.ts";
import type { SendUsage } from "./usage-shipper.ts";

/** As the configuration has them, times in milliseconds and sizes in bytes. */
export interface UsageSettings {
  readonly edge: { readonly id: string };
  readonly usage: {
    readonly send_after: number;
    readonly batch_records: number;
    readonly max_rows: number;
    readonly max_audit_lines: number;
  };
  readonly audit: {
    readonly operations: AuditedOperations;
    readonly stdout: boolean;
    readonly write_after: number;
    readonly file?: AuditFileSettings | undefined;
  };
}

export interface AuditFileSettings {
  readonly path: string;
  readonly max_size: number;
  readonly keep_files: number;
  readonly fsync: FsyncPolicy;
}

export interface OpenUsageOptions {
  readonly configuration: UsageSettings;
  readonly clock: Clock;
  /** Undefined where there is no Core: then nothing is counted for it. */
  readonly send: SendUsage | undefined;
  /** What plugins contribute, started already. */
  readonly sinks: readonly AuditSink[];
  readonly warn: (message: string) => void;
}

const MOST_PRINCIPALS = 1000;
const SINK_BATCH = 500;

/** @throws when the audit file can't be opened, or is another edge's: an edge that can't keep its audit does not start. */
export async function openUsage({ configuration, clock, send, sinks, warn }: OpenUsageOptions): Promise<Usage> {
  const { edge, usage, audit } = configuration;
  const file = audit.file && (await openAuditFile(audit.file, clock, warn));
  const counters = new UsageCounters({ maxRows: usage.max_rows, maxPrincipals: MOST_PRINCIPALS });
  // What a configuration does not use is not loaded.
  const shipping = send && (await import("./usage-shipper.ts"));
  const shipper =
    send &&
    shipping &&
    new shipping.UsageShipper({
      clock,
      counters,
      send,
      sendAfterMs: usage.send_after,
      maxRecords: usage.batch_records,
      maxLines: usage.max_audit_lines,
      warn,
    });

  const logging = file || audit.stdout || shipper ? await import("./audit-log.ts") : undefined;
  const lineSinks: LineSink[] = [];
  if (file !== undefined) lineSinks.push(file);
  if (audit.stdout && logging) lineSinks.push(new logging.AuditStdout(warn));
  if (shipper !== undefined && shipping !== undefined) lineSinks.push(shipping.lineSink(shipper));
  const auditLog =
    logging === undefined
      ? undefined
      : new logging.AuditLog({
          clock,
          edgeId: edge.id,
          sinks: lineSinks,
          start: file?.start,
          writeAfterMs: audit.write_after,
          maxQueued: usage.max_audit_lines,
        });

  const feeding = sinks.length === 0 ? undefined : await import("./sink-sender.ts");
  const senders = sinks.map(
    (sink) =>
      new feeding!.SinkSender({
        clock,
        sink,
        maxQueued: usage.max_audit_lines,
        maxBatch: SINK_BATCH,
        sendAfterMs: audit.write_after,
        warn,
      }),
  );
  return new Usage({
    clock,
    edgeId: edge.id,
    audited: audit.operations,
    counters,
    shipper,
    auditLog,
    sinks: senders,
  });
}

async function openAuditFile(
  { path, max_size, keep_files, fsync }: AuditFileSettings,
  clock: Clock,
  warn: (message: string) => void,
): Promise<AuditFile> {
  const [{ AuditFile }, { lockAuditFile }] = await Promise.all([import("./audit-file.ts"), import("./audit-lock.ts")]);
  const lock = await lockAuditFile(path, warn);
  try {
    return new AuditFile({ path, clock, maxBytes: max_size, keepFiles: keep_files, fsync, lock, warn });
  } catch (error) {
    lock.release();
    throw error;
  }
}
