/** Where requests come in: the port of the listeners. */

import type { WrittenAnswer } from "../../base/network/problem.ts";
import type { HeaderFields } from "../../base/network/trace-context.ts";
import type { Principal } from "../access/principal.ts";
import type { SocketDoor } from "../doors/door.ts";
import type { MaybePromise } from "../operations/operations.ts";
import type { DoorRoutes } from "./door-routes.ts";

export interface Listener {
  /** What is served, as shown to a person: `http://127.0.0.1:7402`, `unix:/run/crypto-edge/billing.sock`. */
  readonly address: string;
  /**
   * Reads certificates, revocation lists and token keys again. Open connections go on, but for those whose certificate is
   * revoked now. Rejects, changing nothing, when one of the files is no good. Listeners without files have none.
   */
  reload?(): Promise<void>;
  /** Stops accepting, lets requests in flight finish for at most `timeoutMs`, then cuts them. May be called twice. */
  close(timeoutMs: number): Promise<void>;
}

export interface Handler {
  (request: Request): Response | Promise<Response>;
  /** Set where the application has a quick way for some requests. */
  readonly quick?: QuickHandler;
}

/**
 * Answers a POST from the text of its body, without a `Request`. Undefined: this is none of the quick ones, or not
 * well-formed; make a `Request` of it.
 */
export type QuickHandler = (
  path: string,
  text: string,
  principal: Principal,
  headers: HeaderFields,
) => MaybePromise<WrittenAnswer> | undefined;

/** What a listener knows of its requests. */
export interface HandlerOptions {
  /** @throws {CryptoEdgeError} `unauthenticated` */
  readonly identify: (request: Request) => Principal;
  /** Whether `/v1/status` and `/metrics` are served: they tell the names of tenants. */
  readonly administration: boolean;
}

export type HandlerFactory = (options: HandlerOptions) => Handler;

export interface ListenerLimits {
  readonly connectionsMax: number;
  readonly connectionsPerPrincipalMax: number;
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

/** What a listener serves: the native door and others over HTTP, or one with a protocol of its own. */
export interface ListenerDoors {
  /** Undefined: the native door is not served here. */
  readonly native: HandlerFactory | undefined;
  readonly http: DoorRoutes | undefined;
  /** Undefined on listeners that speak HTTP. */
  readonly socket: SocketDoor | undefined;
}

/** The part of the log that a listener writes to. */
export interface ListenerLog {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

/** A listener that cannot be opened: the sentence says which and what to do. */
export class ListenerError extends Error {
  override readonly name = "ListenerError";
}
