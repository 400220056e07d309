/** Feeds one plugin's audit sink: a bounded queue, one batch at a time, the same batch again until it is taken. */

import { messageOf } from "../../base/errors.ts";
import { type Backoff, longestBackoffMs } from "../../base/time/backoff.ts";
import { type Clock, sleep } from "../../base/time/clock.ts";
import type { AuditEvent, AuditSink } from "./audit-sink.ts";

export interface SinkSenderOptions {
  readonly clock: Clock;
  readonly sink: AuditSink;
  readonly maxQueued: number;
  readonly maxBatch: number;
  /** How long events are gathered. */
  readonly sendAfterMs: number;
  readonly warn: (message: string) => void;
  readonly random?: () => number;
}

export interface SinkStatus {
  readonly name: string;
  readonly queued: number;
  readonly dropped: number;
  readonly errors: number;
}

const RETRY: Backoff = { firstMs: 500, maxMs: 60_000 };

export class SinkSender {
  readonly #options: SinkSenderOptions;
  readonly #stop = new AbortController();
  #queue: AuditEvent[] = [];
  #sending: Promise<void> | undefined;
  #dropped = 0;
  #errors = 0;

  constructor(options: SinkSenderOptions) {
    this.#options = options;
  }

  append(event: AuditEvent): void {
    if (this.#queue.length >= this.#options.maxQueued || this.#stop.signal.aborted) {
      this.#dropped++;
      return;
    }
    this.#queue.push(event);
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
        await sleep(clock, longestBackoffMs(RETRY, attempt++) * (0.5 + 0.5 * random()), signal);
      }
    }
  }

  #fail(error: unknown): void {
    this.#errors++;
    this.#options.warn(`The audit sink ${this.#options.sink.name} does not take events: ${messageOf(error)}`);
  }
}
