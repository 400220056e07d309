/**
 * Records: values of an application (a field, a document), encrypted under data keys of an edge, with the wrapped data key inside. A record
 * opens wherever an edge may open that key. docs/records.md is the guide, docs/record-format.md the format.
 */
import { fromBase64url, toBase64url } from "../../base/base64url.ts";
import type { Clock } from "../../base/time/clock.ts";
import { systemClock } from "../../base/time/system-clock.ts";
import { encodedContext } from "../client/context.ts";
import { CryptoEdgeError, type EncryptionContext } from "../client/index.ts";
import { BlindIndex, type BlindIndexOptions } from "./blind-index.ts";
import { cryptography } from "./cryptography.ts";
import { parseRecord, type RecordParts } from "./format.ts";
import { KeySupply, type RecordsEdge, type ReuseRule } from "./key-supply.ts";
import { type CacheRule, dataKeyOf, idOf } from "./opened-keys.ts";
import { RecordKey, sealUnderOwnKey } from "./record-key.ts";
import { type RewrapBatch, type RewrapOptions, type RewrapRow, rewrapAll } from "./rewrap.ts";

/** Whose service key wraps the records' data keys, and how long data keys are used and kept. */
export interface RecordsOptions {
  readonly tenant: string;
  /** `default` unless given. */
  readonly service?: string;
  /** The context of the data keys themselves, the same for each of these records; none unless given. */
  readonly keyContext?: EncryptionContext;
  /** When `seal` takes a new data key. */
  readonly reuse?: ReuseRule;
  /** How long opened data keys are kept for reading. */
  readonly cache?: CacheRule;
  /** Whether the edge is asked to tell revocations while keys are kept; true unless given. */
  readonly hearRevocations?: boolean;
  /** For tests: the machine's unless given. */
  readonly clock?: Clock;
}

/** A text is sealed as UTF-8. */
export type RecordValue = string | Uint8Array;
/** As bytes, or as base64url. */
export type SealedRecord = Uint8Array | string;
/** What JSON can say. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/** One value of `sealMany`, with its place. */
export interface SealItem {
  readonly value: RecordValue;
  readonly context?: EncryptionContext;
}

/** One record of `openMany`, with the place that it was sealed for. */
export interface OpenItem {
  readonly record: SealedRecord;
  readonly context?: EncryptionContext;
}

/** Whether each record gets a data key of its own. */
export interface SealManyOptions {
  /** `own` (unless given): a data key for each record, by the edge's batches. `reused`: as `seal` does. */
  readonly keys?: "own" | "reused";
}

/**
 * Methods throw {CryptoEdgeError}: the edge's code, `decryption_failed` for a record that was altered or has another context, and
 * `invalid_record` for bytes that are no record.
 */
export interface Records {
  /**
   * Encrypts a value and binds it to its place.
   *
   * @param context where the value belongs (table, column, row): it opens with the same context alone.
   * @example
   * ```ts
   * const sealed = await records.seal("DE02 1203 0000 0000 2020 51", { table: "customers", column: "iban", id: "17" });
   * ```
   */
  seal(value: RecordValue, context?: EncryptionContext): Promise<Uint8Array>;
  /** The value's bytes. */
  open(record: SealedRecord, context?: EncryptionContext): Promise<Uint8Array>;
  /** The value as text. */
  openText(record: SealedRecord, context?: EncryptionContext): Promise<string>;
  sealJson(value: Json, context?: EncryptionContext): Promise<Uint8Array>;
  /** `T` is what the application says it is; it is not checked. */
  openJson<T = Json>(record: SealedRecord, context?: EncryptionContext): Promise<T>;
  /** Seals a list, in its order. */
  sealMany(items: readonly SealItem[], options?: SealManyOptions): Promise<Uint8Array[]>;
  /** Opens a list: each value's bytes, or that record's own error. */
  openMany(items: readonly OpenItem[]): Promise<(Uint8Array | CryptoEdgeError)[]>;
  /**
   * Wraps the data keys of a table's records under the active version, batch after batch. The values are not touched, and not decrypted.
   * See {RewrapBatch} for how to go on after an interruption.
   *
   * @example
   * ```ts
   * for await (const { changed, last } of records.rewrapAll(table.rowsAfter(checkpoint))) {
   *   await table.update(changed);
   *   await saveCheckpoint(last);
   * }
   * ```
   */
  rewrapAll<Id>(
    rows: Iterable<RewrapRow<Id>> | AsyncIterable<RewrapRow<Id>>,
    options?: RewrapOptions,
  ): AsyncGenerator<RewrapBatch<Id>>;
  /** A wrapped data key for a blind index: make it once, store it beside the table's schema, and keep it. */
  createIndexKey(): Promise<Uint8Array>;
  /**
   * Search tokens for equality on an encrypted field. **What it leaks**: equal values have equal tokens, so whoever sees the column learns which
   * rows are equal and how often each value comes; with few possible values (a country, a birth date) frequencies tell them. It is for
   * values that hardly repeat, such as e-mail addresses and account numbers.
   */
  blindIndex(indexKey: Uint8Array, options: BlindIndexOptions): BlindIndex;
  /** Data keys that are kept, and whether revocations are heard. */
  status(): { keys: number; revocations: "heard" | "not_heard" | "not_needed" };
  /** Forgets every kept data key now. */
  forgetKeys(): void;
  /** Forgets the keys and ends the stream of revocations. */
  close(): void;
}

