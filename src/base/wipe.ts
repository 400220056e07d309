/**
 * A buffer for a secret. Not `new Uint8Array(length)`: runtimes keep a small one inside their heap and move it out when
 * `subarray` or `buffer` is first used, and a copy stays behind that nobody can wipe.
 *
 * @example
 * ```ts
 * const key = allocateSecret(32);
 * crypto.getRandomValues(key);
 * ```
 */
export function allocateSecret(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(length));
}

/**
 * Overwrites a buffer that held a secret. The buffer's owner calls it, once, when the secret is no longer needed.
 *
 * @example
 * ```ts
 * const key = await unwrap(wrapped);
 * try {
 *   return seal(key, plaintext);
 * } finally {
 *   wipe(key);
 * }
 * ```
 */
export function wipe(bytes: Uint8Array): void {
  bytes.fill(0);
}
