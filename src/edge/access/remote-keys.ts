/** An issuer's JWK set by its URL: read again every five minutes; while the issuer is away, the keys known last count on, for an hour at most. */
import { createRemoteJWKSet, customFetch, type JWTVerifyGetKey } from "jose";
import type { DirectRequest } from "../../base/network/fetch-directly.ts";
import type { Clock } from "../../base/time/clock.ts";

export interface RemoteKeysOptions {
  readonly clock: Clock;
  readonly fetch: (url: string, init: DirectRequest) => Promise<Response>;
}

const ANSWER_MS = 5_000;
/** Between two readings for a key that the set lacks, or after one that failed. */
const COOLDOWN_MS = 10_000;
const READ_AGAIN_AFTER_MS = 300_000;
/** A key that an issuer has withdrawn counts no longer than this, whoever keeps the issuer from saying so. */
const KEPT_MS = 3_600_000;

export function remoteKeys(url: URL, { clock, fetch }: RemoteKeysOptions): JWTVerifyGetKey {
  const keys = createRemoteJWKSet(url, {
    timeoutDuration: ANSWER_MS,
    cooldownDuration: COOLDOWN_MS,
    // How long they are kept is counted here, by the edge's clock.
    cacheMaxAge: Number.POSITIVE_INFINITY,
    [customFetch]: fetch,
  });
  let readMs = Number.NEGATIVE_INFINITY;
  let failedMs = Number.NEGATIVE_INFINITY;

  /** Rejects where the issuer can't be asked. All who wait have one answer. */
  async function read(): Promise<void> {
    try {
      await keys.reload();
      readMs = clock.monotonicMs();
    } catch (error) {
      failedMs = clock.monotonicMs();
      throw error;
    }
  }

  return async (header, token) => {
    const nowMs = clock.monotonicMs();
    if (nowMs - readMs >= KEPT_MS) await read();
    else if (nowMs - readMs >= READ_AGAIN_AFTER_MS && nowMs - failedMs >= COOLDOWN_MS)
      await read().catch(() => undefined);
    return keys(header, token);
  };
}
