import { type CryptoKey, importJWK, type JSONWebKeySet } from "jose";
import { messageOf } from "../../base/errors.ts";
import type { Clock } from "../../base/time/clock.ts";
import { withDeadline } from "../../base/time/deadline.ts";
import { DroppedEvent } from "./dropped-event.ts";

/** No lease lives longer than an hour, so an older event, or a key set from before, says nothing about one. */
export const EVENT_MAX_AGE_MS = 3_600_000;
const KEYS_MAX = 32;

export interface CoreKeySetOptions {
  /** `GET /core/v1/keys`, over mTLS. */
  readonly fetchKeys: (signal: AbortSignal) => Promise<JSONWebKeySet>;
  readonly clock: Clock;
  /**
   * A key that the Core has withdrawn is trusted no longer than this while the Core can be asked; while it is away, no longer than
   * `maxAgeMs`.
   */
  readonly keysMaxAgeMs?: number;
  /** The least time between two fetches, so that forged key ids don't become load on the Core. */
  readonly refetchAfterMs?: number;
  readonly fetchTimeoutMs?: number;
  /** How long the last set serves while the Core is away. */
  readonly maxAgeMs?: number;
}

/** The keys that the Core signs events with, fetched when they are needed. */
export class CoreKeySet {
  readonly #options: Required<CoreKeySetOptions>;
  #keys: ReadonlyMap<string, CryptoKey> = new Map();
  #fetchedMs = Number.NEGATIVE_INFINITY;
  #triedMs = Number.NEGATIVE_INFINITY;
  /** Why the last fetch failed: then the next one is made beside the events, and none of them waits for it. */
  #failure: string | undefined;
  #fetching: Promise<void> | undefined;

  constructor(options: CoreKeySetOptions) {
    this.#options = {
      keysMaxAgeMs: 300_000,
      refetchAfterMs: 5_000,
      fetchTimeoutMs: 5_000,
      maxAgeMs: EVENT_MAX_AGE_MS,
      ...options,
    };
  }

  /** @throws {DroppedEvent} `no_key` */
  async find(keyId: string): Promise<CryptoKey> {
    const { keysMaxAgeMs, maxAgeMs } = this.#options;
    if (this.#ageMs >= keysMaxAgeMs) {
      await this.#refreshed();
      // The Core may be away: the last set goes on for a while, as leases do, but not for ever.
      if (this.#ageMs >= maxAgeMs) throw new DroppedEvent("no_key", `no key set: ${this.#failure}`);
    }
    if (!this.#keys.has(keyId)) await this.#refreshed();
    const key = this.#keys.get(keyId);
    if (key === undefined) throw new DroppedEvent("no_key", "the Core's key set lacks the key that the event names");
    return key;
  }

  get #ageMs(): number {
    return this.#options.clock.monotonicMs() - this.#fetchedMs;
  }

  /** Waits for a fetch that can be expected to succeed. */
  #refreshed(): Promise<void> {
    const fetched = this.#refresh();
    return this.#failure === undefined ? fetched : Promise.resolve();
  }

  /** One fetch for all who wait; none when the last was a moment ago. */
  #refresh(): Promise<void> {
    const { clock, refetchAfterMs } = this.#options;
    if (this.#fetching === undefined) {
      if (clock.monotonicMs() - this.#triedMs < refetchAfterMs) return Promise.resolve();
      this.#fetching = this.#fetch().finally(() => {
        this.#fetching = undefined;
      });
    }
    return this.#fetching;
  }

  async #fetch(): Promise<void> {
    const { clock, fetchKeys, fetchTimeoutMs: timeoutMs } = this.#options;
    this.#triedMs = clock.monotonicMs();
    try {
      const errorFor = (): Error => new Error(`no answer in ${timeoutMs} ms`);
      const set = await withDeadline({ clock, timeoutMs, work: fetchKeys, errorFor });
      const keys = new Map<string, CryptoKey>();
      for (const jwk of set.keys.slice(0, KEYS_MAX)) {
        if (jwk.kid === undefined || jwk.kty !== "OKP" || jwk.crv !== "Ed25519") continue;
        keys.set(jwk.kid, (await importJWK(jwk, "EdDSA")) as CryptoKey);
      }
      this.#keys = keys;
      this.#fetchedMs = clock.monotonicMs();
      this.#failure = undefined;
    } catch (error) {
      this.#failure = messageOf(error);
      this.#triedMs = clock.monotonicMs();
    }
  }
}
