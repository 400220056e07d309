/** Where records get their data keys: those that seal, by the rule of reuse; those that open; and what ends all of them. */
import type { Client, ClientCreatedKey, EncryptionContext, RevocationWatch, RevokedScope } from "../client/index.ts";
import { IndexKey } from "./index-key.ts";
import { Deadline } from "./key-cache.ts";
import { dataKeyOf, OpenedKeys, type OpenedKeysOptions } from "./opened-keys.ts";
import { RECORDS_PER_KEY_MAX, RecordKey } from "./record-key.ts";

/** What records need of an edge's client. */
export type RecordsEdge = Pick<
  Client,
  "createKey" | "createKeys" | "decryptKey" | "decryptKeys" | "rewrapKeys" | "watchRevocations"
>;

/** When a data key has sealed enough; whichever comes first, and never longer than the edge lets a key be kept. */
export interface ReuseRule {
  /** 100,000 unless given; at most 2^30. 1 for a data key of its own for each record. */
  readonly records?: number;
  /** Bytes of values; 1 GiB unless given. */
  readonly bytes?: number;
  /** 300 unless given. */
  readonly seconds?: number;
}

export interface KeySupplyOptions extends Omit<OpenedKeysOptions, "edge" | "onKept"> {
  readonly edge: RecordsEdge;
  readonly reuse: ReuseRule;
  readonly hearRevocations: boolean;
}

const REUSE = { records: 100_000, bytes: 2 ** 30, seconds: 300 } as const;

interface WritingKey {
  readonly key: RecordKey;
  readonly since: Deadline;
  readonly forMs: number;
  records: number;
  bytes: number;
}

export class KeySupply {
  /** The keys of records. */
  readonly opened: OpenedKeys<RecordKey>;
  /** The keys of blind indexes. */
  readonly indexKeys: OpenedKeys<IndexKey>;
  readonly #options: KeySupplyOptions;
  readonly #reuse: Required<ReuseRule>;
  #writing: WritingKey | undefined;
  #nextWriting: Promise<WritingKey> | undefined;
  /** What the edge said last: no data key is to be kept. */
  #keepsNothing = false;
  #drops = 0;
  #watch: RevocationWatch | undefined;
  #isClosed = false;

  constructor(options: KeySupplyOptions) {
    this.#options = options;
    const { records, bytes, seconds } = { ...REUSE, ...options.reuse };
    this.#reuse = { records: Math.min(records, RECORDS_PER_KEY_MAX), bytes, seconds };
    const shared = { ...options, onKept: () => this.#hear() };
    this.opened = new OpenedKeys(shared, (wrapped, dataKey) => new RecordKey(wrapped, dataKey));
    this.indexKeys = new OpenedKeys(shared, (_, dataKey) => new IndexKey(dataKey));
  }

  get revocations(): "heard" | "not_heard" | "not_needed" {
    if (this.#watch === undefined) return "not_needed";
    return this.#watch.live ? "heard" : "not_heard";
  }

  get size(): number {
    return this.opened.size + this.indexKeys.size + (this.#writing === undefined ? 0 : 1);
  }

  /** The key that seals now, if there is one that still may; counts the record. */
  writingKeyAtHand(valueLength: number): RecordKey | undefined {
    const writing = this.#writing;
    if (writing === undefined) return undefined;
    const isUsed = writing.records >= this.#reuse.records || writing.bytes + valueLength > this.#reuse.bytes;
    if ((isUsed && writing.records > 0) || writing.since.ageMs() >= writing.forMs) {
      this.#writing = undefined;
      writing.key.wipe();
      return undefined;
    }
    writing.records++;
    writing.bytes += valueLength;
    return writing.key;
  }

  /** Seals with a key that may: the one at hand, or a new one. */
  async withWritingKey<T>(valueLength: number, work: (key: RecordKey) => T): Promise<T> {
    for (;;) {
      const atHand = this.writingKeyAtHand(valueLength);
      if (atHand !== undefined) return work(atHand);
      if (this.#keepsNothing || this.#reuse.records <= 1) {
        const { key } = await this.#newWritingKey();
        return useOnce(key, work);
      }
      this.#nextWriting ??= this.#newWritingKey().finally(() => {
        this.#nextWriting = undefined;
      });
      const next = await this.#nextWriting;
      // Of those who waited for it, the first puts it to use; the others find it at hand, or see that it was for one alone.
      if (next.records > 0) continue;
      next.records = 1;
      next.bytes = valueLength;
      if (next.since.ageMs() >= next.forMs) return useOnce(next.key, work);
      this.#writing = next;
      return work(next.key);
    }
  }

  /** `count` new data keys, each for one record: the caller wipes them. */
  newKeys(count: number): Promise<ClientCreatedKey[]> {
    return this.#options.edge.createKeys({ ...this.#name, plaintext: true }, count);
  }

  /** Forgets every key now. */
  drop(): void {
    this.#drops++;
    this.opened.drop();
    this.indexKeys.drop();
    this.#writing?.key.wipe();
    this.#writing = undefined;
  }

  close(): void {
    this.#isClosed = true;
    this.#watch?.close();
    this.#watch = undefined;
    this.drop();
  }

  get #name(): { tenant: string; service: string; context?: EncryptionContext } {
    const { tenant, service, keyContext } = this.#options;
    return keyContext === undefined ? { tenant, service } : { tenant, service, context: keyContext };
  }

  async #newWritingKey(): Promise<WritingKey> {
    const since = new Deadline(this.#options.clock);
    const drops = this.#drops;
    const made = await this.#options.edge.createKey({ ...this.#name, plaintext: true });
    const edgeSeconds = made.cacheSeconds ?? 0;
    this.#keepsNothing = edgeSeconds <= 0;
    // Asked for before a revocation, and come after it: good for the one who waits, and no longer.
    const forMs = drops === this.#drops && !this.#isClosed ? Math.min(edgeSeconds, this.#reuse.seconds) * 1000 : 0;
    if (forMs > 0) this.#hear();
    return { key: new RecordKey(made.wrapped, dataKeyOf(made.plaintext)), since, forMs, records: 0, bytes: 0 };
  }

  #hear(): void {
    const { edge, hearRevocations } = this.#options;
    if (!hearRevocations || this.#isClosed || this.#watch !== undefined) return;
    this.#watch = edge.watchRevocations({
      changed: (scope) => {
        if (this.#concerns(scope)) this.drop();
      },
    });
  }

  #concerns(scope: RevokedScope | undefined): boolean {
    if (scope === undefined) return true;
    const { tenant, service } = this.#options;
    return scope.tenant === tenant && (scope.service === undefined || scope.service === service);
  }
}

function useOnce<T>(key: RecordKey, work: (key: RecordKey) => T): T {
  try {
    return work(key);
  } finally {
    key.wipe();
  }
}
