/** An issuer's JWK set by its URL: kept fresh while it is used; while the issuer is away, the keys known last count on, for an hour at most. */
import { createRemoteJWKSet, customFetch, type JWTVerifyGetKey } from "jose";
import type { DirectRequest } from "../../base/network/fetch-directly.ts";
import type { Clock } from "../../base/time/clock.ts";
import { KeptCopy } from "../../base/time/kept-copy.ts";

export interface RemoteKeysOptions {
  readonly clock: Clock;
  readonly fetch: (url: string, init: DirectRequest) => Promise<Response>;
}

const ANSWER_MS = 5_000;
/** Between two readings for a key that the set lacks. */
const COOLDOWN_MS = 10_000;
/** Between two for its age. */
const RETRY_AFTER_MS = 1_000;
const REFRESH_AFTER_MS = 300_000;
/** A key that an issuer has withdrawn counts no longer than this while the issuer can be asked. */
const WAIT_AFTER_MS = 600_000;
/** Nor than this, whoever keeps the issuer from saying so. */
const USED_FOR_MS = 3_600_000;

export function remoteKeys(url: URL, { clock, fetch }: RemoteKeysOptions): JWTVerifyGetKey {
  const keys = createRemoteJWKSet(url, {
    timeoutDuration: ANSWER_MS,
    cooldownDuration: COOLDOWN_MS,
    // How long they are kept is counted here, by the edge's clock.
    cacheMaxAge: Number.POSITIVE_INFINITY,
    [customFetch]: fetch,
  });
  const copy = new KeptCopy({
    clock,
    async read() {
      await keys.reload();
      return keys;
    },
    refreshAfterMs: REFRESH_AFTER_MS,
    waitAfterMs: WAIT_AFTER_MS,
    usedForMs: USED_FOR_MS,
    retryAfterMs: RETRY_AFTER_MS,
  });
  return async (header, token) => (await copy.get())(header, token);
}
