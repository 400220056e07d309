import { messageOf } from "../../base/errors.ts";
import { type Backoff, backoffMs } from "../../base/time/backoff.ts";
import { type Clock, sleep } from "../../base/time/clock.ts";

export interface KeepConnectedOptions {
  readonly clock: Clock;
  /**
   * One connection, from connecting to its end; calls `up` once it works. Resolves or rejects (with the reason) when it has
   * ended and everything it held is let go of; soon, once `signal` aborts.
   */
  readonly session: (signal: AbortSignal, up: () => void) => Promise<void>;
  /** A connection ended, or could not be had; not called for the end by `close`. */
  readonly onDown: (reason: string) => void;
  /** From 0 (included) to 1. */
  readonly random?: (() => number) | undefined;
  readonly backoff?: Backoff | undefined;
}

/**
 * Connects again and again, until closed. `session` is one connection, from connecting to its end; `onDown` hears why each ended. Waits
 * between them have full jitter: a fleet that lost its peer at one moment comes back over the whole span. `close` resolves when the last
 * session has ended.
 *
 * @example
 * ```ts
 * const connected = keepConnected({ clock, session: (signal, up) => follow(url, signal, up), onDown: (reason) => log.warn(reason) });
 * await connected.close();
 * ```
 */
export function keepConnected(options: KeepConnectedOptions): { close(): Promise<void> } {
  const { clock, session, onDown } = options;
  const random = options.random ?? Math.random;
  const backoff = options.backoff ?? { firstMs: 200, maxMs: 10_000 };
  const closing = new AbortController();

  async function run(): Promise<void> {
    let failures = 0;
    while (!closing.signal.aborted) {
      let reason = "the connection ended";
      let wasUp = false;
      try {
        await session(closing.signal, () => {
          wasUp = true;
        });
      } catch (error) {
        reason = messageOf(error);
      }
      if (closing.signal.aborted) return;
      onDown(reason);
      failures = wasUp ? 0 : failures + 1;
      await sleep(clock, backoffMs(backoff, failures, random), closing.signal);
    }
  }

  const running = run();
  return {
    async close() {
      closing.abort();
      await running;
    },
  };
}
