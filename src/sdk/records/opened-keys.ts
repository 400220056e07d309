/** Data keys of records that are read: asked of the edge once, kept as long as the edge and the rule let them. */
import type { Clock } from "../../base/time/clock.ts";
import { wipe } from "../../base/wipe.ts";
import { type Client, CryptoEdgeError, type EncryptionContext } from "../client/index.ts";
import { DATA_KEY_LENGTH, parseRecordKey } from "./format.ts";
import { Deadline, type KeptKey, KeyCache } from "./key-cache.ts";

/** Opened data keys that are kept for reading. */
export interface CacheRule {
  /** 1,000 unless given; 0 for none. */
  readonly keys?: number;
  /** At most; the edge's own bound (`cache_seconds`) goes before it. */
  readonly seconds?: number;
}

export interface OpenedKeysOptions {
  readonly edge: Pick<Client, "decryptKey" | "decryptKeys">;
  readonly tenant: string;
  readonly service: string;
  readonly keyContext: EncryptionContext | undefined;
  readonly cache: CacheRule;
  readonly clock: Clock;
  /** Called when a key is kept. */
  readonly onKept: () => void;
}

const KEYS_MAX = 1_000;
const ATTEMPTS = 4;

export class OpenedKeys<Key extends KeptKey> {
  readonly #options: OpenedKeysOptions;
  /** Takes the data key, which it wipes. */
  readonly #make: (wrapped: Uint8Array, dataKey: Uint8Array) => Key;
  readonly #cache: KeyCache<Key>;
  readonly #asked = new Map<string, Promise<unknown>>();

  constructor(options: OpenedKeysOptions, make: (wrapped: Uint8Array, dataKey: Uint8Array) => Key) {
    this.#options = options;
    this.#make = make;
    this.#cache = new KeyCache(options.clock, options.cache.keys ?? KEYS_MAX);
  }

  get size(): number {
    return this.#cache.size;
  }

  /** The key, if it is held. */
  atHand(id: string): Key | undefined {
    return this.#cache.get(id);
  }

  isHeld(id: string, key: Key): boolean {
    return this.#cache.get(id) === key;
  }

  /**
   * Uses the key, which is asked of the edge unless it is held: one call, however many wait.
   *
   * @throws {CryptoEdgeError} the edge's
   */
  async use<T>(wrapped: Uint8Array, id: string, work: (key: Key) => T): Promise<T> {
    this.mustBeOurs(wrapped);
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      let held = this.#cache.get(id);
      const asked = this.#asked.get(id);
      if (held === undefined && asked !== undefined) {
        await asked;
        held = this.#cache.get(id);
      }
      if (held !== undefined) return work(held);
      const opening = this.#open(wrapped, id);
      if (!this.#asked.has(id)) this.#share(id, opening);
      const key = await opening;
      // A revocation may have come in between: then the edge says what holds now.
      if (key.isWiped) continue;
      try {
        return work(key);
      } finally {
        if (!this.isHeld(id, key)) key.wipe();
      }
    }
    throw new CryptoEdgeError("lease_unavailable", "The data key was withdrawn again and again: ask again.");
  }

  /** Keys by their ids; those that the edge refuses are errors. The caller wipes what is not held afterwards. */
  async open(wanted: ReadonlyMap<string, Uint8Array>): Promise<Map<string, Key | CryptoEdgeError>> {
    const { edge, clock } = this.#options;
    const ids = [...wanted.keys()];
    const since = new Deadline(clock);
    const changes = this.#cache.changes;
    const results = await edge.decryptKeys(ids.map((id) => this.#item(wanted.get(id)!)));
    const keys = new Map<string, Key | CryptoEdgeError>();
    for (const [index, result] of results.entries()) {
      const id = ids[index]!;
      if (result instanceof CryptoEdgeError) {
        keys.set(id, result);
        continue;
      }
      const key = this.#make(wanted.get(id)!, dataKeyOf(result.plaintext));
      keys.set(id, key);
      this.#keep(id, key, since, result.cacheSeconds, changes);
    }
    return keys;
  }

  /**
   * @throws {CryptoEdgeError} `decryption_failed` for a wrapped key of another tenant or service: it was put in the place of one of ours
   */
  mustBeOurs(wrapped: Uint8Array): void {
    const { tenant, service } = parseRecordKey(wrapped);
    if (tenant === this.#options.tenant && service === this.#options.service) return;
    throw new CryptoEdgeError(
      "decryption_failed",
      "It was sealed for another tenant or service than is asked for here.",
    );
  }

  drop(): void {
    this.#cache.drop();
  }

  #share(id: string, opening: Promise<unknown>): void {
    const shared = opening.finally(() => this.#asked.delete(id));
    shared.catch(() => {});
    this.#asked.set(id, shared);
  }

  #item(wrapped: Uint8Array): { wrapped: Uint8Array; context?: EncryptionContext } {
    const { keyContext } = this.#options;
    return keyContext === undefined ? { wrapped } : { wrapped, context: keyContext };
  }

  async #open(wrapped: Uint8Array, id: string): Promise<Key> {
    const since = new Deadline(this.#options.clock);
    const changes = this.#cache.changes;
    const opened = await this.#options.edge.decryptKey(this.#item(wrapped));
    const key = this.#make(wrapped, dataKeyOf(opened.plaintext));
    this.#keep(id, key, since, opened.cacheSeconds, changes);
    return key;
  }

  /** Keeps a key as long as edge and rule let it, unless a revocation came since it was asked for. */
  #keep(id: string, key: Key, since: Deadline, cacheSeconds: number | undefined, changes: number): void {
    const { cache, onKept } = this.#options;
    const ms = Math.min(cacheSeconds ?? 0, cache.seconds ?? Number.POSITIVE_INFINITY) * 1000;
    if ((cache.keys ?? KEYS_MAX) < 1 || changes !== this.#cache.changes || since.ageMs() >= ms) return;
    this.#cache.add(id, key, since, ms);
    onKept();
  }
}

/** What a wrapped key is found by. */
export function idOf(wrapped: Uint8Array): string {
  return Buffer.from(wrapped.buffer, wrapped.byteOffset, wrapped.length).toString("latin1");
}

/** @throws {CryptoEdgeError} `unexpected_answer` */
export function dataKeyOf(plaintext: Uint8Array | undefined): Uint8Array {
  if (plaintext?.length === DATA_KEY_LENGTH) return plaintext;
  if (plaintext !== undefined) wipe(plaintext);
  throw new CryptoEdgeError(
    "unexpected_answer",
    "The edge answered without a data key of 32 bytes. Is it of this version?",
  );
}
