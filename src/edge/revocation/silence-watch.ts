import type { Clock, Timer } from "../../base/time/clock.ts";

export interface SilenceWatchOptions {
  readonly clock: Clock;
  /** How long nothing may be heard. */
  readonly maxSilenceMs: number;
  /** It has been silent for so long; again after each further `maxSilenceMs`. `isNew`: the first time of this silence. */
  readonly onSilence: (silentMs: number, isNew: boolean) => void;
}

/** How long no transport has been heard, on two clocks, like a lease: a machine that slept has heard nothing meanwhile. */
export class SilenceWatch {
  readonly #options: SilenceWatchOptions;
  #heardMonotonicMs: number;
  #heardWallMs: number;
  #timer: Timer | undefined;
  #silent = false;
  #closed = false;

  constructor(options: SilenceWatchOptions) {
    this.#options = options;
    this.#heardMonotonicMs = options.clock.monotonicMs();
    this.#heardWallMs = options.clock.wallMs();
  }

  get silentMs(): number {
    const { clock } = this.#options;
    return Math.max(clock.monotonicMs() - this.#heardMonotonicMs, clock.wallMs() - this.#heardWallMs, 0);
  }

  /** Whether it is silent for longer than allowed. */
  get isSilent(): boolean {
    return this.silentMs >= this.#options.maxSilenceMs;
  }

  /** Counts from now on, and calls `onSilence`. */
  start(): void {
    this.heard();
    this.#schedule();
  }

  /** Something fresh was heard. True where that ended a silence that had been told of. */
  heard(): boolean {
    const { clock } = this.#options;
    this.#heardMonotonicMs = clock.monotonicMs();
    this.#heardWallMs = clock.wallMs();
    if (!this.#silent) return false;
    this.#silent = false;
    this.#schedule();
    return true;
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #schedule(): void {
    this.#timer?.cancel();
    if (this.#closed) return;
    const { clock, maxSilenceMs, onSilence } = this.#options;
    const leftMs = maxSilenceMs - this.silentMs;
    this.#timer = clock.schedule(leftMs > 0 ? leftMs : maxSilenceMs, () => {
      if (this.isSilent) {
        const isNew = !this.#silent;
        this.#silent = true;
        onSilence(this.silentMs, isNew);
      }
      this.#schedule();
    });
  }
}
