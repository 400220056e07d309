/** Signed events on their way to the guard: verified first, each transport's in bounds. */
import { messageOf } from "../../base/errors.ts";
import type { Clock } from "../../base/time/clock.ts";
import { DroppedEvent, type DropReason } from "./dropped-event.ts";
import { claimOf } from "./event-format.ts";
import type { EventVerifier } from "./event-verifier.ts";
import type { LogPosition } from "./log-position.ts";
import type { Delivery, RevocationEvent } from "./revocation-transport.ts";
import type { TransportState } from "./transport-state.ts";

const COPY_VERIFIED_EVERY_MS = 10_000;
/** Signed events of one transport that are verified at once. Its events come one by one, its heartbeats once a second. */
const VERIFYING_MAX = 64;

export interface SignedIntakeOptions {
  readonly clock: Clock;
  /** Undefined: nothing can be verified, so everything is dropped. */
  readonly verifier: EventVerifier | undefined;
  readonly position: LogPosition;
  readonly drop: (transport: TransportState, reason: DropReason, detail: string) => Delivery;
}

export class SignedIntake {
  readonly #options: SignedIntakeOptions;

  constructor(options: SignedIntakeOptions) {
    this.#options = options;
  }

  /**
   * The event, verified; or what has become of it already: it was dropped, or is known. Never rejects.
   *
   * @param always Also where it claims to be one that was applied before.
   */
  async take(transport: TransportState, jws: string, always: boolean): Promise<RevocationEvent | Delivery> {
    const { verifier, drop } = this.#options;
    if (verifier === undefined) return drop(transport, "no_key", "no key set to verify it with is configured");
    if (!always && this.#isAppliedCopy(transport, jws)) {
      transport.duplicates++;
      return { state: "applied" };
    }
    if (transport.verifying >= VERIFYING_MAX) return drop(transport, "too_many", "too many are being verified");
    transport.verifying++;
    try {
      return await verifier.verify(jws);
    } catch (error) {
      return drop(transport, error instanceof DroppedEvent ? error.code : "malformed", messageOf(error));
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
