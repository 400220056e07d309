import type { Clock } from "../../base/time/clock.ts";
import { Deadline } from "../../base/time/deadline.ts";
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
  return new Promise<void>((resolve, reject) => {
    const deadline = new Deadline({
      clock,
      timeoutMs,
      signal,
      onOver: (cause) =>
        reject(new Error(cause === "aborted" ? "stopped" : `nothing came from the Core for ${timeoutMs} ms`)),
    });
    if (deadline.settled) return;
    const onEvent = (event: RevocationEvent): void => {
      if (deadline.settled) return;
      options.deliver(event);
      if (!options.isLast(event)) deadline.extend();
      else if (deadline.settle()) resolve();
    };
    const ended = (reason: unknown): void => {
      if (deadline.settle()) reject(reason);
    };
    core
      .follow(options.lastEventId, onEvent, connection.signal)
      .then(() => ended(new Error("the Core ended the event stream")), ended);
  }).finally(() => connection.abort());
}
