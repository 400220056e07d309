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

  /** One connection, until it ends. Resolves to whether anything came. */
  async function follow(sink: RevocationSink): Promise<{ heard: boolean; reason: string }> {
    const connection = new AbortController();
    const abort = (): void => connection.abort();
    closing.signal.addEventListener("abort", abort, { once: true });
    let heard = false;
    let lastMs = clock.monotonicMs();
    let timer: Timer | undefined;
    let gone: (value: "dead") => void = () => {};
    const dead = new Promise<"dead">((resolve) => {
      gone = resolve;
    });
    const watch = (delayMs: number): void => {
      timer = clock.schedule(delayMs, () => {
        const leftMs = deadAfterMs - (clock.monotonicMs() - lastMs);
        if (leftMs > 0) return watch(leftMs);
        gone("dead");
      });
    };
    watch(deadAfterMs);
    connection.signal.addEventListener("abort", () => gone("dead"), { once: true });
    const iterator = core.revocations(sink.resumeAfter(), connection.signal)[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await Promise.race([iterator.next(), dead]);
        if (closing.signal.aborted) return { heard, reason: "closed" };
        if (next === "dead") return { heard, reason: `nothing came for ${deadAfterMs} ms` };
        if (next.done) return { heard, reason: "the Core ended the stream" };
        if (!heard) {
          heard = true;
          sink.connected();
        }
        lastMs = clock.monotonicMs();
        sink.deliver(next.value);
      }
    } catch (error) {
      return { heard, reason: messageOf(error) };
    } finally {
      timer?.cancel();
      closing.signal.removeEventListener("abort", abort);
      connection.abort();
      void Promise.resolve(iterator.return?.()).catch(() => {});
    }
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
