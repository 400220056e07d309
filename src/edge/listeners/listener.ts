/** Where requests come in: the port of the listeners. */

import type { LogPort } from "../../base/log-port.ts";
import type { SocketDoor } from "../doors/door.ts";
import type { DoorRoutes } from "./door-routes.ts";

export interface Listener {
  /** What is served, as shown to a person: `http://127.0.0.1:7402`, `unix:/run/crypto-edge/billing.sock`. */
  readonly address: string;
  /**
   * Reads certificates, revocation lists and token keys again. Open connections go on, but for those whose certificate is
   * revoked now. Rejects, changing nothing, when one of the files is no good. Listeners without files have none.
   */
  reload?(): Promise<void>;
  /**
   * Of a listener that another edge serves too: its callers go over to the other. Serves on meanwhile; resolves when they have gone, or after `timeoutMs` at
   * most. Called once, before `close`.
   */
  drain?(timeoutMs: number): Promise<void>;
  /** Stops accepting, lets requests in flight finish for at most `timeoutMs`, then cuts them. May be called twice. */
  close(timeoutMs: number): Promise<void>;
}

/** What a listener serves: doors over HTTP, or one with a protocol of its own. */
export type ListenerDoors = { readonly http: DoorRoutes } | { readonly socket: SocketDoor };

export interface ListenerLimits {
  readonly connectionsMax: number;
  readonly connectionsPerPrincipalMax: number;
  /** TLS handshakes of one address. */
  readonly failedHandshakesPerSecond: number;
  readonly requestsMax: number;
  readonly requestsPerCallerMax: number;
  /** The longest head of a request. */
  readonly headerBytesMax: number;
  /** The longest body taken, in bytes; a longer one is answered 413. */
  readonly bodyBytesMax: number;
  /** Of all bodies in flight on the listener. */
  readonly bodiesBytesMax: number;
  readonly requestTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** Whether other processes of this edge listen on the same port (`SO_REUSEPORT`). */
  readonly sharesPort?: boolean;
}

/** The part of the log that a listener writes to. */
export type ListenerLog = Pick<LogPort, "info" | "warn" | "error">;

/** A listener that cannot be opened: the sentence says which and what to do. */
export class ListenerError extends Error {
  override readonly name = "ListenerError";
}
