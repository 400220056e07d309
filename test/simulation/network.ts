import type { Random } from "./random.ts";
import type { Scheduler } from "./scheduler.ts";

/** How one road between an edge and the Core, or the broker, behaves at the moment. */
export interface Weather {
  lossRate: number;
  duplicationRate: number;
  /** How often a message is delayed far beyond the others. */
  lateRate: number;
  partitioned: boolean;
}

export const CALM: Readonly<Weather> = { lossRate: 0, duplicationRate: 0, lateRate: 0, partitioned: false };

/** Carries messages; each comes after a delay of its own, so they overtake each other. */
export class Road {
  weather: Weather = { ...CALM };
  readonly #scheduler: Scheduler;
  readonly #random: Random;

  constructor(scheduler: Scheduler, random: Random) {
    this.#scheduler = scheduler;
    this.#random = random;
  }

  get isLost(): boolean {
    return this.weather.partitioned || this.#random.chance(this.weather.lossRate);
  }

  get delayMs(): number {
    return this.#random.chance(this.weather.lateRate) ? this.#random.between(500, 4_000) : this.#random.between(1, 20);
  }

  /** Delivers the message once, or never. */
  send(deliver: () => void): void {
    if (!this.isLost) this.#scheduler.after(this.delayMs, deliver);
  }

  /** Delivers the message once, twice, or never. */
  scatter(deliver: () => void): void {
    this.send(deliver);
    if (this.#random.chance(this.weather.duplicationRate)) this.send(deliver);
  }
}
