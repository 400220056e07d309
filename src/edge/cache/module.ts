import { LOG, type Module, token } from "../../base/module.ts";
import { CLOCK } from "../../base/time/clock.ts";
import { CIPHER } from "../cipher/module.ts";
import { KEY_MEMORY } from "../key-memory/module.ts";
import type { KeySource } from "../key-source/key-source.ts";
import type { LeaseControl, LeaseGate } from "./lease-cache.ts";
import type { LeaseEvent } from "./lease-events.ts";
import { createLeaseLog } from "./lease-log.ts";
import type { MissObserver } from "./lease-misses.ts";
import { createTtlLeaseCache, type TtlLeaseCache, type TtlLeaseCacheOptions } from "./ttl-lease-cache.ts";

export const LEASE_CACHE = token<TtlLeaseCache>("LeaseCache");

export const CACHE_SETTINGS =
  token<Pick<TtlLeaseCacheOptions, "ttlMs" | "refreshAfterMs" | "maxLeases">>("CacheSettings");

/** The key source as the cache asks it: behind the hooks of plugins. */
export const LEASED_SOURCE = token<KeySource>("LeasedSource");

/** The revocation guard: it lets leases in, and cuts them short once it has been given the cache. */
export const LEASE_GATE = token<LeaseGate & { attach(control: LeaseControl): void }>("LeaseGate");

/** The cache as the gate sees it: behind the hooks of plugins. */
export const LEASE_CONTROL = token<(cache: LeaseControl) => LeaseControl>("LeaseControl");

/** Who is told of leases, beside the log. */
export const LEASE_OBSERVER = token<(event: LeaseEvent) => void>("LeaseObserver");

/** Who is told of callers that wait; undefined: nobody. */
export const MISS_OBSERVER = token<MissObserver | undefined>("MissObserver");

export const leaseCacheModule: Module<TtlLeaseCache> = {
  token: LEASE_CACHE,
  make(get) {
    const log = createLeaseLog(get(LOG));
    const observe = get(LEASE_OBSERVER);
    const gate = get(LEASE_GATE);
    const cache = createTtlLeaseCache({
      ...get(CACHE_SETTINGS),
      source: get(LEASED_SOURCE),
      cipher: get(CIPHER),
      keyMemory: get(KEY_MEMORY),
      clock: get(CLOCK),
      gate,
      onMiss: get(MISS_OBSERVER),
      onEvent(event) {
        log(event);
        observe(event);
      },
    });
    gate.attach(get(LEASE_CONTROL)(cache));
    return cache;
  },
};
