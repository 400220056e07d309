/** What the guard and the built-in transport ask of the Core, over mTLS (core-protocol.md, "Revocations"). */
import type { RevocationEvent } from "./revocation-transport.ts";

export interface CoreEvents {
  /**
   * Opens the event stream: everything after `lastEventId` (`<log>:<seq>`), or from now on without it, in the Core's
   * order, until the Core or the network ends it (the iteration ends or throws) or `signal` aborts. Heartbeats show
   * that the backlog has ended.
   */
  revocations(lastEventId: string | undefined, signal: AbortSignal): AsyncIterable<RevocationEvent>;
}
