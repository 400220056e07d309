import type { LeasedVersion } from "../../src/edge/cache/lease-cache.ts";
import { DEFAULT_CALL_LIMITS } from "../../src/edge/cache/source-calls.ts";
import type { LeaseGrant, LeaseRequest } from "../../src/edge/key-source/key-source.ts";
import type { AuthorityOrder } from "../../src/edge/revocation/authority-blocks.ts";
import type { RevocationEvent } from "../../src/edge/revocation/revocation-transport.ts";
import { type CoreModel, covers, isWithin } from "./core-model.ts";
import type { AskedMoment, EdgeObserver, SimulatedEdge } from "./edge.ts";
import type { Scheduler } from "./scheduler.ts";

/** The wall clock may be a little off without counting as a jump. */
const CLOCK_GRACE_MS = 60;
/** How long after its deadline a key may stay in memory where nobody asks: a tick, and a hair. */
const WIPE_GRACE_MS = 1_100;
/** Calls of one edge within ten seconds: renewals, misses, and retries of both. */
const CALLS_PER_TEN_SECONDS = 260;

export class Violation extends Error {
  override readonly name = "Violation";
}

interface Delivered {
  readonly moment: AskedMoment;
  readonly ttlMs: number;
}

interface EdgeMemory {
  life: number;
  /** Grants that arrived, by tenant/service/version. */
  readonly delivered: Map<string, Delivered[]>;
  /** The active version by the newest grant on the whole service that the guard admitted. */
  readonly knownActive: Map<string, number>;
  /** The grant that arrived last, by service: the next to be admitted. */
  readonly arrived: Map<string, LeaseGrant>;
  readonly inFlight: Map<string, number>;
  /** Revocations applied, by the Core's own order of them. */
  applied: { order: number; event: RevocationEvent }[];
  /** What authorities have ordered, with the newest event that the Core had committed. */
  ordered: { order: AuthorityOrder; committed: number }[];
  /** Where the edge stood in the event log at the last look. */
  place: { life: number; log: string | undefined; seq: number; leaseDrops: number } | undefined;
  callTimes: number[];
  checkedChanges: number;
  checkedMs: number;
}

/** Knows the truth, and compares: the invariants of the leases and of the revocations. Throws `Violation`. */
export class Invariants implements EdgeObserver {
  readonly #scheduler: Scheduler;
  readonly #core: CoreModel;
  readonly #memories = new Map<SimulatedEdge, EdgeMemory>();
  /** Found where it can't be thrown. */
  #violation: Violation | undefined;
  calls = 0;
  uses = 0;
  /** Revocations that edges went past in the log, each with its application. */
  passed = 0;
  /** Orders of authorities that edges carried out. */
  orders = 0;
  readonly #everOrdered: AuthorityOrder[] = [];

  constructor(scheduler: Scheduler, core: CoreModel) {
    this.#scheduler = scheduler;
    this.#core = core;
  }

  // What happens

  asked(edge: SimulatedEdge, request: LeaseRequest): AskedMoment {
    const memory = this.#memoryOf(edge);
    const key = keyOf(request.tenant, request.service, request.version ?? 0);
    const inFlight = (memory.inFlight.get(key) ?? 0) + 1;
    memory.inFlight.set(key, inFlight);
    if (inFlight > 1) this.#fail(edge, `${inFlight} calls in flight for ${key}`);
    let all = 0;
    for (const count of memory.inFlight.values()) all += count;
    if (all > DEFAULT_CALL_LIMITS.maxInFlight) this.#fail(edge, `${all} calls in flight`);

    this.calls++;
    const nowMs = this.#scheduler.nowMs;
    memory.callTimes.push(nowMs);
    while (memory.callTimes[0]! < nowMs - 10_000) memory.callTimes.shift();
    if (memory.callTimes.length > CALLS_PER_TEN_SECONDS) this.#fail(edge, "too many calls in ten seconds");
    return { request, trueMs: nowMs, monotonicMs: edge.clock.monotonicMs(), wallMs: edge.clock.wallMs() };
  }

