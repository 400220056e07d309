/** What the guard and the built-in transport ask of the Core, over mTLS (core-protocol.md, "Revocations"). */
import { messageOf } from "../../base/errors.ts";
import { parseRevocationEvent } from "./event-format.ts";
import type { RevocationEvent } from "./revocation-transport.ts";

export interface CoreEvents {
  /**
   * Follows the event stream: calls `onEvent` for everything after `lastEventId` (`<log>:<seq>`), or from now on without
   * it, in the Core's order. Heartbeats come between. Resolves when the Core ends the stream; rejects when it can't be
   * had, breaks off, or `signal` aborts.
   */
  follow(
    lastEventId: string | undefined,
    onEvent: (event: RevocationEvent) => void,
    signal: AbortSignal,
  ): Promise<void>;
}

/** The part of a client of the Core that this needs. */
export interface EventStreamClient {
  revocations(
    lastEventId: string | undefined,
    handlers: { onMessage(message: { readonly data: string }): void },
    signal: AbortSignal,
  ): Promise<void>;
}

/**
 * The Core's stream, read. An event that can't be read is left out, so that it shows as a hole, which the guard knows how to
 * act on; ending the stream would only bring it again.
 */
export function createCoreEvents(client: EventStreamClient, onUnreadable: (reason: string) => void): CoreEvents {
  return {
    follow(lastEventId, onEvent, signal) {
      const onMessage = ({ data }: { readonly data: string }): void => {
        let event: RevocationEvent;
        try {
          event = parseRevocationEvent(JSON.parse(data));
        } catch (error) {
          onUnreadable(messageOf(error));
          return;
        }
        onEvent(event);
      };
      return client.revocations(lastEventId, { onMessage }, signal);
    },
  };
}
