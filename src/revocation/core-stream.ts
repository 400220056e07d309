/**
 * The built-in transport: the Core's event stream over mTLS, resumed where the guard stands. A stream without a heartbeat
 * is dead, whatever TCP says.
 */
import { type Clock, sleep, type Timer } from "../clock/clock.ts";
import { messageOf } from "../errors.ts";
import type { CoreEvents } from "./core-events.ts";
import type { RevocationSink, RevocationTransport } from "./revocation-transport.ts";

export interface CoreStreamOptions {
  readonly core: CoreEvents;
  readonly clock: Clock;
  /** From 0 (included) to 1: spreads the edges that come back together. */
  readonly random?: () => number;
  /** How long nothing may come; the Core sends a heartbeat every second. */
  readonly deadAfterMs?: number;
  readonly backoff?: { readonly firstMs: number; readonly maxMs: number };
}

export function createCoreStream(options: CoreStreamOptions): RevocationTransport {
  const { core, clock } = options;
  const random = options.random ?? Math.random;
  const deadAfterMs = options.deadAfterMs ?? 3_500;
  const backoff = options.backoff ?? { firstMs: 200, maxMs: 10_000 };
  const closing = new AbortController();
  let running: Promise<void> | undefined;

  /** One connection, until it ends. */
  function follow(sink: RevocationSink): Promise<{ heard: boolean; reason: string }> {
    const connection = new AbortController();
    return new Promise((resolve) => {
      let heard = false;
      let ended = false;
      let lastMs = clock.monotonicMs();
      let timer: Timer | undefined;
      const end = (reason: string): void => {
        if (ended) return;
        ended = true;
        timer?.cancel();
        closing.signal.removeEventListener("abort", closed);
        resolve({ heard, reason });
        connection.abort();
      };
      const closed = (): void => end("closed");
      const watch = (delayMs: number): void => {
        timer = clock.schedule(delayMs, () => {
          const leftMs = deadAfterMs - (clock.monotonicMs() - lastMs);
          if (leftMs > 0) watch(leftMs);
          else end(`nothing came for ${deadAfterMs} ms`);
        });
      };
      closing.signal.addEventListener("abort", closed, { once: true });
      watch(deadAfterMs);
      core
        .follow(
          sink.resumeAfter(),
          (event) => {
            if (ended) return;
            if (!heard) {
              heard = true;
              sink.connected();
            }
            lastMs = clock.monotonicMs();
            sink.deliver(event);
          },
          connection.signal,
        )
        .then(
          () => end("the Core ended the stream"),
          (error: unknown) => end(messageOf(error)),
        );
    });
  }

  async function run(sink: RevocationSink): Promise<void> {
    let failures = 0;
    while (!closing.signal.aborted) {
      const { heard, reason } = await follow(sink);
      if (closing.signal.aborted) return;
      sink.disconnected(reason);
      failures = heard ? 0 : failures + 1;
      // Full jitter: a fleet that lost its Core at one moment comes back over the whole span.
      await sleep(clock, random() * Math.min(backoff.maxMs, backoff.firstMs * 2 ** failures), closing.signal);
    }
  }

  return {
    name: "core",
    async start(sink) {
      running ??= run(sink);
    },
    async close() {
      closing.abort();
      await running;
    },
  };
}
