/** What a hit in the lease cache costs with one lease and with 100,000, and what 100,000 leases take of memory. */

import { systemClock } from "../src/base/time/system-clock.ts";
import { createTtlLeaseCache, type TtlLeaseCache } from "../src/edge/cache/ttl-lease-cache.ts";
import { openKeyMemory } from "../src/edge/key-memory/open-key-memory.ts";
import type { KeySource } from "../src/edge/key-source/key-source.ts";
import { CIPHER } from "./harness/ciphers.ts";
import type { BenchContext } from "./harness/context.ts";
import { compare, interleave, median, ratePerCpuSecond, spread } from "./harness/rounds.ts";
import { type Row, row } from "./harness/row.ts";

export const about = "a hit in the lease cache with 1 and with 100,000 leases, and their memory";
export const guards = true;

const MANY = 100_000;
const SERVICES_PER_TENANT = 10;

interface Name {
  readonly tenant: string;
  readonly service: string;
}

const source: KeySource = {
  name: "bench",
  close: async () => {},
  lease: async ({ tenant, service }) => ({
    tenant,
    service,
    ttlMs: 3_600_000,
    refreshAfterMs: 3_600_000,
    log: undefined,
    revocationSeq: 0,
    versions: [
      { version: 2, state: "active", key: crypto.getRandomValues(new Uint8Array(32)) },
      { version: 1, state: "deprecated", key: crypto.getRandomValues(new Uint8Array(32)) },
    ],
  }),
};

export async function run(context: BenchContext): Promise<Row[]> {
  const few = await filled(context, 1);
  const beforeBytes = heapBytes();
  const many = await filled(context, MANY);
  const heapPerLease = (heapBytes() - beforeBytes) / MANY;

  // As requests bring them: equal to the cache's own strings, not the same ones; in an order that visits all of them.
  const names = JSON.parse(JSON.stringify(Array.from({ length: MANY }, (_, index) => nameOf(index)))) as Name[];
  const shuffled = names.map((_, index) => names[(index * 61_703) % MANY]!);
  const plain = new Map<string, Map<string, object>>();
  for (const { tenant, service } of Array.from({ length: MANY }, (_, index) => nameOf(index))) {
    const services = plain.get(tenant) ?? new Map<string, object>();
    plain.set(tenant, services.set(service, { tenant }));
  }
  const one = names[0]!;
  let place = 0;
  const next = (): Name => {
    place = place + 1 === MANY ? 0 : place + 1;
    return shuffled[place]!;
  };
  const samples = await interleave(
    {
      one: () => nanosecondsOf(() => void few.cache.active(one.tenant, one.service), context),
      oneOfMany: () => nanosecondsOf(() => void many.cache.active(one.tenant, one.service), context),
      anyOfMany: () =>
        nanosecondsOf(() => {
          const { tenant, service } = next();
          many.cache.active(tenant, service);
        }, context),
      anyOfMaps: () =>
        nanosecondsOf(() => {
          const { tenant, service } = next();
          sink = plain.get(tenant)!.get(service);
        }, context),
      clocks: () =>
        nanosecondsOf(() => {
          sink = systemClock.monotonicMs() + systemClock.wallMs();
        }, context),
    },
    context.rounds,
  );
  const floor = samples.anyOfMaps.map((ns, round) => ns + samples.clocks[round]!);
  return [
    row({
      name: "leases: a hit, one lease held",
      value: median(samples.one),
      unit: "ns",
      spread: spread(samples.one),
      goal: { of: "value", atMost: 100 },
      note: `of which reading the two clocks takes ${median(samples.clocks).toFixed(0)} ns`,
    }),
    row({
      name: "leases: a hit, the same lease among 100,000",
      ...compare(samples.oneOfMany, samples.one),
      baselineName: "one lease held",
      unit: "ns",
      goal: { of: "ratio", atMost: 1.15 },
    }),
    row({
      name: "leases: a hit, any of 100,000 at random",
      ...compare(samples.anyOfMany, floor),
      baselineName: "two plain maps of as many at random, and the clocks",
      unit: "ns",
      goal: { of: "ratio", atMost: 2 },
      note: "at random the processor waits for memory, whoever keeps the table",
    }),
    row({
      name: "leases: heap of one of 100,000 (2 versions)",
      value: heapPerLease,
      unit: "bytes",
      goal: { of: "value", atMost: 2_000 },
      note: `and ${many.keyMemoryBytes() / MANY} bytes of key memory`,
    }),
  ];
}

/** Keeps the engine from leaving out what is measured. */
let sink: unknown;
export const measured = (): unknown => sink;

function nameOf(index: number): Name {
  const tenant = Math.floor(index / SERVICES_PER_TENANT);
  return { tenant: `tenant-${tenant}`, service: `service-${index % SERVICES_PER_TENANT}` };
}

async function filled(context: BenchContext, leases: number) {
  const keyMemory = await openKeyMemory({ choice: "auto", expectedKeys: leases * 2, warn: () => {} });
  context.cleanUp(() => keyMemory.close());
  const cache: TtlLeaseCache = createTtlLeaseCache({
    source,
    cipher: CIPHER,
    keyMemory,
    clock: systemClock,
    gate: { isBlocked: () => false, admits: () => true, isOpen: () => true },
    ttlMs: 3_600_000,
    refreshAfterMs: 3_600_000,
    maxLeases: leases,
  });
  context.cleanUp(() => cache.close());
  for (let index = 0; index < leases; index += 100) {
    const last = Math.min(leases, index + 100);
    const names = Array.from({ length: last - index }, (_, offset) => nameOf(index + offset));
    await Promise.all(names.map(({ tenant, service }) => cache.active(tenant, service)));
  }
  return { cache, keyMemoryBytes: () => keyMemory.stats.keys * 32 };
}

function heapBytes(): number {
  Bun.gc(true);
  return process.memoryUsage().heapUsed;
}

function nanosecondsOf(operation: () => void, context: BenchContext): number {
  return 1e9 / ratePerCpuSecond(operation, context.sampleMs);
}
