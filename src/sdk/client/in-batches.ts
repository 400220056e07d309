/** Any number of items, in as few requests as an edge takes. */
import { BATCH_MAX } from "./batch-bytes.ts";
import { CryptoEdgeError } from "./edge-error.ts";

/** Bytes of one request, well below the edge's `limits.max_body` (16 MiB unless configured). */
const REQUEST_BYTES_MAX = 8 * 1024 * 1024;

/**
 * Sends what fits into one request at a time; a request that the edge finds too large is halved.
 *
 * @throws what `send` does, for the first request that fails as a whole
 */
export async function inBatches<Item, Result>(
  items: readonly Item[],
  bytesOf: (item: Item) => number,
  send: (slice: readonly Item[]) => Promise<Result[]>,
): Promise<Result[]> {
  const results: Result[] = [];
  let most = BATCH_MAX;
  for (let start = 0; start < items.length; ) {
    let end = start;
    for (let bytes = 0; end < items.length && end - start < most; end++) {
      bytes += bytesOf(items[end]!);
      if (bytes > REQUEST_BYTES_MAX && end > start) break;
    }
    try {
      for (const result of await send(items.slice(start, end))) results.push(result);
      start = end;
    } catch (error) {
      if (!(error instanceof CryptoEdgeError) || error.code !== "too_large" || end - start < 2) throw error;
      most = Math.ceil((end - start) / 2);
    }
  }
  return results;
}
