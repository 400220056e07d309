/** What the guard says of itself: to status, readiness and metrics. */
import type { AuthorityStatus } from "./authority-blocks.ts";
import type { DropReason } from "./dropped-event.ts";

export interface RevocationStatus {
  /** The event log; undefined until the edge has its position in it. */
  readonly log: string | undefined;
  /** The newest event applied with no gap before it. */
  readonly seq: number;
  /** The newest event heard of. */
  readonly newestSeq: number;
  /** How many scopes are blocked. */
  readonly blocked: number;
  /** How often every lease had to be dropped. */
  readonly leaseDrops: number;
  /** How long no transport has been heard. */
  readonly silentMs: number;
  /** Whether that is longer than allowed. */
  readonly silent: boolean;
  /** What authorities other than the Core have blocked, by issuer; none where nothing is. */
  readonly authorities: readonly AuthorityStatus[];
  readonly transports: readonly TransportStatus[];
}

export interface TransportStatus {
  readonly name: string;
  readonly connected: boolean;
  /** Why it is not connected. */
  readonly reason: string | undefined;
  /** Milliseconds since the last event or heartbeat that was believed; undefined before the first. */
  readonly lastHeardMs: number | undefined;
  /** From the Core's commit to the arrival here, of the newest event or heartbeat, by the two machines' wall clocks. */
  readonly lagMs: number | undefined;
  /** Events that this transport was the first to bring. */
  readonly events: number;
  readonly duplicates: number;
  /** How often it showed that an event was missing. */
  readonly gaps: number;
  readonly disconnections: number;
  readonly drops: Readonly<Partial<Record<DropReason, number>>>;
}
