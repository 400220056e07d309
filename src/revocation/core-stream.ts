/**
 * The built-in transport: the Core's event stream over mTLS, resumed where the guard stands. A stream without a heartbeat
 * is dead, whatever TCP says.
 */
import type { Clock, Timer } from "../clock/clock.ts";
import type { CoreEvents } from "./core-events.ts";
import { keepConnected } from "./keep-connected.ts";
import type { RevocationSink, RevocationTransport } from "./revocation-transport.ts";

export interface CoreStreamOptions {
  readonly core: CoreEvents;
  readonly clock: Clock;
  /** From 0 (included) to 1: spreads the edges that come back together. */
  readonly random?: (() => number) | undefined;
  /** How long nothing may come; the Core sends a heartbeat every second. */
  readonly deadAfterMs?: number | undefined;
  readonly backoff?: { readonly firstMs: number; readonly maxMs: number } | undefined;
}

export function createCoreStream(options: CoreStreamOptions): RevocationTransport {
  const { core, clock, random, backoff } = options;
  const deadAfterMs = options.deadAfterMs ?? 3_500;
  let connection: { close(): Promise<void> } | undefined;

  /** One stream, until it ends. */
  function follow(sink: RevocationSink, signal: AbortSignal, up: () => void): Promise<void> {
    const stream = new AbortController();
    return new Promise((_, reject) => {
      let heard = false;
      let ended = false;
      let lastMs = clock.monotonicMs();
      let timer: Timer | undefined;
      const end = (reason: unknown): void => {
        if (ended) return;
        ended = true;
        timer?.cancel();
        signal.removeEventListener("abort", closed);
        reject(reason);
        stream.abort();
      };
      const closed = (): void => end(new Error("closed"));
      const watch = (delayMs: number): void => {
        timer = clock.schedule(delayMs, () => {
          const leftMs = deadAfterMs - (clock.monotonicMs() - lastMs);
          if (leftMs > 0) watch(leftMs);
          else end(new Error(`nothing came for ${deadAfterMs} ms`));
        });
      };
      signal.addEventListener("abort", closed, { once: true });
      watch(deadAfterMs);
      core
        .follow(
          sink.resumeAfter(),
          (event) => {
            if (ended) return;
            if (!heard) {
              heard = true;
              up();
              sink.connected();
            }
            lastMs = clock.monotonicMs();
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
