/** Rewraps the records of a whole table, as a stream of batches. */
import { CryptoEdgeError, type EncryptionContext } from "../client/index.ts";
import { parseRecord, parseRecordKey, replaceWrapped } from "./format.ts";
import type { RecordsEdge } from "./key-supply.ts";
import { idOf } from "./opened-keys.ts";

/** A stored record that is to come under the active version. */
export interface RewrapRow<Id> {
  /** What the application finds the row by. */
  readonly id: Id;
  readonly record: Uint8Array;
}

/** How many rows are rewrapped at a time. */
export interface RewrapOptions {
  /** Rows of a batch; 1,000 unless given. */
  readonly batch?: number;
}

/**
 * What was done with some rows. Store `changed`, then remember `last`: whoever starts again with the rows after it goes on where this ended. A
 * batch that is done twice does no harm.
 */
export interface RewrapBatch<Id> {
  /** Rows with a new record, to be stored. Store each only where the row still holds `was`, if others write meanwhile. */
  readonly changed: readonly { readonly id: Id; readonly record: Uint8Array; readonly was: Uint8Array }[];
  /** Rows that were under the active version already. */
  readonly unchanged: number;
  readonly failed: readonly { readonly id: Id; readonly error: CryptoEdgeError }[];
  /** The last row of the batch. */
  readonly last: Id;
  /** Rows since the start, with these. */
  readonly done: number;
}

/** Old wrapped keys whose new ones are remembered: records that share a data key go on sharing it. */
const REMEMBERED_MAX = 10_000;
const BATCH = 1_000;

export async function* rewrapAll<Id>(
  edge: Pick<RecordsEdge, "rewrapKeys">,
  keyContext: EncryptionContext | undefined,
  rows: Iterable<RewrapRow<Id>> | AsyncIterable<RewrapRow<Id>>,
  { batch = BATCH }: RewrapOptions = {},
): AsyncGenerator<RewrapBatch<Id>> {
  const remembered = new Map<string, Uint8Array | null>();
  let slice: RewrapRow<Id>[] = [];
  let done = 0;
  const finish = async (): Promise<RewrapBatch<Id>> => {
    const rowsNow = slice;
    slice = [];
    done += rowsNow.length;
    return rewrapSlice(edge, keyContext, rowsNow, remembered, done);
  };
  for await (const row of rows) {
    slice.push(row);
    if (slice.length >= batch) yield await finish();
  }
  if (slice.length > 0) yield await finish();
}

async function rewrapSlice<Id>(
  edge: Pick<RecordsEdge, "rewrapKeys">,
  keyContext: EncryptionContext | undefined,
  rows: readonly RewrapRow<Id>[],
  remembered: Map<string, Uint8Array | null>,
  done: number,
): Promise<RewrapBatch<Id>> {
  const failed: { id: Id; error: CryptoEdgeError }[] = [];
  const read = rows.flatMap(({ id, record }) => {
    try {
      const parts = parseRecord(record);
      parseRecordKey(parts.wrapped);
      return [{ id, parts, key: idOf(parts.wrapped) }];
    } catch (error) {
      if (!(error instanceof CryptoEdgeError)) throw error;
      failed.push({ id, error });
      return [];
    }
  });
  const asked = new Map<string, Uint8Array>();
  for (const { key, parts } of read) if (!remembered.has(key)) asked.set(key, parts.wrapped);
  const context = keyContext === undefined ? {} : { context: keyContext };
  const answers =
    asked.size === 0 ? [] : await edge.rewrapKeys([...asked.values()].map((wrapped) => ({ wrapped, ...context })));
  const refused = new Map<string, CryptoEdgeError>();
  for (const [index, key] of [...asked.keys()].entries()) {
    const answer = answers[index]!;
    if (answer instanceof CryptoEdgeError) refused.set(key, answer);
    else remembered.set(key, answer.wasActive ? null : answer.wrapped);
  }
  const changed: { id: Id; record: Uint8Array; was: Uint8Array }[] = [];
  let unchanged = 0;
  for (const { id, parts, key } of read) {
    const error = refused.get(key);
    const wrapped = remembered.get(key);
    if (error !== undefined) failed.push({ id, error });
    else if (wrapped === null || wrapped === undefined) unchanged++;
    else changed.push({ id, record: replaceWrapped(parts, wrapped), was: parts.bytes });
  }
  for (const key of remembered.keys()) {
    if (remembered.size <= REMEMBERED_MAX) break;
    remembered.delete(key);
  }
  return { changed, unchanged, failed, last: rows.at(-1)!.id, done };
}
