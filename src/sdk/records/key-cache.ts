/** Keys that are kept for a while: how many, how long, wiped at the end. */
import type { Clock, Timer } from "../../base/time/clock.ts";

export interface KeptKey {
  readonly isWiped: boolean;
  wipe(): void;
}

/** How long ago something was, on two clocks: the one that says more wins (a machine may sleep, a clock be set back). */
export class Deadline {
  readonly #clock: Clock;
  readonly #startMonotonicMs: number;
  readonly #startWallMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#startMonotonicMs = clock.monotonicMs();
    this.#startWallMs = clock.wallMs();
  }

  /** Milliseconds since the start; infinite when the wall clock was set back, since then nobody knows. */
  ageMs(): number {
    const wallMs = this.#clock.wallMs() - this.#startWallMs;
    if (wallMs < -1_000) return Number.POSITIVE_INFINITY;
    return Math.max(this.#clock.monotonicMs() - this.#startMonotonicMs, wallMs);
  }
}

interface Entry<Key> {
  readonly key: Key;
  readonly since: Deadline;
  readonly forMs: number;
}

/** Keys are wiped at the latest so long after their time. */
const SWEEP_MS = 1_000;

export class KeyCache<Key extends KeptKey> {
  readonly #clock: Clock;
  readonly #keysMax: number;
  readonly #entries = new Map<string, Entry<Key>>();
  #sweep: Timer | undefined;
  #changes = 0;

  constructor(clock: Clock, keysMax: number) {
    this.#clock = clock;
    this.#keysMax = keysMax;
  }

  /** Grows with each `drop`: a key that was asked for before it, and came after, is not to be kept. */
  get changes(): number {
    return this.#changes;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(id: string): Key | undefined {
    const entry = this.#entries.get(id);
    if (entry === undefined) return undefined;
    if (entry.since.ageMs() >= entry.forMs) {
      this.#remove(id, entry);
      return undefined;
    }
    // The last used goes last.
    if (this.#entries.size > 1) {
      this.#entries.delete(id);
      this.#entries.set(id, entry);
    }
    return entry.key;
  }

  /** Takes the key, which is wiped when its time is over or others push it out. */
  add(id: string, key: Key, since: Deadline, forMs: number): void {
    const before = this.#entries.get(id);
    if (before !== undefined) this.#remove(id, before);
    while (this.#entries.size >= this.#keysMax) {
      const [oldest, entry] = this.#entries.entries().next().value!;
      this.#remove(oldest, entry);
    }
    this.#entries.set(id, { key, since, forMs });
    this.#sweep ??= this.#clock.schedule(SWEEP_MS, () => this.#removeEnded());
  }

  drop(): void {
    this.#changes++;
    for (const [id, entry] of this.#entries) this.#remove(id, entry);
  }

  #remove(id: string, { key }: Entry<Key>): void {
    this.#entries.delete(id);
    key.wipe();
  }

  #removeEnded(): void {
    for (const [id, entry] of this.#entries) if (entry.since.ageMs() >= entry.forMs) this.#remove(id, entry);
    this.#sweep = this.#entries.size === 0 ? undefined : this.#clock.schedule(SWEEP_MS, () => this.#removeEnded());
  }
}
