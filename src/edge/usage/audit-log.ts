/**
 * The audit as chained JSON lines, on a file or standard output. Events are queued on the path of the request (one push) and
 * chained and written a moment later.
 */

import { openLineOutput } from "../../base/line-output.ts";
import type { Clock, Timer } from "../../base/time/clock.ts";
import { CHAIN_START, type ChainHead, chainLine } from "./audit-chain.ts";
import type { AuditFileStart } from "./audit-file.ts";
import { type AuditEvent, auditRecord } from "./audit-sink.ts";

/** Where lines go. Neither call throws: what can't be written now is kept, and dropped and counted when that is too much. */
export interface LineSink {
  readonly name: string;
  /** `head` is that of the last line. */
  write(lines: readonly string[], head: ChainHead): void;
  tick(): void;
  close(): void;
  readonly errors: number;
  readonly dropped: number;
  /** Whether the last try to write failed. */
  readonly failing: boolean;
}

export interface AuditLogOptions {
  readonly clock: Clock;
  readonly edgeId: string;
  readonly sinks: readonly LineSink[];
  /** Of the file sink, if there is one: the chain goes on from there. */
  readonly start?: AuditFileStart | undefined;
  /** How long an event may wait in memory: what a kill can lose. */
  readonly writeAfterMs: number;
  /** How many may wait; beyond, the event is dropped and counted, and a line says how many. */
  readonly maxQueued: number;
}

export interface AuditLogStatus {
  readonly seq: number;
  readonly hash: string;
  readonly queued: number;
  readonly dropped: number;
  readonly errors: number;
  /** Whether some of it can't be written now. */
  readonly failing: boolean;
}

export class AuditLog {
  readonly #options: AuditLogOptions;
  #timer: Timer | undefined;
  #queue: AuditEvent[] = [];
  #head: ChainHead;
  #droppedEvents = 0;
  #droppedUnsaid = 0;
  #closed = false;

  constructor(options: AuditLogOptions) {
    this.#options = options;
    this.#head = options.start?.head ?? CHAIN_START;
    const { after, tornBytes } = options.start ?? { after: "new", tornBytes: 0 };
    this.#queue.push(
      this.#own("start", {
        outcome: "ok",
        reason: tornBytes > 0 ? `${after}; cut off ${tornBytes} bytes of a line not written to its end` : after,
      }),
    );
    this.flush();
    this.#arm();
  }

  append(event: AuditEvent): void {
    if (this.#closed) return;
    if (this.#queue.length >= this.#options.maxQueued) {
      this.#droppedEvents++;
      this.#droppedUnsaid++;
      return;
    }
    this.#queue.push(event);
  }

  flush(): void {
    const events = this.#queue;
    if (this.#droppedUnsaid > 0) {
      events.push(
        this.#own("drop", { outcome: "lost", reason: "more events than the buffer holds", count: this.#droppedUnsaid }),
      );
      this.#droppedUnsaid = 0;
    }
    if (events.length === 0) return;
    this.#queue = [];
    const lines = new Array<string>(events.length);
    for (let index = 0; index < events.length; index++) {
      const { line, head } = chainLine(this.#head, auditRecord(events[index]!));
      lines[index] = line;
      this.#head = head;
    }
    for (const sink of this.#options.sinks) sink.write(lines, this.#head);
  }

  status(): AuditLogStatus {
    const { sinks } = this.#options;
    return {
      ...this.#head,
      queued: this.#queue.length,
      dropped: sinks.reduce((sum, sink) => sum + sink.dropped, this.#droppedEvents),
      errors: sinks.reduce((sum, sink) => sum + sink.errors, 0),
      failing: sinks.some((sink) => sink.failing),
    };
  }

  /** Writes what waits, and the line that says that the edge stopped. May be called twice. */
  close(): void {
    if (this.#closed) return;
    this.#timer?.cancel();
    this.flush();
    this.#queue.push(this.#own("stop", { outcome: "ok" }));
    this.flush();
    this.#closed = true;
    for (const sink of this.#options.sinks) sink.close();
  }

  #own(operation: string, fields: { outcome: string; reason?: string; count?: number }): AuditEvent {
    const { clock, edgeId } = this.#options;
    return {
      type: "administration",
      time: new Date(clock.wallMs()).toISOString(),
      principal: edgeId,
      principalKind: "edge",
      version: 0,
      operation,
      count: 1,
      ...fields,
    };
  }

  #arm(): void {
    this.#timer = this.#options.clock.schedule(this.#options.writeAfterMs, () => {
      this.flush();
      for (const sink of this.#options.sinks) sink.tick();
      this.#arm();
    });
  }
}

/** What a reader of standard output that is slow or gone may leave in memory. */
const WAITING_BYTES_MAX = 8 * 1024 * 1024;

/** Lines on standard output: the chain begins anew with each start, and shows lines that were dropped. */
export class AuditStdout implements LineSink {
  readonly name = "stdout";
  readonly #output = openLineOutput(1, { waitingBytesMax: WAITING_BYTES_MAX });
  readonly #warn: (message: string) => void;
  #failure: string | undefined;
  errors = 0;

  constructor(warn: (message: string) => void) {
    this.#warn = warn;
  }

  get dropped(): number {
    return this.#output.dropped;
  }

  get failing(): boolean {
    return this.#failure !== undefined;
  }

  write(lines: readonly string[]): void {
    this.#output.write(`${lines.join("\n")}\n`, lines.length);
    this.tick();
  }

  tick(): void {
    const { failure } = this.#output;
    if (failure === this.#failure) return;
    this.#failure = failure;
    if (failure !== undefined) this.errors++;
    this.#warn(
      failure === undefined
        ? "Standard output takes the audit again."
        : `Standard output takes no audit now (${failure}); up to 8 MiB of it wait in memory.`,
    );
  }

  close(): void {}
}
