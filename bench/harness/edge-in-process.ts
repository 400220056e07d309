/** The least around the operations that a bench needs: everything allowed, nothing counted, one lease always held. */

import { systemClock } from "../../src/base/time/system-clock.ts";
import type { AccessPolicy } from "../../src/edge/access/access-policy.ts";
import type { Principal } from "../../src/edge/access/principal.ts";
import type { LeaseCache, LeasedVersion } from "../../src/edge/cache/lease-cache.ts";
import { createTtlLeaseCache } from "../../src/edge/cache/ttl-lease-cache.ts";
import type { Cipher, ServiceKeyReader, WrappingSession } from "../../src/edge/cipher/cipher.ts";
import type { KeyMemory } from "../../src/edge/key-memory/key-memory.ts";
import type { Caller } from "../../src/edge/operations/operations.ts";
import type { Recorder } from "../../src/edge/operations/recorder.ts";
import { CIPHER } from "./ciphers.ts";

export const PRINCIPAL: Principal = { kind: "listener", name: "bench" };

export const CALLER: Caller = { principal: PRINCIPAL, door: "native", requestId: undefined };

export const allowAll: AccessPolicy = {
  authorize: () => undefined,
  authorizeAny: () => undefined,
  namedServices: () => [],
};

export const ignoreAll: Recorder = { now: () => 0, record: () => undefined, took: () => undefined };

/** Answers every question with one version of `tenant-a`'s `billing`, under a key made up here unless one is given. */
export function heldLeases(
  serviceKey = madeUpKey(),
  cipher = CIPHER,
): LeaseCache & { begin(cipher: Cipher): WrappingSession } {
  const identity = { tenant: "tenant-a", service: "billing", version: 3 };
  const begin = (cipher: Cipher) => cipher.begin(identity, serviceKey);
  const held: LeasedVersion = {
    ...identity,
    state: "active",
    session: begin(cipher),
  };
  return {
    active: () => held,
    version: () => held,
    versions: () => [{ version: held.version, state: held.state }],

    close: () => held.session.wipe(),
    begin,
  };
}

/** The edge's own cache, over a source that gives every tenant and service a key made up at once, for an hour. */
export function leaseCache(keyMemory: KeyMemory, maxLeases: number): LeaseCache {
  const [ttlMs, refreshAfterMs] = [3_600_000, 3_500_000];
  return createTtlLeaseCache({
    source: {
      name: "bench",
      async lease({ tenant, service }) {
        const key = crypto.getRandomValues(new Uint8Array(32));
        const versions = [{ version: 1, state: "active", key }] as const;
        return { tenant, service, ttlMs, refreshAfterMs, log: undefined, revocationSeq: 0, versions };
      },
      close: async () => undefined,
    },
    cipher: CIPHER,
    keyMemory,
    clock: systemClock,
    gate: { isBlocked: () => false, admits: () => true, isOpen: () => true },
    ttlMs,
    refreshAfterMs,
    maxLeases,
  });
}

function madeUpKey(): ServiceKeyReader {
  const key = crypto.getRandomValues(new Uint8Array(32));
  return { use: (reader) => reader(key) };
}