  settled(edge: SimulatedEdge, moment: AskedMoment, grant: LeaseGrant | undefined): void {
    const memory = this.#memoryOf(edge);
    const { tenant, service, version } = moment.request;
    const key = keyOf(tenant, service, version ?? 0);
    memory.inFlight.set(key, memory.inFlight.get(key)! - 1);
    if (grant === undefined) return;
    if (version === undefined) memory.arrived.set(keyOf(tenant, service, 0), structuredCloneOf(grant));
    for (const each of grant.versions) {
      const name = keyOf(tenant, service, each.version);
      const delivered = memory.delivered.get(name) ?? [];
      delivered.push({ moment, ttlMs: Math.min(grant.ttlMs, edge.settings.ttlMs) });
      memory.delivered.set(name, delivered.slice(-8));
    }
  }

  admitted(
    edge: SimulatedEdge,
    { tenant, service, revocationSeq }: { tenant: string; service: string; revocationSeq: number },
  ): void {
    const memory = this.#memoryOf(edge);
    const grant = memory.arrived.get(keyOf(tenant, service, 0));
    if (grant === undefined || grant.revocationSeq !== revocationSeq) return;
    const active = grant.versions.find(({ state }) => state === "active");
    if (active !== undefined) memory.knownActive.set(keyOf(tenant, service, 0), active.version);
  }

