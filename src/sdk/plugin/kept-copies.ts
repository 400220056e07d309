/** Copies of what other places say, for plugins that keep some. */
import { KeptCopy, type KeptCopyOptions } from "../../base/time/kept-copy.ts";

/**
 * Keeps a copy of what another place says, such as a key set: it is read again beside those who use it, and nobody waits for a place that hangs
 * while a good copy is there.
 *
 * @example
 * ```ts
 * const keys = keepCopy({
 *   clock: context.clock,
 *   read: fetchKeys,
 *   refreshAfterMs: 300_000,
 *   waitAfterMs: 600_000,
 *   retryAfterMs: 5_000,
 * });
 * const key = (await keys.get()).get(keyId);
 * ```
 */
export function keepCopy<Value>(options: KeptCopyOptions<Value>): KeptCopy<Value> {
  return new KeptCopy(options);
}

export const KEPT_COPIES = {
  name: "kept copies",
  address: import.meta.url,
  exports: { keepCopy },
} as const;
