/**
 * Bugs planted one by one, to show that the simulation bites. Each is an adapter around an honest part, as a mistake in
 * that part would act; nothing of this is in the product.
 */
import type { LeaseCache } from "../../src/edge/cache/lease-cache.ts";
import { createTtlLeaseCache, type TtlLeaseCacheOptions } from "../../src/edge/cache/ttl-lease-cache.ts";
import type { KeySlot } from "../../src/edge/key-memory/key-memory.ts";
import {
  type KeySource,
  KeySourceError,
  type LeaseGrant,
  type LeaseRequest,
} from "../../src/edge/key-source/key-source.ts";
import type { Bug } from "./edge.ts";

export interface PlantedBug extends Bug {
  /** What the violation that finds it says. */
  readonly foundAs: RegExp;
}

/** The source, with its grants changed on the way. */
function changing(source: KeySource, change: (grant: LeaseGrant) => LeaseGrant): KeySource {
  return {
    name: source.name,
    close: () => source.close(),
    lease: async (request: LeaseRequest, signal: AbortSignal) => change(await source.lease(request, signal)),
  };
}

export const PLANTED_BUGS: readonly PlantedBug[] = [
  {
    name: "deadlines on the monotonic clock alone: a sleep stretches a lease",
    foundAs: /hard deadline|is over and was not wiped/,
    options(options) {
      const { clock } = options;
      const sinceStartMs = clock.wallMs() - clock.monotonicMs();
      return { ...options, clock: { ...bound(clock), wallMs: () => clock.monotonicMs() + sinceStartMs } };
    },
  },
  {
    name: "deadlines on the wall clock alone: setting it back stretches a lease",
    foundAs: /hard deadline|is over and was not wiped/,
    options(options) {
      const { clock } = options;
      const sinceStartMs = clock.wallMs() - clock.monotonicMs();
      return { ...options, clock: { ...bound(clock), monotonicMs: () => clock.wallMs() - sinceStartMs } };
    },
  },
  {
    name: "off by one at the deadline: a lease lasts one millisecond too long",
    foundAs: /hard deadline/,
    options: (options) => ({
      ...options,
      ttlMs: options.ttlMs + 1,
      source: changing(options.source, (grant) => ({ ...grant, ttlMs: grant.ttlMs + 1 })),
    }),
  },
  {
    name: "deadlines counted from the answer, not from the question",
    foundAs: /hard deadline/,
    options(options) {
      const { clock } = options;
      const source: KeySource = {
        name: options.source.name,
        close: () => options.source.close(),
        async lease(request, signal) {
          const askedMs = clock.monotonicMs();
          const grant = await options.source.lease(request, signal);
          return { ...grant, ttlMs: grant.ttlMs + clock.monotonicMs() - askedMs };
        },
      };
      return { ...options, ttlMs: options.ttlMs + 5_000, source };
    },
  },
  {
    name: "no single flight: two who wait make two calls",
    foundAs: /calls in flight for/,
    front(cache, options: TtlLeaseCacheOptions): LeaseCache {
      const second = createTtlLeaseCache({ ...options, keyMemory: { store: uncounted } });
      let turn = 0;
      return {
        active: (tenant, service) => (turn++ % 2 === 0 ? cache : second).active(tenant, service),
        version: (tenant, service, version) => (turn++ % 2 === 0 ? cache : second).version(tenant, service, version),
        versions: (tenant, service) => cache.versions(tenant, service),
        close: () => cache.close(),
      };
    },
  },
  {
    name: "lease race unguarded: an answer from before a revocation is installed after it",
    foundAs: /after revocation/,
    options: (options) => ({
      ...options,
      gate: {
        isOpen: () => true,
        isBlocked: () => false,
        admits: (grant) => options.gate.admits(grant) || true,
      },
    }),
  },
  {
    name: "a revocation that wipes nothing",
    foundAs: /after revocation/,
    control: (cache) => ({
      revoke: () => 0,
      forget: (scope) => cache.forget(scope),
      dropAll: (reason) => cache.dropAll(reason),
      renew: (tenant, service) => cache.renew(tenant, service),
      renewAll: () => cache.renewAll(),
    }),
  },
  {
    name: "jitter off: what began together is renewed together",
    foundAs: /renewed within a second|too many calls/,
    options: (options) => ({ ...options, random: () => 0 }),
  },
  {
    name: "eviction without wipe",
    foundAs: /key memory holds/,
    options(options) {
      let evicting = false;
      return {
        ...options,
        onEvent(event) {
          options.onEvent?.(event);
          // The wipe comes right after the event, in the same turn.
          evicting = event.type === "evicted";
          if (evicting) {
            queueMicrotask(() => {
              evicting = false;
            });
          }
        },
        keyMemory: {
          store(key) {
            const slot = options.keyMemory.store(key);
            return {
              use: (reader) => slot.use(reader),
              release: () => {
                if (!evicting) slot.release();
              },
              get released() {
                return slot.released;
              },
            };
          },
        },
      };
    },
  },
  {
    name: "no backoff and no circuit: a failing Core is asked without pause",
    foundAs: /too many calls/,
    options: (options) => ({
      ...options,
      calls: { failuresToOpen: Number.POSITIVE_INFINITY, missBudget: { perSecond: 1e9, burst: 1e9 } },
      tuning: { retry: { firstMs: 1, maxMs: 1 } },
    }),
  },
  {
    name: "an outage taken for an answer: a Core that is down makes keys unknown",
    foundAs: /which is not true/,
    options: (options) => ({
      ...options,
      source: {
        name: options.source.name,
        close: () => options.source.close(),
        async lease(request, signal) {
          try {
            return await options.source.lease(request, signal);
          } catch (error) {
            if (error instanceof KeySourceError && error.authoritative) throw error;
            throw new KeySourceError("key_not_found", "taken for an answer");
          }
        },
      },
    }),
  },
  {
    name: "wraps under whatever version comes first",
    foundAs: /wrapped under/,
    front: (cache) => ({
      active(tenant, service) {
        const held = cache.leases().find((lease) => lease.tenant === tenant && lease.service === service);
        const version = held?.versions.at(-1)?.version;
        return version === undefined ? cache.active(tenant, service) : cache.version(tenant, service, version);
      },
      version: (tenant, service, version) => cache.version(tenant, service, version),
      versions: (tenant, service) => cache.versions(tenant, service),
      close: () => cache.close(),
    }),
  },
  {
    name: "a revocation is taken for a rotation",
    foundAs: /gone past unapplied/,
    sink: (sink) => ({
      ...sink,
      deliver(event) {
        if (event.type !== "revoke" || event.service === undefined) return sink.deliver(event);
        const { log, seq, at, tenant, service, version = 1 } = event;
        sink.deliver({ type: "rotate", log, seq, at, tenant, service, version });
      },
      deliverSigned: async () => {},
    }),
  },
];

/** Found where authorities other than the Core give orders. */
export const PLANTED_AUTHORITY_BUGS: readonly PlantedBug[] = [
  {
    name: "the log's end is taken from before the block: a restoration on its way lifts it",
    foundAs: /has revoked it/,
    fence: (event) => ({ ...event, seq: 0 }),
  },
  {
    name: "an authority's revocation blocks and wipes nothing",
    foundAs: /has revoked it/,
    ignoresAuthorities: true,
  },
];

function uncounted(key: Uint8Array): KeySlot {
  const bytes = Uint8Array.from(key);
  return { use: (reader) => reader(bytes), release: () => bytes.fill(0), released: false };
}

function bound(clock: TtlLeaseCacheOptions["clock"]): TtlLeaseCacheOptions["clock"] {
  return {
    monotonicMs: () => clock.monotonicMs(),
    wallMs: () => clock.wallMs(),
    schedule: (delayMs, callback) => clock.schedule(delayMs, callback),
  };
}
