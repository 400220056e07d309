import type { Clock } from "../clock/clock.ts";
import type { RevocationEvent } from "./revocation-transport.ts";

export interface CatchUpOptions {
  readonly events: (signal: AbortSignal) => AsyncIterable<RevocationEvent>;
  readonly deliver: (event: RevocationEvent) => void;
  /** Asked after each event was delivered: whether the Core has nothing more to tell of what was missing. */
  readonly isLast: (event: RevocationEvent) => boolean;
  readonly clock: Clock;
  /** How long the next event may take. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * Reads the Core's stream from the edge's place until nothing is missing, or the Core has nothing more.
 *
 * @throws when the Core can't be reached, ends the stream early, or lets wait too long.
 */
export async function catchUp(options: CatchUpOptions): Promise<void> {
  const { clock, timeoutMs, signal } = options;
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  signal.addEventListener("abort", abort, { once: true });
  const iterator = options.events(controller.signal)[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await within(iterator.next(), clock, timeoutMs, controller.signal);
      if (next.done) throw new Error("the Core ended the event stream");
      options.deliver(next.value);
      if (options.isLast(next.value)) return;
    }
  } finally {
    signal.removeEventListener("abort", abort);
    controller.abort();
    // Not awaited: a stream that hangs must not hold the guard.
    void Promise.resolve(iterator.return?.()).catch(() => {});
  }
}

function within<T>(promise: Promise<T>, clock: Clock, timeoutMs: number, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.schedule(timeoutMs, () => end(() => reject(new Error(`no answer in ${timeoutMs} ms`))));
    const aborted = (): void => end(() => reject(new Error("stopped")));
    const end = (settle: () => void): void => {
      timer.cancel();
      signal.removeEventListener("abort", aborted);
      settle();
    };
    signal.addEventListener("abort", aborted, { once: true });
    promise.then(
      (value) => end(() => resolve(value)),
      (error: unknown) => end(() => reject(error)),
    );
  });
}
