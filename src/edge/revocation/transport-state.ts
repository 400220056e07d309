import type { DropReason } from "./dropped-event.ts";
import type { TransportStatus } from "./revocation-status.ts";

/** What the guard remembers of one transport. */
export class TransportState {
  readonly name: string;
  connected = false;
  reason: string | undefined = "not connected yet";
  lastHeardMs: number | undefined;
  lagMs: number | undefined;
  events = 0;
  duplicates = 0;
  gaps = 0;
  disconnections = 0;
  readonly drops: Partial<Record<DropReason, number>> = {};
  /** The newest sequence number that the Core must know on this connection; a heartbeat below it is another history. */
  highWaterSeq = 0;
  /** The position at the last `resumeAfter`. */
  resumedAtSeq = 0;
  /** Fresh heartbeats in a row that are behind what was applied. */
  heartbeatsBehind = 0;
  /** Signed events that are being verified. */
  verifying = 0;
  /** When an event that had come before by another transport was last verified all the same. */
  copyVerifiedMs = Number.NEGATIVE_INFINITY;

  constructor(name: string) {
    this.name = name;
  }

  status(nowMs: number): TransportStatus {
    return {
      name: this.name,
      connected: this.connected,
      reason: this.reason,
      lastHeardMs: this.lastHeardMs === undefined ? undefined : nowMs - this.lastHeardMs,
      lagMs: this.lagMs,
      events: this.events,
      duplicates: this.duplicates,
      gaps: this.gaps,
      disconnections: this.disconnections,
      drops: { ...this.drops },
    };
  }
}
