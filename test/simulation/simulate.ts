/**
 * One history of a small fleet, drawn from a seed: edges with the real lease cache and the real revocation guard, a Core, a
 * network and clocks that misbehave, applications that create and open keys, rotations and revocations. After each step
 * the invariants are checked; in the end everything heals, and then everything that may be used must be usable.
 */

import { OperationError } from "../../src/base/errors.ts";
import type { LeasedVersion } from "../../src/edge/cache/lease-cache.ts";
import { parseBlob } from "../../src/edge/cipher/blob.ts";
import { CoreModel, type ModelService } from "./core-model.ts";
import { type Bug, type EdgeSettings, SimulatedEdge } from "./edge.ts";
import { Invariants, Violation } from "./invariants.ts";
import { MachineClock } from "./machine-clock.ts";
import { CALM, Road } from "./network.ts";
import { Random } from "./random.ts";
import { Scheduler } from "./scheduler.ts";

const NO_CONTEXT = new Uint8Array(0);
const DATA_KEY_LENGTH = 32;
/** Two faults of the same clock are further apart than the longest time between two looks at it. */
const CLOCK_FAULT_GAP_MS = 2_500;
const HEAL_MS = 45_000;
const FINAL_MS = 12_000;
const BLOBS_MAX = 200;
const ISSUERS = ["governance", "red button"] as const;
/** Apart from the seeds of histories. */
const AUTHORITY_SEEDS = 1_000_000_007;
/** How often the edges' places in the event log are looked at. */
const PLACE_MS = 500;

export interface Outcome {
  readonly seed: number;
  /** What went wrong; undefined when every invariant held. */
  readonly violation: string | undefined;
  readonly atMs: number;
  readonly virtualMs: number;
  readonly steps: number;
  readonly uses: number;
  readonly calls: number;
  readonly revocations: number;
  /** Revocations that edges applied and went past in the log, all edges together. */
  readonly passed: number;
  /** Orders of authorities other than the Core that edges carried out. */
  readonly orders: number;
  /** A digest of the whole history: equal seeds give equal digests. */
  readonly digest: number;
}

interface Blob {
  readonly model: ModelService;
  readonly wrapped: Uint8Array;
  readonly dataKey: Uint8Array;
}

export interface SimulateOptions {
  /** Authorities other than the Core revoke and restore, too. Drawn apart, so that a history without them stays the same. */
  readonly authorities?: boolean;
}

export async function simulate(seed: number, bug?: Bug, options: SimulateOptions = {}): Promise<Outcome> {
  const world = new World(seed, bug, options);
  let violation: string | undefined;
  try {
    await world.run();
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
    violation = error.message;
  }
  return { seed, violation, ...world.figures() };
}

class World {
  readonly #random: Random;
  readonly #authority: Random | undefined;
  readonly #scheduler = new Scheduler();
  readonly #core: CoreModel;
  readonly #invariants: Invariants;
  readonly #edges: SimulatedEdge[] = [];
  readonly #settings: EdgeSettings;
  readonly #calmMs: number;
  readonly #faultsMs: number;
  readonly #blobs: Blob[] = [];
  readonly #clockFaultMs = new Map<SimulatedEdge, number>();
  #logChanged = false;
  #faulty = false;
  #digest = 0;

