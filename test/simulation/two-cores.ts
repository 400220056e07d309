/**
 * A fleet over two Cores that share one store, in virtual time: the Cores' own registry, event log and event stream over a
 * real SQLite database, the edges' own lease cache, guard, stream and choice of a Core. Between them everything misbehaves: a
 * Core dies, is cut off from the store, or has a slow way to it; notifications get lost; answers take their time.
 */
import { KeyHierarchy } from "../../src/core/keys/hierarchy.ts";
import { KeyRegistry } from "../../src/core/keys/registry.ts";
import { openKeyStore } from "../../src/core/open-key-store.ts";
import type { LoggedEvent } from "../../src/core/protocol/events.ts";
import { createTtlLeaseCache, type TtlLeaseCache } from "../../src/edge/cache/ttl-lease-cache.ts";
import { combineCoreClients } from "../../src/edge/key-source/core/core-clients.ts";
import { createCoreKeySource } from "../../src/edge/key-source/core/core-key-source.ts";
import { createCoreEvents } from "../../src/edge/revocation/core-events.ts";
import { createCoreStream } from "../../src/edge/revocation/core-stream.ts";
import { createRevocationGuard } from "../../src/edge/revocation/guard.ts";
import { nodeCipher } from "../support/ciphers.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { Random } from "./random.ts";
import { clientOf, RETAINED_EVENTS, SimulatedCore, type TwoCoresBug, Way } from "./simulated-core.ts";

export interface TwoCoresOutcome {
  readonly violation: string | undefined;
  readonly uses: number;
  readonly refusals: number;
  readonly revocations: number;
  readonly faults: number;
  /** From a revocation's commit to the last use of its key at any edge, the longest of all. */
  readonly longestUseMs: number;
}

const SERVICES = 4;
const EDGES = 3;
const LENGTH_MS = 60_000;
const USE_EVERY_MS = 100;
/** docs/core.md: refused everywhere within this of the commit, one Core being up and at the store: heartbeat, dead stream, reconnection. */
const BOUND_MS = 8_000;

