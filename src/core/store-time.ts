import type { Clock } from "../base/time/clock.ts";
import type { Store } from "./store/store.ts";

/** Signed events count for a minute, certificates and leases are checked by each one's own clock. */
const MAX_SKEW_MS = 5_000;

export interface StoreTimeOptions {
  readonly store: Pick<Store, "nowMs">;
  readonly clock: Clock;
  /** This Core's clock has come to be apart from the store's, by so much, or agrees with it again (0). */
  readonly onSkew?: ((skewMs: number) => void) | undefined;
}

/** The store's time between two questions for it. Until the first one, this Core's own. */
export class StoreTime {
  readonly #options: StoreTimeOptions;
  /** What is added to each of the two clocks for the store's time, as of when it was asked last. */
  #ahead: { readonly monotonic: number; readonly wall: number } | undefined;
  #isSkewed = false;

  constructor(options: StoreTimeOptions) {
    this.#options = options;
  }

  /** The later of the two: one stands still while the machine sleeps, the other may be set back. Too late only holds edges to be there longer. */
  nowMs(): number {
    const { clock } = this.#options;
    if (this.#ahead === undefined) return clock.wallMs();
    return Math.max(clock.monotonicMs() + this.#ahead.monotonic, clock.wallMs() + this.#ahead.wall);
  }

  /** So long ago, as the store writes times. */
  ago(ms: number): string {
    return new Date(this.nowMs() - ms).toISOString();
  }

  async ask(): Promise<void> {
    const { clock, store, onSkew } = this.#options;
    const nowMs = await store.nowMs();
    const skewMs = clock.wallMs() - nowMs;
    this.#ahead = { monotonic: nowMs - clock.monotonicMs(), wall: -skewMs };
    const isSkewed = Math.abs(skewMs) > MAX_SKEW_MS;
    if (isSkewed !== this.#isSkewed) onSkew?.(isSkewed ? Math.round(skewMs) : 0);
    this.#isSkewed = isSkewed;
  }
}
