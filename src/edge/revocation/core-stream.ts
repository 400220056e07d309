/**
 * The built-in transport: the Core's event stream over mTLS, resumed where the guard stands. A stream without a heartbeat
 * is dead, whatever TCP says.
 */
import type { Backoff } from "../../base/time/backoff.ts";
import type { Clock, Timer } from "../../base/time/clock.ts";
import type { CoreEvents } from "./core-events.ts";
import { keepConnected } from "./keep-connected.ts";
import type { RevocationSink, RevocationTransport } from "./revocation-transport.ts";

export interface CoreStreamOptions {
  readonly core: CoreEvents;
  readonly clock: Clock;
  /** From 0 (included) to 1: spreads the edges that come back together. */
  readonly random?: (() => number) | undefined;
  /** How long nothing may come on a stream; the Core sends a heartbeat every second. */
  readonly deadAfterMs?: number | undefined;
  /** How long a stream may take to begin. Longer: when a fleet comes back, giving up early is work done for nothing, again. */
  readonly openTimeoutMs?: number | undefined;
  readonly backoff?: Backoff | undefined;
}

const LATE_MS = 100;

export function createCoreStream(options: CoreStreamOptions): RevocationTransport {
  const { core, clock, random, backoff } = options;
  const deadAfterMs = options.deadAfterMs ?? 3_500;
  const openTimeoutMs = options.openTimeoutMs ?? 15_000;
  let connection: { close(): Promise<void> } | undefined;

  /** One stream, until it ends. */
  function follow(sink: RevocationSink, signal: AbortSignal, up: () => void): Promise<void> {
    const stream = new AbortController();
    return new Promise((_, reject) => {
      let heard = false;
      let ended = false;
      let lastMs = clock.monotonicMs();
      let isLate = false;
      let timer: Timer | undefined;
      const end = (reason: unknown): void => {
        ended = true;
        timer?.cancel();
        reject(reason);
        stream.abort();
      };
      const watch = (delayMs: number): void => {
        timer = clock.schedule(delayMs, () => {
          const allowedMs = heard ? deadAfterMs : openTimeoutMs;
          const leftMs = allowedMs - (clock.monotonicMs() - lastMs);
          if (leftMs > 0) watch(leftMs);
          else if (isLate) end(new Error(`nothing came for ${allowedMs} ms`));
          else {
            // It may be this process that was held up, and what came lies waiting: one more moment to read it.
            isLate = true;
            watch(LATE_MS);
          }
        });
      };
      signal.addEventListener("abort", () => end(new Error("closed")), { signal: stream.signal });
      watch(openTimeoutMs);
      core
        .follow(
          sink.resumeAfter(),
          (event) => {
            if (ended) return;
            if (!heard) {
              heard = true;
              timer?.cancel();
              watch(deadAfterMs);
              up();
              sink.connected();
            }
            lastMs = clock.monotonicMs();
            isLate = false;
            sink.deliver(event);
          },
          stream.signal,
        )
        .then(() => end(new Error("the Core ended the stream")), end);
    });
  }

  return {
    name: "core",
    async start(sink) {
      connection ??= keepConnected({
        clock,
        random,
        backoff,
        session: (signal, up) => follow(sink, signal, up),
        onDown: (reason) => sink.disconnected(reason),
      });
    },
    async close() {
      await connection?.close();
    },
  };
}