  applied(edge: SimulatedEdge, event: RevocationEvent): void {
    if (event.type !== "revoke") return;
    const committed = this.#core.committed.find(
      ({ event: known }) => known.log === event.log && known.seq === event.seq,
    );
    if (committed === undefined) this.#fail(edge, "an event was applied that the Core never committed");
    else this.#memoryOf(edge).applied.push(committed);
  }

  ordered(edge: SimulatedEdge, order: AuthorityOrder): void {
    this.orders++;
    const committed = this.#core.committed.at(-1)?.order ?? -1;
    this.#memoryOf(edge).ordered.push({ order, committed });
    this.#everOrdered.push(order);
  }

  // What must hold

  /**
   * An edge goes past no revocation in the log without having applied it, unless it has dropped every lease meanwhile.
   * Called now and then for each edge.
   */
  placed(edge: SimulatedEdge): void {
    const memory = this.#memoryOf(edge);
    const { log, seq, leaseDrops } = edge.guard.status();
    const before = memory.place;
    memory.place = { life: edge.life, log, seq, leaseDrops };
    if (before === undefined || before.log === undefined || before.life !== edge.life) return;
    if (before.log !== log || before.leaseDrops !== leaseDrops) return;
    for (const committed of this.#core.committed) {
      const { event } = committed;
      if (event.type !== "revoke" || event.log !== log || event.seq <= before.seq || event.seq > seq) continue;
      this.passed++;
      if (!memory.applied.includes(committed))
        this.#fail(edge, `revocation ${log}:${event.seq} was gone past unapplied`);
    }
  }

  /** With a live transport for long enough an edge stands where the Core does. */
  caughtUp(edge: SimulatedEdge): void {
    const { log, seq } = edge.guard.status();
    if (log === this.#core.log && seq === this.#core.seq) return;
    this.#fail(edge, `stands at ${log}:${seq} in the log when the Core is at ${this.#core.log}:${this.#core.seq}`);
  }

  /** A key is about to be used: may it? */
  used(edge: SimulatedEdge, leased: LeasedVersion, operation: "wrap" | "open"): void {
    this.uses++;
    const memory = this.#memoryOf(edge);
    const { tenant, service, version } = leased;
    const key = keyOf(tenant, service, version);
    const monotonicMs = edge.clock.monotonicMs();
    const wallMs = edge.clock.wallMs();
    const leasing = (memory.delivered.get(key) ?? []).filter(
      ({ moment, ttlMs }) => monotonicMs < moment.monotonicMs + ttlMs && wallMs < moment.wallMs + ttlMs,
    );
    if (leasing.length === 0) this.#fail(edge, `${key} was used after its hard deadline`);
    const trueMs = this.#scheduler.nowMs;
    if (!leasing.some(({ moment, ttlMs }) => trueMs < moment.trueMs + ttlMs + CLOCK_GRACE_MS)) {
      this.#fail(edge, `${key} was used after its deadline in true time, hidden by both clocks`);
    }
    if (operation === "wrap") {
      const known = memory.knownActive.get(keyOf(tenant, service, 0));
      if (leased.state !== "active" || known !== version) {
        this.#fail(edge, `wrapped under ${key} (${leased.state}), where the edge knew ${known} as active`);
      }
    }
    for (const { order, event } of memory.applied) {
      if (!covers(event, tenant, service, version)) continue;
      if (this.#core.wasRestoredAfter(order, tenant, service, version)) continue;
      this.#fail(edge, `${key} was used after revocation ${event.log}:${event.seq} had been applied`);
    }
    for (const [index, { order, committed }] of memory.ordered.entries()) {
      if (order.type !== "revoke" || !isWithin(order.scope, tenant, service, version)) continue;
      if (this.#core.wasRestoredAfter(committed, tenant, service, version)) continue;
      const isLifted = memory.ordered
        .slice(index + 1)
        .some(
          ({ order: later }) =>
            later.type === "restore" &&
            later.issuer === order.issuer &&
            isWithin(later.scope, tenant, service, version),
        );
      if (!isLifted) this.#fail(edge, `${key} was used although ${order.issuer} has revoked it`);
    }
  }

  /** A request was refused: is the reason true? */
  refused(edge: SimulatedEdge, tenant: string, service: string, code: string): void {
    const model = this.#core.find(tenant, service);
    if (code === "lease_unavailable" || code === "rate_limited") return;
    if (code === "key_not_found" && model === undefined) return;
    const revoked = this.#core.committed.some(
      ({ event }) =>
        event.type === "revoke" &&
        event.tenant === tenant &&
        (event.service === undefined || event.service === service),
    );
    if (code === "key_revoked" && revoked) return;
    const isOrdered = ({ scope }: AuthorityOrder): boolean =>
      scope.tenant === tenant && (scope.service ?? service) === service;
    if (code === "key_revoked" && this.#everOrdered.some(isOrdered)) return;
    this.#fail(edge, `${tenant}/${service} was refused as ${code}, which is not true`);
  }

  /** After each step. */
  check(edges: readonly SimulatedEdge[]): void {
    if (this.#violation !== undefined) throw this.#violation;
    for (const edge of edges) {
      if (edge.clock.asleep) continue;
      const memory = this.#memoryOf(edge);
      const nowMs = edge.clock.monotonicMs();
      // Nothing of this can have changed but by a lease event, a key stored or wiped, or time.
      const changes = edge.leaseEvents + edge.liveKeys / 1e6;
      if (changes === memory.checkedChanges && nowMs - memory.checkedMs < 250) continue;
      memory.checkedChanges = changes;
      memory.checkedMs = nowMs;
      let keys = 0;
      for (const lease of edge.cache.leases()) {
        keys += lease.versions.length;
        if (lease.remainingMs > 0) continue;
        const overdueMs = this.#overdueMs(edge, lease.tenant, lease.service, lease.versions[0]!.version, nowMs);
        if (overdueMs > WIPE_GRACE_MS) this.#fail(edge, `${lease.tenant}/${lease.service} is over and was not wiped`);
      }
      if (keys !== edge.liveKeys) {
        this.#fail(edge, `key memory holds ${edge.liveKeys} keys for the ${keys} that are leased`);
      }
    }
    if (this.#violation !== undefined) throw this.#violation;
  }

  fail(message: string): never {
    throw new Violation(message);
  }

  /** Since when, by the machine's own monotonic clock, no grant for the version holds. */
  #overdueMs(edge: SimulatedEdge, tenant: string, service: string, version: number, nowMs: number): number {
    const delivered = this.#memoryOf(edge).delivered.get(keyOf(tenant, service, version)) ?? [];
    return Math.min(...delivered.map(({ moment, ttlMs }) => nowMs - (moment.monotonicMs + ttlMs)));
  }

  #fail(edge: SimulatedEdge, message: string): void {
    this.#violation ??= new Violation(`${edge.name}: ${message}`);
  }

  #memoryOf(edge: SimulatedEdge): EdgeMemory {
    let memory = this.#memories.get(edge);
    if (memory === undefined || memory.life !== edge.life) {
      memory = {
        life: edge.life,
        delivered: new Map(),
        knownActive: new Map(),
        arrived: new Map(),
        inFlight: new Map(),
        applied: [],
        ordered: [],
        place: undefined,
        callTimes: memory?.callTimes ?? [],
        checkedChanges: -1,
        checkedMs: 0,
      };
      this.#memories.set(edge, memory);
    }
    return memory;
  }
}

function keyOf(tenant: string, service: string, version: number): string {
  return `${tenant}/${service}/${version}`;
}

/** The cache wipes the grant's keys; what is remembered here needs none. */
function structuredCloneOf(grant: LeaseGrant): LeaseGrant {
  return { ...grant, versions: grant.versions.map((each) => ({ ...each, key: new Uint8Array(0) })) };
}
