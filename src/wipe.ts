/** Overwrites a buffer that held a secret. The buffer's owner calls it, once, when the secret is no longer needed. */
export function wipe(bytes: Uint8Array): void {
  bytes.fill(0);
}
