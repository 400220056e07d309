/** Signed events on their way to the guard: verified first, each transport's in bounds. */
import { messageOf } from "../../base/errors.ts";
import type { Clock } from "../../base/time/clock.ts";
import { DroppedEvent, type DropReason } from "./dropped-event.ts";
import { claimOf } from "./event-format.ts";
import type { EventVerifier } from "./event-verifier.ts";
import type { LogPosition } from "./log-position.ts";
import type { RevocationEvent } from "./revocation-transport.ts";
import type { TransportState } from "./transport-state.ts";

const COPY_VERIFIED_EVERY_MS = 10_000;
/** Signed events of one transport that are verified at once. Its events come one by one, its heartbeats once a second. */
const VERIFYING_MAX = 64;

export interface SignedIntakeOptions {
  readonly clock: Clock;
  /** Undefined: nothing can be verified, so everything is dropped. */
  readonly verifier: EventVerifier | undefined;
  readonly position: LogPosition;
  readonly drop: (transport: TransportState, reason: DropReason, detail?: string) => void;
}

export class SignedIntake {
  readonly #options: SignedIntakeOptions;

  constructor(options: SignedIntakeOptions) {
    this.#options = options;
  }

  /** The event, verified; undefined for one that was dropped or is known, which is counted. Never rejects. */
  async take(transport: TransportState, jws: string): Promise<RevocationEvent | undefined> {
    const { verifier, drop } = this.#options;
    if (verifier === undefined) {
      drop(transport, "no_key", "no key set to verify it with is configured");
      return undefined;
    }
    if (this.#isAppliedCopy(transport, jws)) {
      transport.duplicates++;
      return undefined;
    }
    if (transport.verifying >= VERIFYING_MAX) {
      drop(transport, "too_many");
      return undefined;
    }
    transport.verifying++;
    try {
      return await verifier.verify(jws);
    } catch (error) {
      if (error instanceof DroppedEvent) drop(transport, error.code, error.message);
      else drop(transport, "malformed", messageOf(error));
      return undefined;
    } finally {
      transport.verifying--;
    }
  }

  /**
   * Whether a signed event says that it is one which has been applied: then it can change nothing, true or forged, and is not
   * verified. But for one now and then, so that a forger who names old events shows.
   */
  #isAppliedCopy(transport: TransportState, jws: string): boolean {
    const { clock, position } = this.#options;
    const claim = claimOf(jws);
    if (claim === undefined || claim.log !== position.log || !position.isKnown(claim.seq)) return false;
    const nowMs = clock.monotonicMs();
    if (nowMs - transport.copyVerifiedMs < COPY_VERIFIED_EVERY_MS) return true;
    transport.copyVerifiedMs = nowMs;
    return false;
  }
}
