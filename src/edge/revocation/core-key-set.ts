import { type CryptoKey, importJWK, type JSONWebKeySet } from "jose";
import { messageOf } from "../../base/errors.ts";
import type { Clock } from "../../base/time/clock.ts";
import { withDeadline } from "../../base/time/deadline.ts";
import { KeptCopy } from "../../base/time/kept-copy.ts";
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
   * `maxAgeMs`. From half of it on the set is fetched anew beside the events.
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
  readonly #copy: KeptCopy<ReadonlyMap<string, CryptoKey>>;

  constructor(options: CoreKeySetOptions) {
    const { clock, fetchKeys, keysMaxAgeMs = 300_000, refetchAfterMs = 5_000, maxAgeMs = EVENT_MAX_AGE_MS } = options;
    const { fetchTimeoutMs: timeoutMs = 5_000 } = options;
    const errorFor = (): Error => new Error(`no answer in ${timeoutMs} ms`);
    this.#copy = new KeptCopy({
      clock,
      read: async () => keysOf(await withDeadline({ clock, timeoutMs, work: fetchKeys, errorFor })),
      refreshAfterMs: keysMaxAgeMs / 2,
      waitAfterMs: keysMaxAgeMs,
      usedForMs: maxAgeMs,
      retryAfterMs: refetchAfterMs,
    });
  }

  /** @throws {DroppedEvent} `no_key` */
  async find(keyId: string): Promise<CryptoKey> {
    let keys = await this.#current();
    if (!keys.has(keyId)) {
      const renewed = this.#copy.renew();
      if (this.#copy.failure === undefined) await renewed;
      keys = await this.#current();
    }
    const key = keys.get(keyId);
    if (key === undefined) throw new DroppedEvent("no_key", "the Core's key set lacks the key that the event names");
    return key;
  }

  /** Once a fetch has failed the next one is made beside the events, and none of them waits for it. */
  async #current(): Promise<ReadonlyMap<string, CryptoKey>> {
    const given = this.#copy.get();
    const { failure } = this.#copy;
    try {
      if (!(given instanceof Promise) || failure === undefined) return await given;
      given.catch(() => undefined);
      throw failure;
    } catch (error) {
      throw new DroppedEvent("no_key", `no key set: ${messageOf(error)}`);
    }
  }
}

async function keysOf({ keys: all }: JSONWebKeySet): Promise<ReadonlyMap<string, CryptoKey>> {
  const keys = new Map<string, CryptoKey>();
  for (const jwk of all.slice(0, KEYS_MAX)) {
    if (jwk.kid === undefined || jwk.kty !== "OKP" || jwk.crv !== "Ed25519") continue;
    keys.set(jwk.kid, (await importJWK(jwk, "EdDSA")) as CryptoKey);
  }
  return keys;
}
