/**
 * Which edges hold leases of which keys, for those who are about to revoke one: kept in memory and told to the store every few
 * seconds, beside the calls. Nothing depends on it: a revocation goes to every edge, whatever stands here.
 */
import type { Clock, Timer } from "../base/time/clock.ts";
import type { GrantedLease } from "./store/impact-tables.ts";
import type { UsageTables } from "./store/usage-tables.ts";

const FLUSH_MS = 2_000;
/** While the store is away; those beyond are not told of. */
const MAX_UNTOLD = 100_000;

export interface GrantedLeasesOptions {
  readonly usage: UsageTables;
  readonly clock: Clock;
  readonly leaseMs: number;
}

export class GrantedLeases {
  readonly #options: GrantedLeasesOptions;
  #untold = new Map<string, GrantedLease>();
  #timer: Timer | undefined;
  #flushing: Promise<void> = Promise.resolve();

  constructor(options: GrantedLeasesOptions) {
    this.#options = options;
    this.#schedule();
  }

  note(edge: string, tenant: string, service: string, versions: readonly { readonly version: number }[]): void {
    const { clock, leaseMs } = this.#options;
    const endsAt = new Date(clock.wallMs() + leaseMs).toISOString();
    for (const { version } of versions) {
      const key = `${edge} ${tenant} ${service} ${version}`;
      if (this.#untold.size >= MAX_UNTOLD && !this.#untold.has(key)) return;
      this.#untold.set(key, { edge, tenant, service, version, endsAt });
    }
  }

  /** Tells the store what is new. Never rejects: what it did not take is told again. */
  flush(): Promise<void> {
    this.#flushing = this.#flushing.then(async () => {
      const telling = this.#untold;
      if (telling.size === 0) return;
      this.#untold = new Map();
      try {
        await this.#options.usage.leasesGranted([...telling.values()]);
      } catch {
        // What was granted meanwhile is newer.
        this.#untold = new Map([...telling, ...this.#untold]);
      }
    });
    return this.#flushing;
  }

  async close(): Promise<void> {
    this.#timer?.cancel();
    await this.flush();
  }

  #schedule(): void {
    this.#timer = this.#options.clock.schedule(FLUSH_MS, () => {
      void this.flush().then(() => this.#schedule());
    });
  }
}
