import type { Clock, Timer } from "../../base/time/clock.ts";
import type { CoreEvents } from "./core-events.ts";
import type { RevocationEvent } from "./revocation-transport.ts";

export interface CatchUpOptions {
  readonly core: CoreEvents;
  /** The edge's place in the log. */
  readonly lastEventId: string | undefined;
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
export function catchUp(options: CatchUpOptions): Promise<void> {
  const { core, clock, timeoutMs, signal } = options;
  const connection = new AbortController();
  return new Promise((resolve, reject) => {
    let timer: Timer | undefined;
    let ended = false;
    const end = (settle: () => void): void => {
      if (ended) return;
      ended = true;
      timer?.cancel();
      signal.removeEventListener("abort", stopped);
      settle();
      connection.abort();
    };
    const fail = (reason: unknown): void => end(() => reject(reason));
    const stopped = (): void => fail(new Error("stopped"));
    const wait = (): void => {
      timer?.cancel();
      timer = clock.schedule(timeoutMs, () => fail(new Error(`nothing came from the Core for ${timeoutMs} ms`)));
    };
    const onEvent = (event: RevocationEvent): void => {
      if (ended) return;
      options.deliver(event);
      if (options.isLast(event)) end(resolve);
      else wait();
    };
    if (signal.aborted) return stopped();
    signal.addEventListener("abort", stopped, { once: true });
    wait();
    core
      .follow(options.lastEventId, onEvent, connection.signal)
      .then(() => fail(new Error("the Core ended the event stream")), fail);
  });
}
