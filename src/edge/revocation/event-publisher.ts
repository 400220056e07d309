/**
 * Where the Core's events go besides its own stream: the port. A plugin for a message broker implements it.
 *
 * A broker can delay or withhold, not forge: it carries the signed form, and heartbeats too, so that silence shows.
 */
import type { RevocationEvent } from "./revocation-transport.ts";

/** A way on which a Core's committed events leave it for a broker, whose edges listen there. */
export interface EventPublisher {
  /** What logs and the state of the Core call it. */
  readonly name: string;

  /**
   * Takes one event, in the log's order (heartbeats between them). `jws` is its JWS compact serialization, the payload
   * being the event's JSON. Called after the event is committed; the Core awaits nothing: a rejection is logged, and edges
   * learn of the event from the Core's own stream. A publisher that can't keep up bounds what it holds.
   */
  publish(event: RevocationEvent, jws: string): void | Promise<void>;

  /** Lets go of the connection, after what it still holds has been sent or given up. May be called twice. */
  close?(): Promise<void>;
}
