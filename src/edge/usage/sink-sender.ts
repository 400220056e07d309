/** Feeds one sink (an audit sink of a plugin, a collector): a bounded queue, one batch at a time, the same batch again until it is taken. */

import { CodedError, messageOf } from "../../base/errors.ts";
import { type Backoff, longestBackoffMs } from "../../base/time/backoff.ts";
import { type Clock, sleep } from "../../base/time/clock.ts";
import type { AuditEvent, AuditSink } from "./audit-sink.ts";

/** What is fed: as the port of audit sinks has it, for items of any kind. */
export interface BatchSink<Item> extends Pick<AuditSink, "name" | "close"> {
  write(items: readonly Item[], signal: AbortSignal): Promise<void>;
}

export interface SinkSenderOptions<Item = AuditEvent> {
  readonly clock: Clock;
  readonly sink: BatchSink<Item>;
  readonly maxQueued: number;
  readonly maxBatch: number;
  /** How long events are gathered. */
  readonly sendAfterMs: number;
  readonly warn: (message: string) => void;
  /** What the sink is, in a warning. */
  readonly kind?: string;
  readonly random?: () => number;
}

export interface SinkStatus {
  readonly name: string;
  readonly queued: number;
  readonly dropped: number;
  readonly errors: number;
}

const RETRY: Backoff = { firstMs: 500, maxMs: 60_000 };
const RETRY_AFTER_MAX_MS = 300_000;

export class SinkSender<Item = AuditEvent> {
  readonly #options: SinkSenderOptions<Item>;
  readonly #stop = new AbortController();
  #queue: Item[] = [];
  #sending: Promise<void> | undefined;
  #dropped = 0;
  #errors = 0;

  constructor(options: SinkSenderOptions<Item>) {
    this.#options = options;
  }

  append(item: Item): void {
    if (this.#queue.length >= this.#options.maxQueued || this.#stop.signal.aborted) {
      this.#dropped++;
      return;
    }
    this.#queue.push(item);
    this.#start();
  }

  #start(): void {
    this.#sending ??= this.#send().finally(() => {
      this.#sending = undefined;
      // One that came in the very moment when the last was taken.
      if (this.#queue.length > 0 && !this.#stop.signal.aborted) this.#start();
    });
  }

  status(): SinkStatus {
    const { name } = this.#options.sink;
    return { name, queued: this.#queue.length, dropped: this.#dropped, errors: this.#errors };
  }

  /** One last try for what waits, then closes the sink. May be called twice. */
  async close(timeoutMs: number): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    await this.#sending;
    const { sink, clock } = this.#options;
    const deadline = new AbortController();
    const timer = clock.schedule(timeoutMs, () => deadline.abort());
    try {
      if (this.#queue.length > 0) await sink.write(this.#queue, deadline.signal);
      this.#queue = [];
    } catch (error) {
      this.#fail(error);
    }
    timer.cancel();
    await sink.close();
  }

  async #send(): Promise<void> {
    const { clock, sink, sendAfterMs, maxBatch, random = Math.random } = this.#options;
    const { signal } = this.#stop;
    await sleep(clock, sendAfterMs, signal);
    for (let attempt = 0; this.#queue.length > 0 && !signal.aborted; ) {
      const batch = this.#queue.slice(0, maxBatch);
      try {
        await sink.write(batch, signal);
        this.#queue.splice(0, batch.length);
        attempt = 0;
      } catch (error) {
        if (attempt === 0) this.#fail(error);
        else this.#errors++;
        const backoffMs = longestBackoffMs(RETRY, attempt++) * (0.5 + 0.5 * random());
        // Where the sink has said when to come again, no sooner.
        const wishMs = error instanceof CodedError ? (error.retryAfterMs ?? 0) : 0;
        await sleep(clock, Math.max(backoffMs, Math.min(wishMs, RETRY_AFTER_MAX_MS)), signal);
      }
    }
  }

  #fail(error: unknown): void {
    this.#errors++;
    const { kind = "audit sink", sink, warn } = this.#options;
    warn(`The ${kind} ${sink.name} does not take events: ${messageOf(error)}`);
  }
}
