/** A copy of a part of `bytes`. Not `slice`, which for a Buffer gives a view of the same memory. */
export function copyOf(bytes: Uint8Array, start: number, end: number): Uint8Array {
  const copy = new Uint8Array(end - start);
  copy.set(bytes.subarray(start, end));
  return copy;
}