const encoder = new TextEncoder();
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** Keys of one call: the edge makes the next ones meanwhile. */
const SEAL_SLICE = 5_000;
/** Records between two looks at the event loop. */
const OPEN_SLICE = 10_000;

/**
 * Records of one tenant and service.
 *
 * @example
 * ```ts
 * const edge = createClient({ url: "unix:/run/crypto-edge/billing.sock" });
 * const records = createRecords(edge, { tenant: "tenant-a", service: "billing" });
 * const sealed = await records.seal("invoice 4711", { table: "invoices", id: "4711" });
 * const text = await records.openText(sealed, { table: "invoices", id: "4711" });
 * ```
 * @throws {TypeError} on a runtime without `node:crypto`
 */
export function createRecords(edge: RecordsEdge, options: RecordsOptions): Records {
  cryptography();
  const supply = new KeySupply({
    edge,
    tenant: options.tenant,
    service: options.service ?? "default",
    keyContext: options.keyContext,
    reuse: options.reuse ?? {},
    cache: options.cache ?? {},
    hearRevocations: options.hearRevocations ?? true,
    clock: options.clock ?? systemClock,
  });

  async function seal(value: RecordValue, context?: EncryptionContext): Promise<Uint8Array> {
    const bytes = bytesOfValue(value);
    const encoded = encodedContext(context);
    const key = supply.writingKeyAtHand(bytes.length);
    if (key !== undefined) return key.seal(bytes, encoded);
    return supply.withWritingKey(bytes.length, (other) => other.seal(bytes, encoded));
  }

  async function open(record: SealedRecord, context?: EncryptionContext): Promise<Uint8Array> {
    const parts = parseRecord(bytesOfRecord(record));
    const encoded = encodedContext(context);
    const id = idOf(parts.wrapped);
    const key = supply.opened.atHand(id);
    if (key !== undefined) return key.open(parts, encoded);
    return supply.opened.use(parts.wrapped, id, (other) => other.open(parts, encoded));
  }

  async function sealMany(items: readonly SealItem[], { keys = "own" }: SealManyOptions = {}): Promise<Uint8Array[]> {
    const records: Uint8Array[] = [];
    if (items.length === 0) return records;
    if (keys === "reused") {
      for (const { value, context } of items) {
        const bytes = bytesOfValue(value);
        const encoded = encodedContext(context);
        const key = supply.writingKeyAtHand(bytes.length);
        records.push(
          key?.seal(bytes, encoded) ??
            (await supply.withWritingKey(bytes.length, (other) => other.seal(bytes, encoded))),
        );
      }
      return records;
    }
    let next = supply.newKeys(Math.min(SEAL_SLICE, items.length));
    for (let start = 0; start < items.length; start += SEAL_SLICE) {
      const own = await next;
      // The edge makes the next keys while these are used.
      const left = items.length - start - SEAL_SLICE;
      next = left > 0 ? supply.newKeys(Math.min(SEAL_SLICE, left)) : Promise.resolve([]);
      next.catch(() => {});
      try {
        for (let index = 0; index < own.length; index++) {
          const { wrapped, plaintext } = own[index]!;
          const { value, context } = items[start + index]!;
          records.push(sealUnderOwnKey(wrapped, dataKeyOf(plaintext), bytesOfValue(value), encodedContext(context)));
        }
      } finally {
        for (const { plaintext } of own) plaintext?.fill(0);
      }
    }
    return records;
  }

  async function openMany(items: readonly OpenItem[]): Promise<(Uint8Array | CryptoEdgeError)[]> {
    const results: (Uint8Array | CryptoEdgeError)[] = [];
    for (let start = 0; start < items.length; start += OPEN_SLICE) {
      for (const result of await openSlice(supply, items.slice(start, start + OPEN_SLICE))) results.push(result);
    }
    return results;
  }

  return {
    seal,
    open,
    openText: async (record, context) => textOf(await open(record, context)),
    sealJson: async (value, context) => seal(jsonText(value), context),
    openJson: async <T>(record: SealedRecord, context?: EncryptionContext) =>
      JSON.parse(textOf(await open(record, context))) as T,
    sealMany,
    openMany,
    rewrapAll: (rows, rewrapOptions) => rewrapAll(edge, options.keyContext, rows, rewrapOptions),
    async createIndexKey() {
      const { tenant, service = "default", keyContext } = options;
      return (await edge.createKey({ tenant, service, ...(keyContext === undefined ? {} : { context: keyContext }) }))
        .wrapped;
    },
    blindIndex: (indexKey, indexOptions) => new BlindIndex(supply.indexKeys, indexKey, indexOptions),
    status: () => ({ keys: supply.size, revocations: supply.revocations }),
    forgetKeys: () => supply.drop(),
    close: () => supply.close(),
  };
}

