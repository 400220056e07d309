/**
 * Parts of buffers, as copies where they are short: Bun keeps few bytes in the collector's heap, where they cost nothing to free. A view of
 * them (`subarray`) moves them out, to be freed one by one while the collector stops everything.
 */

/** Up to so many bytes a copy costs less than a view. */
export const SHORT_BYTES = 1_000;

const EMPTY = Buffer.alloc(0);

/** The bytes from `start` to before `end`: the buffer itself where that is all of it, a copy or a view else. */
export function partOf(bytes: Buffer, start: number, end: number): Buffer {
  const length = end - start;
  if (length === 0) return EMPTY;
  if (length === bytes.length) return bytes;
  if (length > SHORT_BYTES) return bytes.subarray(start, end);
  const part = Buffer.allocUnsafeSlow(length);
  bytes.copy(part, 0, start, end);
  return part;
}
