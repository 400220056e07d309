import type { RevocationScope } from "../../src/edge/cache/lease-cache.ts";
import {
  KeySourceError,
  type LeasableState,
  type LeaseGrant,
  type LeaseRequest,
} from "../../src/edge/key-source/key-source.ts";
import type { RevocationEvent } from "../../src/edge/revocation/revocation-transport.ts";
import { utcOf } from "./machine-clock.ts";
import type { Random } from "./random.ts";
import type { Scheduler } from "./scheduler.ts";

type VersionState = LeasableState | "compromised" | "destroyed";

interface ModelVersion {
  state: VersionState;
  readonly key: Uint8Array;
}

export interface ModelService {
  readonly tenant: string;
  readonly service: string;
  readonly versions: Map<number, ModelVersion>;
  /** Revoked as a whole, and not restored as a whole: new versions wait for that. */
  revoked: boolean;
}

/** A `revoke` or `restore` that the Core committed, in the order of truth, across logs. */
export interface Committed {
  readonly order: number;
  readonly event: RevocationEvent;
}

export type EventListener = (event: RevocationEvent) => void;

/** A Core as core-protocol.md has it, without the network: leases, states, the event log with its retention. */
export class CoreModel {
  up = true;
  log = "log-1";
  seq = 0;
  readonly ttlMs: number;
  readonly services: ModelService[] = [];
  /** Every revocation and restoration ever, which no edge sees whole. */
  readonly committed: Committed[] = [];
  readonly listeners = new Set<EventListener>();
  /** Lease questions that reached the Core, by second. */
  readonly callsBySecond = new Map<number, number>();
  #events: RevocationEvent[] = [];
  readonly #retention: number;
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  #logs = 1;