/**
 * A record as text, for columns and documents that hold no bytes. `open` takes it as it is.
 *
 * @example
 * ```ts
 * const sealed = await records.seal("4111 1111", { id: "17" });
 * await redis.set("card:17", recordToText(sealed));
 * ```
 */
export function recordToText(record: Uint8Array): string {
  return toBase64url(record);
}

async function openSlice(supply: KeySupply, items: readonly OpenItem[]): Promise<(Uint8Array | CryptoEdgeError)[]> {
  const results: (Uint8Array | CryptoEdgeError | undefined)[] = new Array(items.length);
  const pending: { index: number; parts: RecordParts; context: Uint8Array; id: string }[] = [];
  const wanted = new Map<string, Uint8Array>();
  for (const [index, { record, context }] of items.entries()) {
    results[index] = attempt(() => {
      const parts = parseRecord(bytesOfRecord(record));
      const id = idOf(parts.wrapped);
      const encoded = encodedContext(context);
      const held = supply.opened.atHand(id);
      if (held !== undefined) return held.open(parts, encoded);
      supply.opened.mustBeOurs(parts.wrapped);
      wanted.set(id, parts.wrapped);
      pending.push({ index, parts, context: encoded, id });
      return undefined;
    });
  }
  const keys: ReadonlyMap<string, RecordKey | CryptoEdgeError> =
    wanted.size === 0 ? new Map() : await supply.opened.open(wanted);
  for (const { index, parts, context, id } of pending) {
    const key = keys.get(id)!;
    results[index] = attempt(() => {
      if (key instanceof CryptoEdgeError) throw key;
      // Kept ones may be dropped or pushed out between the answer and here.
      if (key.isWiped) return undefined;
      return key.open(parts, context);
    });
  }
  for (const [id, key] of keys) if (key instanceof RecordKey && !supply.opened.isHeld(id, key)) key.wipe();
  for (const { index, parts, context, id } of pending) {
    if (results[index] !== undefined) continue;
    try {
      results[index] = await supply.opened.use(parts.wrapped, id, (key) => key.open(parts, context));
    } catch (error) {
      results[index] = asItemError(error);
    }
  }
  return results as (Uint8Array | CryptoEdgeError)[];
}

/** The value, or the error that is this item's own. */
function attempt<T>(work: () => T): T | CryptoEdgeError {
  try {
    return work();
  } catch (error) {
    return asItemError(error);
  }
}

function asItemError(error: unknown): CryptoEdgeError {
  if (error instanceof CryptoEdgeError) return error;
  throw error;
}

function bytesOfValue(value: RecordValue): Uint8Array {
  if (value instanceof Uint8Array) return value;
  if (typeof value !== "string")
    throw new CryptoEdgeError("invalid_request", "A value is a text or bytes; sealJson takes everything else.");
  // Two texts with lone surrogates would be one after encoding.
  if (!value.isWellFormed())
    throw new CryptoEdgeError("invalid_request", "The text has a lone surrogate: it has no encoding as UTF-8.");
  return encoder.encode(value);
}

function bytesOfRecord(record: SealedRecord): Uint8Array {
  if (record instanceof Uint8Array) return record;
  const bytes = typeof record === "string" ? fromBase64url(record) : undefined;
  if (bytes === undefined)
    throw new CryptoEdgeError("invalid_record", "This is not a record: give its bytes, or its text as base64url.");
  return bytes;
}

function textOf(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new CryptoEdgeError("invalid_record", "The record holds bytes that are no text: open it with open().");
  }
}

function jsonText(value: Json): string {
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined) throw new CryptoEdgeError("invalid_request", "The value has no JSON.");
  return text;
}