  constructor(seed: number, bug: Bug | undefined, { authorities = false }: SimulateOptions) {
    const random = new Random(seed);
    this.#authority = authorities ? new Random(seed + AUTHORITY_SEEDS) : undefined;
    this.#random = random;
    const ttlMs = 20_000;
    const services = random.whole(8, 12);
    this.#settings = {
      ttlMs,
      refreshAfterMs: ttlMs * 0.8,
      maxLeases: random.chance(0.3) ? random.whole(3, 7) : 1_000,
    };
    this.#calmMs = random.chance(0.5) ? ttlMs : 1_000;
    // Most histories are short, for there are many; one in five hundred lasts for an hour.
    this.#faultsMs = random.chance(0.002) ? 3_600_000 : random.whole(30_000, 120_000);
    this.#core = new CoreModel(this.#scheduler, random.fork(), { ttlMs, retention: random.whole(5, 40), services });
    this.#invariants = new Invariants(this.#scheduler, this.#core);
    const edges = random.whole(2, 4);
    for (let index = 0; index < edges; index++) {
      this.#edges.push(
        new SimulatedEdge({
          name: `edge-${index}`,
          clock: new MachineClock(this.#scheduler, random.whole(-500, 500)),
          road: new Road(this.#scheduler, random.fork()),
          broker: new Road(this.#scheduler, random.fork()),
          scheduler: this.#scheduler,
          random: random.fork(),
          core: this.#core,
          settings: this.#settings,
          observer: {
            asked: (edge, request) => this.#invariants.asked(edge, request),
            settled: (edge, moment, grant) => {
              this.#invariants.settled(edge, moment, grant);
              if (grant !== undefined)
                this.#useAtTheEnd(edge, moment.monotonicMs + this.#settings.ttlMs, grant.tenant, grant.service);
            },
            admitted: (edge, grant) => this.#invariants.admitted(edge, grant),
            applied: (edge, event) => this.#invariants.applied(edge, event),
            ordered: (edge, order) => this.#invariants.ordered(edge, order),
          },
          bug,
        }),
      );
    }
  }

  async run(): Promise<void> {
    const check = (): void => this.#invariants.check(this.#edges);
    for (const edge of this.#edges) {
      edge.start();
      void edge.cache.prewarm(this.#core.services);
      this.#work(edge);
    }
    this.#watchPlaces();
    await this.#scheduler.run(this.#calmMs, check);
    if (this.#calmMs >= this.#settings.ttlMs) this.#checkSpread();

    this.#faulty = true;
    this.#faults();
    if (this.#authority !== undefined) this.#giveOrders(this.#authority);
    await this.#scheduler.run(this.#calmMs + this.#faultsMs, check);
    this.#faulty = false;
    this.#heal();
    await this.#scheduler.run(this.#scheduler.nowMs + HEAL_MS, check);
    for (const edge of this.#edges) this.#invariants.caughtUp(edge);
    await this.#checkEverythingUsable(check);
  }

  #watchPlaces(): void {
    for (const edge of this.#edges) this.#invariants.placed(edge);
    this.#scheduler.after(PLACE_MS, () => this.#watchPlaces());
  }

  figures(): Omit<Outcome, "seed" | "violation"> {
    return {
      atMs: this.#scheduler.nowMs,
      virtualMs: this.#scheduler.nowMs,
      steps: this.#scheduler.steps,
      uses: this.#invariants.uses,
      calls: this.#invariants.calls,
      revocations: this.#core.committed.length,
      passed: this.#invariants.passed,
      orders: this.#invariants.orders,
      digest: this.#digest,
    };
  }

  // Applications

  #work(edge: SimulatedEdge): void {
    const random = this.#random.fork();
    const turn = (): void => {
      this.#scheduler.after(random.between(20, 2_500), turn);
      if (edge.clock.asleep) return;
      const blob = this.#blobs.length > 0 ? random.pick(this.#blobs) : undefined;
      const model = random.pick(this.#core.services);
      const times = random.chance(0.1) ? 5 : 1;
      for (let time = 0; time < times; time++) {
        if (blob === undefined || random.chance(0.5)) this.#create(edge, model, random);
        else this.#open(edge, blob);
      }
      if (random.chance(0.03)) this.#ask(edge, "tenant-0", `made-up-${random.whole(0, 20)}`, 0, () => {});
    };
    this.#scheduler.after(random.between(0, 2_000), turn);
  }

  #create(edge: SimulatedEdge, model: ModelService, random: Random, done?: (code: string) => void): void {
    this.#ask(
      edge,
      model.tenant,
      model.service,
      0,
      (leased) => {
        this.#invariants.used(edge, leased, "wrap");
        const dataKey = new Uint8Array(DATA_KEY_LENGTH);
        random.bytes(dataKey);
        const wrapped = leased.session.wrap(dataKey, NO_CONTEXT);
        const blob = { model, wrapped, dataKey };
        if (this.#blobs.length < BLOBS_MAX) this.#blobs.push(blob);
        else this.#blobs[random.whole(0, BLOBS_MAX - 1)] = blob;
      },
      done,
    );
  }

  #open(edge: SimulatedEdge, blob: Blob): void {
    const parsed = parseBlob(blob.wrapped);
    this.#ask(edge, parsed.tenant, parsed.service, parsed.version, (leased) => {
      this.#invariants.used(edge, leased, "open");
      const dataKey = leased.session.unwrap(parsed, NO_CONTEXT);
      if (!dataKey.every((byte, index) => byte === blob.dataKey[index])) {
        this.#invariants.fail(`${edge.name}: a blob opened to another key`);
      }
    });
  }

  /** What the operations do: the lease, at once or later, and its use in the same turn. `version` 0 is the active one. */
  #ask(
    edge: SimulatedEdge,
    tenant: string,
    service: string,
    version: number,
    use: (leased: LeasedVersion) => void,
    done: (code: string) => void = () => {},
  ): void {
    const { life } = edge;
    const refused = (error: unknown): void => {
      if (life !== edge.life) return;
      if (!(error instanceof OperationError)) {
        if (error instanceof Violation) throw error;
        this.#trouble(edge, error);
        return;
      }
      this.#note(error.code.length);
      this.#invariants.refused(edge, tenant, service, error.code);
      done(error.code);
    };
    const leased = (answer: LeasedVersion): void => {
      if (life !== edge.life) return;
      try {
        use(answer);
      } catch (error) {
        refused(error);
        return;
      }
      this.#note(answer.version);
      done("ok");
    };
    try {
      const answer = version === 0 ? edge.front.active(tenant, service) : edge.front.version(tenant, service, version);
      if (answer instanceof Promise) {
        answer.then(leased, refused).catch((error: unknown) => this.#trouble(edge, error));
      } else {
        leased(answer);
      }
    } catch (error) {
      refused(error);
    }
  }

  /** An error that no caller may ever see. */
  #trouble(edge: SimulatedEdge, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.#scheduler.after(0, () =>
      this.#invariants.fail(error instanceof Violation ? message : `${edge.name}: ${message}`),
    );
  }

  /** Uses the lease around the very moment of its hard deadline. */
  #useAtTheEnd(edge: SimulatedEdge, endMs: number, tenant: string, service: string): void {
    const model = this.#core.find(tenant, service);
    if (model === undefined) return;
    const { life } = edge;
    for (const offsetMs of [-1, 0, 0.5]) {
      edge.clock.schedule(endMs + offsetMs - edge.clock.monotonicMs(), () => {
        if (life === edge.life && !edge.clock.asleep) this.#create(edge, model, this.#random);
      });
    }
  }

  // Faults

  #faults(): void {
    const random = this.#random;
    this.#scheduler.after(random.between(200, 6_000), () => {
      if (!this.#faulty) return;
      const edge = random.pick(this.#edges);
      const model = random.pick(this.#core.services);
      const version = random.chance(0.6) ? model.versions.size : random.whole(1, model.versions.size);
      const scope = random.chance(0.6) ? "version" : random.chance(0.7) ? "service" : "tenant";
      switch (random.whole(0, 11)) {
        case 0:
        case 1:
          this.#storm(edge.road);
          break;
        case 2:
          this.#storm(edge.broker);
          break;
        case 3:
          this.#stopCore(random.chance(0.3) ? random.between(20_000, 45_000) : random.between(500, 8_000));
          break;
        case 4:
        case 5:
          this.#bendClocks(edge);
          break;
        case 6:
          if (random.chance(0.3)) edge.start();
          break;
        case 7:
          if (random.chance(0.15)) {
            this.#core.startLog();
            this.#logChanged = true;
          }
          break;
        case 8:
          for (let times = random.chance(0.2) ? 30 : 1; times > 0; times--)
            this.#core.rotate(random.pick(this.#core.services));
          break;
        case 9:
          this.#core.restore(model, scope, version);
          break;
        default:
          this.#core.revoke(model, scope, version);
          if (random.chance(0.7)) {
            this.#scheduler.after(random.between(1, 30_000), () => this.#core.restore(model, scope, version));
          }
          if (random.chance(0.5)) this.#core.rotate(model);
      }
      this.#faults();
    });
  }

  /** Each order goes to one edge, or to all of them, as a manager sends it; some come twice. */
  #giveOrders(random: Random): void {
    this.#scheduler.after(random.between(500, 8_000), () => {
      if (!this.#faulty) return;
      const issuer = random.pick(ISSUERS);
      const model = random.pick(this.#core.services);
      const { tenant, service } = model;
      const version = random.whole(1, model.versions.size);
      const scope = random.pick([{ tenant }, { tenant, service }, { tenant, service, version }]);
      const type = random.chance(0.6) ? "revoke" : "restore";
      const edges = random.chance(0.5) ? this.#edges : [random.pick(this.#edges)];
      for (const edge of edges) {
        for (let times = random.chance(0.2) ? 2 : 1; times > 0; times--) {
          this.#scheduler.after(random.between(0, 200), () => {
            if (this.#faulty && !edge.clock.asleep) edge.order({ type, issuer, scope, reason: "simulated" });
          });
        }
      }
      // What the Core restores in the same moments is on its way, or comes just after.
      if (random.chance(0.3)) {
        this.#scheduler.after(random.between(-100, 2_000), () =>
          this.#core.restore(model, random.pick(["version", "service", "tenant"] as const), version),
        );
      }
      this.#giveOrders(random);
    });
  }

  #storm(road: Road): void {
    const random = this.#random;
    road.weather = {
      lossRate: random.chance(0.5) ? random.between(0, 0.4) : 0,
      duplicationRate: random.between(0, 0.5),
      lateRate: random.chance(0.5) ? random.between(0, 0.5) : 0,
      partitioned: random.chance(0.3),
    };
    this.#scheduler.after(random.between(500, 40_000), () => {
      road.weather = { ...CALM };
    });
  }

  #stopCore(forMs: number): void {
    if (!this.#core.up) return;
    this.#core.up = false;
    for (const edge of this.#edges) edge.coreWentAway();
    this.#scheduler.after(forMs, () => {
      this.#core.up = true;
    });
  }

  #bendClocks(edge: SimulatedEdge): void {
    const random = this.#random;
    const nowMs = this.#scheduler.nowMs;
    if (edge.clock.asleep || nowMs - (this.#clockFaultMs.get(edge) ?? 0) < CLOCK_FAULT_GAP_MS) return;
    if (random.chance(0.5)) {
      const forMs = random.between(100, 40_000);
      edge.clock.sleep(forMs);
      this.#clockFaultMs.set(edge, nowMs + forMs);
    } else {
      const byMs = random.pick([1_000, 15_000, 60_000, 3_600_000]) * random.next();
      edge.clock.setWall(random.chance(0.6) ? -byMs : byMs);
      this.#clockFaultMs.set(edge, nowMs);
    }
  }

  #heal(): void {
    this.#core.up = true;
    if (this.#authority !== undefined) {
      for (const edge of this.#edges) {
        for (const { tenant } of this.#core.services) {
          for (const issuer of ISSUERS) {
            edge.clock.whenAwake(() => edge.order({ type: "restore", issuer, scope: { tenant }, reason: "simulated" }));
          }
        }
      }
    }
    for (const edge of this.#edges) {
      edge.road.weather = { ...CALM };
      edge.broker.weather = { ...CALM };
    }
  }

  // What must be so at certain moments

  /** Leases that began in the same moment must not be renewed in the same moment. */
  #checkSpread(): void {
    const leases = this.#edges.length * this.#core.services.length;
    if (this.#settings.maxLeases < this.#core.services.length) return;
    for (let second = 5; second < this.#settings.ttlMs / 1_000; second++) {
      const calls = this.#core.callsBySecond.get(second) ?? 0;
      if (calls > 0.75 * leases) this.#invariants.fail(`${calls} of ${leases} leases were renewed within a second`);
    }
  }

  async #checkEverythingUsable(check: () => void): Promise<void> {
    const random = this.#random.fork();
    const open = new Map<string, string | undefined>();
    const expected = new Map<string, boolean>();
    for (const edge of this.#edges) {
      for (const model of this.#core.services) {
        const { tenant, service } = model;
        const states = [...model.versions.values()].map(({ state }) => state);
        const name = `${edge.name}: ${tenant}/${service}`;
        const ask = (which: string, usable: boolean, start: (done: (code: string) => void) => void): void => {
          open.set(which, undefined);
          expected.set(which, usable);
          this.#scheduler.after(random.between(0, FINAL_MS / 2), () => start((code) => open.set(which, code)));
        };
        ask(`${name} active`, states.includes("active"), (done) => this.#create(edge, model, random, done));
        for (const [version, { state }] of [...model.versions].slice(-4)) {
          const isLeasable = state === "active" || state === "deprecated";
          ask(`${name}/${version}`, isLeasable, (done) =>
            this.#ask(edge, tenant, service, version, (leased) => this.#invariants.used(edge, leased, "open"), done),
          );
        }
      }
    }
    await this.#scheduler.run(this.#scheduler.nowMs + FINAL_MS, check);
    for (const [which, code] of open) {
      const isUsable = expected.get(which)!;
      // A restoration that only the log before knew of can't reach an edge: its block stays, which is safe.
      if (isUsable && this.#logChanged && code === "key_revoked") continue;
      if (isUsable !== (code === "ok")) {
        this.#invariants.fail(`${which} is ${isUsable ? "usable" : "revoked"}, and the edge says ${code ?? "nothing"}`);
      }
    }
  }

  #note(value: number): void {
    this.#digest = (Math.imul(this.#digest, 31) + value + Math.floor(this.#scheduler.nowMs)) >>> 0;
  }
}
