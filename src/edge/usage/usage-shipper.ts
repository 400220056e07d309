/**
 * Sends counts and audit lines to the Core in batches, and keeps at it. A batch keeps its idempotency key over all
 * retries, so one whose answer was lost counts once (core-protocol.md, "Usage"). Counts are only taken out of the counters when
 * no batch waits: while the Core is down they go on merging there, which bounds memory and loses nothing.
 */

import { randomUUID } from "node:crypto";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { messageOf } from "../../base/errors.ts";
import { type Backoff, backoffMs } from "../../base/time/backoff.ts";
import { type Clock, sleep, type Timer } from "../../base/time/clock.ts";
import type { LineSink } from "./audit-log.ts";
import type { UsageCounters } from "./usage-counters.ts";

const compress = promisify(gzip);

/** One call to the Core. */
export interface UsageBatch {
  readonly idempotencyKey: string;
  /** NDJSON, gzip. */
  readonly body: Uint8Array;
}

/**
 * Takes one batch to the Core: the port. Resolves when the Core has it.
 *
 * @throws {UsageSendError} when the Core answered; anything else counts as a Core that can't be reached.
 */
export type SendUsage = (batch: UsageBatch, signal: AbortSignal) => Promise<void>;

export class UsageSendError extends Error {
  override readonly name = "UsageSendError";
  /** `refused`: never to be taken as it is. `too_large`: in smaller parts. `unavailable`: later. */
  readonly code: "refused" | "too_large" | "unavailable";
  readonly retryAfterMs: number | undefined;

  constructor(code: UsageSendError["code"], message: string, options: { retryAfterMs?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryAfterMs = options.retryAfterMs;
  }
}

export interface UsageShipperOptions {
  readonly clock: Clock;
  readonly counters: UsageCounters;
  readonly send: SendUsage;
  /** A batch goes at the latest this long after its first record. */
  readonly sendAfterMs: number;
  /** Records in a batch. */
  readonly maxRecords: number;
  /** Audit lines that wait; beyond, they are dropped and counted. */
  readonly maxLines: number;
  readonly warn: (message: string) => void;
  /** 0 to 1, for jitter. */
  readonly random?: () => number;
}

export interface UsageShipperStatus {
  readonly waitingLines: number;
  /** Records taken into batches that the Core does not have yet. */
  readonly waitingRecords: number;
  readonly sentBatches: number;
  readonly sentRecords: number;
  readonly retries: number;
  readonly refusedRecords: number;
  readonly droppedLines: number;
  /** How old the oldest count is that the Core does not have. */
  readonly oldestMs: number;
}

const RETRY: Backoff = { firstMs: 1_000, maxMs: 60_000 };

interface Pending {
  readonly idempotencyKey: string;
  readonly records: readonly string[];
  /** Made at the first try: a retry sends the same bytes. */
  body: Buffer | undefined;
}

export class UsageShipper {
  readonly #options: UsageShipperOptions;
  readonly #random: () => number;
  readonly #stop = new AbortController();
  readonly #pending: Pending[] = [];
  #lines: string[] = [];
  #windowStartMs: number;
  #pendingSinceMs: number | undefined;
  #timer: Timer | undefined;
  #shipping: Promise<void> | undefined;
  #sentBatches = 0;
  #sentRecords = 0;
  #retries = 0;
  #refusedRecords = 0;
  #droppedLines = 0;

  constructor(options: UsageShipperOptions) {
    this.#options = options;
    this.#random = options.random ?? Math.random;
    this.#windowStartMs = options.clock.wallMs();
    // The edges of a fleet that starts at once don't come back together.
    this.#arm(this.#random() * options.sendAfterMs);
  }