  constructor(scheduler: Scheduler, random: Random, options: { ttlMs: number; retention: number; services: number }) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.ttlMs = options.ttlMs;
    this.#retention = options.retention;
    for (let index = 0; index < options.services; index++) {
      const tenant = `tenant-${index % 3}`;
      this.services.push({ tenant, service: `service-${index}`, versions: new Map(), revoked: false });
      this.#addVersion(this.services[index]!);
    }
  }

  find(tenant: string, service: string): ModelService | undefined {
    return this.services.find((model) => model.tenant === tenant && model.service === service);
  }

  /** Answers as the Core would at this moment. @throws {KeySourceError} */
  lease({ tenant, service, version }: LeaseRequest): LeaseGrant {
    const second = Math.floor(this.#scheduler.nowMs / 1_000);
    this.callsBySecond.set(second, (this.callsBySecond.get(second) ?? 0) + 1);
    const model = this.find(tenant, service);
    if (model === undefined) throw new KeySourceError("key_not_found", "no such service");
    const wanted = version === undefined ? this.#recent(model) : [version];
    const versions = wanted.map((number) => {
      const known = model.versions.get(number);
      if (known === undefined) throw new KeySourceError("key_not_found", "no such version");
      if (known.state !== "active" && known.state !== "deprecated")
        throw new KeySourceError("key_revoked", known.state);
      return { version: number, state: known.state, key: Uint8Array.from(known.key) };
    });
    if (version === undefined && !versions.some(({ state }) => state === "active")) {
      throw new KeySourceError("key_revoked", "no active version");
    }
    return {
      tenant,
      service,
      ttlMs: this.ttlMs,
      refreshAfterMs: this.ttlMs * 0.8,
      log: this.log,
      revocationSeq: this.seq,
      versions,
    };
  }

  /** What a stream that resumes here begins with; a `reset` where the place is out of retention. */
  backlog(lastEventId: string | undefined): RevocationEvent[] {
    if (lastEventId === undefined) return [this.heartbeat()];
    const [log, after] = [lastEventId.slice(0, lastEventId.lastIndexOf(":")), Number(lastEventId.split(":").at(-1))];
    const oldest = this.#events[0]?.seq ?? this.seq + 1;
    if (log !== this.log || after > this.seq || after < oldest - 1) {
      return [{ type: "reset", log: this.log, seq: this.seq, at: this.#now(), reason: "out of retention" }];
    }
    return [...this.#events.filter(({ seq }) => seq > after), this.heartbeat()];
  }

  heartbeat(): RevocationEvent {
    return { type: "heartbeat", log: this.log, seq: this.seq, at: this.#now() };
  }

  /** Makes a new active version, unless the whole service is revoked: that takes a `restore` first. */
  rotate(model: ModelService): void {
    if (model.revoked) return;
    const version = this.#addVersion(model);
    const { tenant, service } = model;
    this.#commit({ type: "rotate", ...this.#next(), tenant, service, version });
  }

  revoke(model: ModelService, scope: "version" | "service" | "tenant", version: number): void {
    const state = scope === "version" && this.#random.chance(0.3) ? "destroyed" : "compromised";
    const { tenant, service } = model;
    for (const [each, , known] of this.#covered(model, scope, version)) {
      if (scope !== "version") each.revoked = true;
      if (known.state !== "destroyed") known.state = state;
    }
    const named = scope === "tenant" ? {} : scope === "service" ? { service } : { service, version };
    this.#commit({ type: "revoke", ...this.#next(), tenant, ...named, state, reason: "simulated" });
  }

  /** Lifts what was compromised; what was destroyed is gone. */
  restore(model: ModelService, scope: "version" | "service" | "tenant", version: number): void {
    const { tenant, service } = model;
    for (const [each, number, known] of this.#covered(model, scope, version)) {
      if (scope !== "version") each.revoked = false;
      if (known.state !== "compromised") continue;
      const active = [...each.versions].find(([, other]) => other.state === "active")?.[0];
      if (active === undefined || active < number) {
        if (active !== undefined) each.versions.get(active)!.state = "deprecated";
        known.state = "active";
      } else {
        known.state = "deprecated";
      }
    }
    const named = scope === "tenant" ? {} : scope === "service" ? { service } : { service, version };
    this.#commit({ type: "restore", ...this.#next(), tenant, ...named });
  }

  /** The event log starts anew, under another name; what is revoked stays so. */
  startLog(): void {
    this.#logs++;
    this.log = `log-${this.#logs}`;
    this.seq = this.#random.whole(0, 3);
    this.#events = [];
  }

  /** Whether a `restore` of this scope was committed after `order`. */
  wasRestoredAfter(order: number, tenant: string, service: string, version: number): boolean {
    return this.committed.some(
      ({ order: later, event }) => later > order && event.type === "restore" && covers(event, tenant, service, version),
    );
  }

  *#covered(
    model: ModelService,
    scope: "version" | "service" | "tenant",
    version: number,
  ): Generator<[ModelService, number, ModelVersion]> {
    for (const each of this.services) {
      if (each.tenant !== model.tenant || (scope !== "tenant" && each !== model)) continue;
      for (const [number, known] of each.versions) {
        if (scope !== "version" || number === version) yield [each, number, known];
      }
    }
  }

  /** The active version and some of the deprecated ones. */
  #recent(model: ModelService): number[] {
    const leasable = [...model.versions].filter(([, { state }]) => state === "active" || state === "deprecated");
    const numbers = leasable.map(([number]) => number).sort((a, b) => b - a);
    const active = leasable.find(([, { state }]) => state === "active")?.[0];
    if (active === undefined) return numbers.length > 0 ? [numbers[0]!] : [...model.versions.keys()].slice(-1);
    return [active, ...numbers.filter((number) => number !== active).slice(0, 1)];
  }

  #addVersion(model: ModelService): number {
    const version = model.versions.size + 1;
    for (const known of model.versions.values()) if (known.state === "active") known.state = "deprecated";
    const key = new Uint8Array(32);
    this.#random.bytes(key);
    model.versions.set(version, { state: "active", key });
    return version;
  }

  #next(): { log: string; seq: number; at: string } {
    this.seq++;
    return { log: this.log, seq: this.seq, at: this.#now() };
  }

  #now(): string {
    return new Date(utcOf(this.#scheduler.nowMs)).toISOString();
  }

  #commit(event: RevocationEvent): void {
    this.#events.push(event);
    if (this.#events.length > this.#retention) this.#events.shift();
    this.committed.push({ order: this.committed.length, event });
    for (const listener of this.listeners) listener(event);
  }
}

/** Whether the event's scope holds the version. */
export function covers(event: RevocationEvent, tenant: string, service: string, version: number): boolean {
  return (event.type === "revoke" || event.type === "restore") && isWithin(event, tenant, service, version);
}

export function isWithin(scope: RevocationScope, tenant: string, service: string, version: number): boolean {
  return (
    scope.tenant === tenant &&
    (scope.service === undefined || scope.service === service) &&
    (scope.version === undefined || scope.version === version)
  );
}