/** One history. The same seed gives the same one. */
export async function simulateTwoCores(seed: number, bug?: TwoCoresBug): Promise<TwoCoresOutcome> {
  const random = new Random(seed);
  const clock = new VirtualClock();
  const hierarchy = new KeyHierarchy(new Uint8Array(32).fill(7));
  const real = await openKeyStore({ database: ":memory:", retainedEvents: RETAINED_EVENTS, clock, hierarchy });
  const notifications = new Set<() => void>();
  const cores = ["one", "two"].map(
    (name) => new SimulatedCore(name, new Way(real, clock, random.fork(), notifications), clock, hierarchy, bug),
  );
  /** When each version's revocation was committed. */
  const revokedAtMs = new Map<string, number>();
  const stats = { uses: 0, refusals: 0, revocations: 0, faults: 0, longestUseMs: 0 };
  let violation: string | undefined;
  /** Since when a Core has been up and at the store without a break: the bound counts from there. */
  let goodSinceMs = 0;

  const starting = cores.map((core) => core.start());
  await clock.advance(100);
  await Promise.all(starting);
  const services = Array.from({ length: SERVICES }, (_, index) => `service-${index}`);
  const setUp = new KeyRegistry({
    store: real,
    hierarchy,
    now: () => clock.wallMs(),
    onCommitted: async () => undefined,
  });
  for (const service of services) await setUp.createService("tenant", service);

  const edges = Array.from({ length: EDGES }, (_, index) => {
    const seedOfEdge = random.fork();
    const id = `edge-${index}`;
    const client = combineCoreClients(
      cores.map((core) => clientOf(core, id, clock, seedOfEdge.fork())),
      clock,
      () => seedOfEdge.next(),
    );
    const events = createCoreEvents(client, () => undefined);
    const applied = new Set<string>();
    const guard = createRevocationGuard({
      clock,
      log: SILENT,
      core: events,
      maxSilenceMs: 30_000,
      onSilence: "renew_early",
      // Few, so that blocks are forgotten: then the numbers of leases have to carry the refusal.
      limits: { maxScopes: 1 },
      onApplied: (event) => {
        if (event.type === "revoke") applied.add(`${event.service}/${event.version}`);
      },
    });
    const cache: TtlLeaseCache = createTtlLeaseCache({
      source: createCoreKeySource(client),
      cipher: nodeCipher({ fillRandom: (bytes) => seedOfEdge.bytes(bytes) }),
      keyMemory: { store: storeInHeap },
      clock,
      gate: guard,
      ttlMs: 60_000,
      refreshAfterMs: 30_000,
      maxLeases: 100,
      random: () => seedOfEdge.next(),
    });
    guard.attach(cache);
    const sink = guard.sink("core");
    const transport = createCoreStream({ core: events, clock, random: () => seedOfEdge.next() });
    guard.start();
    void transport.start(sink);
    return { id, cache, guard, transport, applied };
  });

  const use = async (edge: (typeof edges)[number], service: string): Promise<void> => {
    try {
      const { version } = await edge.cache.active("tenant", service);
      stats.uses++;
      const key = `${service}/${version}`;
      const committedMs = revokedAtMs.get(key);
      if (committedMs === undefined) return;
      const afterMs = clock.monotonicMs() - committedMs;
      stats.longestUseMs = Math.max(stats.longestUseMs, afterMs);
      if (edge.applied.has(key)) violation ??= `${edge.id} used ${key} after it had applied its revocation`;
      if (clock.monotonicMs() - Math.max(committedMs, goodSinceMs) > BOUND_MS) {
        violation ??= `${edge.id} used ${key} ${Math.round(afterMs)} ms after its revocation`;
      }
    } catch {
      stats.refusals++;
    }
  };

  /** Revokes and rotates at a Core; what is not answered may have been committed: the store tells. */
  const change = async (core: SimulatedCore, service: string): Promise<void> => {
    const versions = (await real.services("tenant")).find((one) => one.service === service)!.versions;
    const active = versions.find(({ state }) => state === "active");
    if (active === undefined) return;
    const scope = { tenant: "tenant", service, version: active.version };
    await core.registry.revoke(scope, "compromised", "simulated", { rotate: true }).catch(() => undefined);
  };
  let seen = 0;
  const noteCommitted = async (): Promise<void> => {
    const events: LoggedEvent[] = await real.eventsAfter(seen, 1_000);
    for (const event of events) {
      seen = event.seq;
      if (event.type !== "revoke") continue;
      stats.revocations++;
      revokedAtMs.set(`${event.service}/${event.version}`, clock.monotonicMs());
    }
  };

  const isGood = (core: SimulatedCore): boolean => core.up && !core.way.isCut && core.way.delayMs < 100;
  const fault = (core: SimulatedCore): void => {
    stats.faults++;
    const forMs = random.between(2_000, 15_000);
    const kind = random.pick(["kill", "cut", "slow"] as const);
    if (kind === "kill") {
      core.kill();
      clock.schedule(
        forMs,
        () => void core.start().catch(() => clock.schedule(500, () => void core.start().catch(() => undefined))),
      );
    } else if (kind === "cut") {
      core.way.isCut = true;
      clock.schedule(forMs, () => {
        core.way.isCut = false;
      });
    } else {
      core.way.delayMs = random.between(100, 400);
      clock.schedule(forMs, () => {
        core.way.delayMs = 1;
      });
    }
  };

  for (let atMs = 0; atMs < LENGTH_MS && violation === undefined; atMs += USE_EVERY_MS) {
    if (!cores.some(isGood)) goodSinceMs = clock.monotonicMs();
    if (random.chance(0.02)) {
      // Mostly one at a time; at times both.
      const core = random.pick(cores);
      if (isGood(core) && (cores.every(isGood) || random.chance(0.1))) fault(core);
    }
    const able = cores.filter((core) => core.up);
    if (random.chance(0.08) && able.length > 0) {
      const core = random.pick(able);
      // At times all at once.
      for (const service of random.chance(0.3) ? services : [random.pick(services)]) void change(core, service);
    }
    for (const edge of edges) for (const service of services) void use(edge, service);
    await clock.advance(USE_EVERY_MS);
    await noteCommitted();
  }
  for (const edge of edges) {
    await edge.transport.close();
    edge.guard.close();
    edge.cache.close();
  }
  for (const core of cores) core.kill();
  await real.close();
  hierarchy.wipe();
  return { violation, ...stats };
}

function storeInHeap(key: Uint8Array) {
  const bytes = Uint8Array.from(key);
  let released = false;
  return {
    use<T>(reader: (key: Uint8Array) => T): T {
      if (released) throw new Error("This key was released.");
      return reader(bytes);
    },
    release() {
      released = true;
      bytes.fill(0);
    },
    get released() {
      return released;
    },
  };
}

const SILENT = { info() {}, warn() {}, error() {} };