  /** Takes the lines of the audit. Those that the Core does not get in the end are holes in the chain that it keeps. */
  write(lines: readonly string[]): void {
    const { maxLines, maxRecords } = this.#options;
    const room = Math.max(0, maxLines - this.#lines.length);
    this.#droppedLines += Math.max(0, lines.length - room);
    const before = this.#lines.length;
    for (const line of lines.length <= room ? lines : lines.slice(0, room)) this.#lines.push(line);
    if (before < maxRecords && this.#lines.length >= maxRecords && this.#shipping === undefined) this.#arm(0);
  }

  status(): UsageShipperStatus {
    const { clock } = this.#options;
    return {
      waitingLines: this.#lines.length,
      waitingRecords: this.#pending.reduce((sum, batch) => sum + batch.records.length, 0),
      sentBatches: this.#sentBatches,
      sentRecords: this.#sentRecords,
      retries: this.#retries,
      refusedRecords: this.#refusedRecords,
      droppedLines: this.#droppedLines,
      oldestMs: Math.max(0, clock.wallMs() - (this.#pendingSinceMs ?? this.#windowStartMs)),
    };
  }

  /** Sends what there is, each batch once, and gives up after `timeoutMs`. May be called twice. */
  async close(timeoutMs: number): Promise<void> {
    if (this.#stop.signal.aborted) return this.#shipping;
    this.#timer?.cancel();
    this.#stop.abort();
    const deadline = new AbortController();
    const timer = this.#options.clock.schedule(timeoutMs, () => deadline.abort());
    this.#shipping = (this.#shipping ?? Promise.resolve()).then(() => this.#sendLast(deadline.signal));
    await Promise.race([this.#shipping, aborted(deadline.signal)]);
    timer.cancel();
    const { waitingRecords, waitingLines } = this.status();
    if (waitingRecords + waitingLines > 0) {
      this.#options.warn(
        `The edge stops with ${waitingRecords + waitingLines} usage records that the Core did not take.`,
      );
    }
  }

  #arm(delayMs: number): void {
    this.#timer?.cancel();
    this.#timer = this.#options.clock.schedule(delayMs, () => {
      this.#shipping = this.#ship().finally(() => {
        this.#shipping = undefined;
        if (this.#stop.signal.aborted) return;
        const full = this.#lines.length >= this.#options.maxRecords;
        this.#arm(full ? 0 : this.#options.sendAfterMs * (0.9 + 0.2 * this.#random()));
      });
    });
  }

  async #ship(): Promise<void> {
    const { signal } = this.#stop;
    this.#collect();
    for (let attempt = 0; this.#pending.length > 0 && !signal.aborted; ) {
      const waitMs = await this.#sendFirst(signal);
      if (waitMs === undefined) {
        attempt = 0;
        continue;
      }
      this.#retries++;
      await sleep(this.#options.clock, Math.max(waitMs, backoffMs(RETRY, attempt++, this.#random)), signal);
    }
  }

  async #sendLast(signal: AbortSignal): Promise<void> {
    for (;;) {
      if (this.#pending.length === 0) this.#collect();
      if (this.#pending.length === 0 || signal.aborted) return;
      if ((await this.#sendFirst(signal)) !== undefined) return;
    }
  }

  /** Sends the oldest batch. @returns how long to wait at least before the next try, or undefined when it is done. */
  async #sendFirst(signal: AbortSignal): Promise<number | undefined> {
    const batch = this.#pending[0]!;
    const { length } = batch.records;
    try {
      batch.body ??= await compress(`${batch.records.join("\n")}\n`);
      await this.#options.send({ idempotencyKey: batch.idempotencyKey, body: batch.body }, signal);
      this.#sentBatches++;
      this.#sentRecords += length;
    } catch (error) {
      const code = error instanceof UsageSendError ? error.code : "unavailable";
      if (code === "unavailable") return (error as Partial<UsageSendError>).retryAfterMs ?? 0;
      if (code === "too_large" && length > 1) {
        const middle = length >> 1;
        this.#pending.splice(0, 1, pending(batch.records.slice(0, middle)), pending(batch.records.slice(middle)));
        return undefined;
      }
      this.#refusedRecords += length;
      this.#options.warn(`The Core refused a batch of ${length} usage records, which are lost: ${messageOf(error)}`);
    }
    this.#pending.shift();
    if (this.#pending.length === 0) this.#pendingSinceMs = undefined;
    return undefined;
  }

  #collect(): void {
    const { clock, counters, maxRecords } = this.#options;
    const nowMs = clock.wallMs();
    const fromMs = Math.min(this.#windowStartMs, nowMs);
    const counts = counters.drain(fromMs, nowMs).map((record) => JSON.stringify(record));
    const records = counts.concat(this.#lines);
    this.#lines = [];
    this.#windowStartMs = nowMs;
    if (records.length > 0) this.#pendingSinceMs = fromMs;
    for (let start = 0; start < records.length; start += maxRecords) {
      this.#pending.push(pending(records.slice(start, start + maxRecords)));
    }
  }
}

function pending(records: readonly string[]): Pending {
  return { idempotencyKey: randomUUID(), records, body: undefined };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** The shipper as one of the audit's sinks. Its own `close` comes later, when the audit's last line is in. */
export function lineSink(shipper: UsageShipper): LineSink {
  return {
    name: "core",
    write: (lines) => shipper.write(lines),
    tick() {},
    close() {},
    // Told by the shipper's own status.
    errors: 0,
    failing: false,
    dropped: 0,
  };
}
