import type { LeaseCache, LeaseControl, LeaseGate } from "../../src/edge/cache/lease-cache.ts";
import {
  createTtlLeaseCache,
  type TtlLeaseCache,
  type TtlLeaseCacheOptions,
} from "../../src/edge/cache/ttl-lease-cache.ts";
import type { KeySlot } from "../../src/edge/key-memory/key-memory.ts";
import {
  type KeySource,
  KeySourceError,
  type LeaseGrant,
  type LeaseRequest,
} from "../../src/edge/key-source/key-source.ts";
import type { AuthorityOrder } from "../../src/edge/revocation/authority-blocks.ts";
import { DroppedEvent } from "../../src/edge/revocation/dropped-event.ts";
import { createRevocationGuard } from "../../src/edge/revocation/guard.ts";
import type { RevocationGuard } from "../../src/edge/revocation/revocation-guard.ts";
import type { RevocationEvent, RevocationSink } from "../../src/edge/revocation/revocation-transport.ts";
import { nodeCipher } from "../support/ciphers.ts";
import type { CoreModel } from "./core-model.ts";
import type { MachineClock } from "./machine-clock.ts";
import type { Road } from "./network.ts";
import type { Random } from "./random.ts";
import type { Scheduler } from "./scheduler.ts";

/** What a planted bug may put in the place of an honest part; see bugs.ts. */
export interface Bug {
  readonly name: string;
  options?(options: TtlLeaseCacheOptions): TtlLeaseCacheOptions;
  /** What the application talks to. */
  front?(cache: TtlLeaseCache, options: TtlLeaseCacheOptions): LeaseCache;
  /** What the guard talks to. */
  control?(cache: TtlLeaseCache): LeaseControl;
  /** What the transports talk to. */
  sink?(sink: RevocationSink): RevocationSink;
  /** What the guard hears where it asks how far the log goes. */
  fence?(event: RevocationEvent): RevocationEvent;
  readonly ignoresAuthorities?: boolean;
}

/** What the invariants want to know of an edge; see invariants.ts. */
export interface EdgeObserver {
  asked(edge: SimulatedEdge, request: LeaseRequest): AskedMoment;
  settled(edge: SimulatedEdge, moment: AskedMoment, grant: LeaseGrant | undefined): void;
  admitted(edge: SimulatedEdge, grant: Parameters<LeaseGate["admits"]>[0]): void;
  applied(edge: SimulatedEdge, event: RevocationEvent): void;
  ordered(edge: SimulatedEdge, order: AuthorityOrder): void;
}

export interface AskedMoment {
  readonly request: LeaseRequest;
  readonly trueMs: number;
  readonly monotonicMs: number;
  readonly wallMs: number;
}

export interface EdgeSettings {
  readonly ttlMs: number;
  readonly refreshAfterMs: number;
  readonly maxLeases: number;
}

const HEARTBEAT_MS = 3_000;
const STREAM_DEAD_MS = 8_000;

/** One edge: the real lease cache, the real guard and the real cipher, on a machine and a network that misbehave. */
export class SimulatedEdge {
  readonly name: string;
  readonly clock: MachineClock;
  /** The way to the Core; `broker` is the way of its events by a third party. */
  readonly road: Road;
  readonly broker: Road;
  readonly settings: EdgeSettings;
  cache!: TtlLeaseCache;
  front!: LeaseCache;
  guard!: RevocationGuard;
  /** Keys in key memory that were not wiped. */
  liveKeys = 0;
  /** How many lease events there were: something has changed when it grows. */
  leaseEvents = 0;
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #core: CoreModel;
  readonly #observer: EdgeObserver;
  readonly #bug: Bug | undefined;
  /** Grows with each restart: what was meant for the process before is lost. */
  #life = 0;
  #stream = 0;
  #streamHeardMs = 0;
  #streamNextMs = 0;
  #streamOpen = false;

  constructor(parts: {
    name: string;
    clock: MachineClock;
    road: Road;
    broker: Road;
    scheduler: Scheduler;
    random: Random;
    core: CoreModel;
    settings: EdgeSettings;
    observer: EdgeObserver;
    bug: Bug | undefined;
  }) {
    this.name = parts.name;
    this.clock = parts.clock;
    this.road = parts.road;
    this.broker = parts.broker;
    this.settings = parts.settings;
    this.#scheduler = parts.scheduler;
    this.#random = parts.random;
    this.#core = parts.core;
    this.#observer = parts.observer;
    this.#bug = parts.bug;
    this.#core.listeners.add((event) => this.#publish(event));
    this.#beat();
  }

  get life(): number {
    return this.#life;
  }

  /** The process starts; before that, the one before dies without a word. */
  start(): void {
    if (this.#life > 0) {
      this.cache.close();
      this.guard.close();
    }
    this.#life++;
    this.liveKeys = 0;
    const life = this.#life;
    const seed = this.#random.fork();
    this.guard = createRevocationGuard({
      clock: this.clock,
      log: SILENT,
      core: { follow: (lastEventId, onEvent, signal) => this.#follow(lastEventId, onEvent, signal) },
      verifier: {
        verify: async (jws) => {
          if (jws.startsWith("forged")) throw new DroppedEvent("bad_signature", "forged");
          return JSON.parse(jws) as RevocationEvent;
        },
      },
      maxSilenceMs: 10_000,
      onSilence: "renew_early",
      onApplied: (event) => this.#observer.applied(this, event),
      onAuthority: (order) => this.#observer.ordered(this, order),
      random: () => seed.next(),
    });
    const { guard } = this;
    const honest: TtlLeaseCacheOptions = {
      source: this.#source(life),
      cipher: nodeCipher({ fillRandom: (bytes) => seed.bytes(bytes) }),
      keyMemory: { store: (key) => this.#store(key) },
      clock: this.clock,
      gate: {
        isBlocked: (tenant, service, version) => guard.isBlocked(tenant, service, version),
        isOpen: () => guard.isOpen(),
        admits: (grant) => {
          const admitted = guard.admits(grant);
          if (admitted) this.#observer.admitted(this, grant);
          return admitted;
        },
      },
      ...this.settings,
      random: () => seed.next(),
      onEvent: () => {
        this.leaseEvents++;
      },
    };
    const options = this.#bug?.options?.(honest) ?? honest;
    this.cache = createTtlLeaseCache(options);
    this.front = this.#bug?.front?.(this.cache, options) ?? this.cache;
    guard.attach(this.#bug?.control?.(this.cache) ?? this.cache);
    const sinkOf = (transport: string): RevocationSink => {
      const sink = guard.sink(transport);
      return this.#bug?.sink?.(sink) ?? sink;
    };
    const stream = sinkOf("core");
    this.#brokerSink = sinkOf("broker");
    guard.start();
    this.#connect(stream, life);
  }

  #brokerSink: RevocationSink | undefined;

  /** An authority other than the Core gives an order, by a transport of its own that has verified it. */
  order(order: AuthorityOrder): void {
    if (this.#bug?.ignoresAuthorities === true) this.#observer.ordered(this, order);
    else this.#brokerSink?.applyAuthority(order);
  }

  #store(key: Uint8Array): KeySlot {
    const bytes = Uint8Array.from(key);
    const life = this.#life;
    let released = false;
    this.liveKeys++;
    return {
      use(reader) {
        if (released) throw new Error("This key was released.");
        return reader(bytes);
      },
      release: () => {
        if (released) return;
        released = true;
        bytes.fill(0);
        if (life === this.#life) this.liveKeys--;
      },
      get released() {
        return released;
      },
    };
  }

  // The Core, over the network

  #source(life: number): KeySource {
    return {
      name: "core",
      close: async () => {},
      lease: (request, signal) =>
        new Promise<LeaseGrant>((resolve, reject) => {
          const moment = this.#observer.asked(this, request);
          let over = false;
          const end = (settle: () => void, grant?: LeaseGrant): void => {
            if (over || life !== this.#life) return;
            over = true;
            signal.removeEventListener("abort", aborted);
            this.#observer.settled(this, moment, grant);
            settle();
          };
          const aborted = (): void => end(() => reject(unavailable("aborted")));
          signal.addEventListener("abort", aborted, { once: true });
          const refuse = (error: unknown): void =>
            this.road.send(() => this.clock.whenAwake(() => end(() => reject(error))));
          this.road.send(() => {
            if (!this.#core.up) return refuse(unavailable("connection refused"));
            let grant: LeaseGrant;
            try {
              grant = this.#core.lease(request);
            } catch (error) {
              return refuse(error);
            }
            this.road.send(() => this.clock.whenAwake(() => end(() => resolve(grant), grant)));
          });
        }),
    };
  }

  /** A stream asked for by the guard, to fill a hole: in order, and hanging where something of it is lost. */
  #follow(
    lastEventId: string | undefined,
    onEvent: (event: RevocationEvent) => void,
    signal: AbortSignal,
  ): Promise<void> {
    return new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(new Error("aborted")), { once: true });
      this.road.send(() => {
        if (!this.#core.up) {
          this.road.send(() => this.clock.whenAwake(() => reject(new Error("connection refused"))));
          return;
        }
        let arrivesMs = this.#scheduler.nowMs;
        for (const event of this.#core.backlog(lastEventId)) {
          if (this.road.isLost) return;
          arrivesMs = Math.max(arrivesMs, this.#scheduler.nowMs + this.road.delayMs);
          this.#scheduler.at(arrivesMs, () =>
            this.clock.whenAwake(() => {
              const isFence = lastEventId === undefined && this.#bug?.fence !== undefined;
              if (!signal.aborted) onEvent(isFence ? this.#bug!.fence!(event) : event);
            }),
          );
        }
      });
    });
  }

  // The direct stream: in order, or broken

  #connect(sink: RevocationSink, life: number): void {
    if (life !== this.#life) return;
    const stream = ++this.#stream;
    this.#streamOpen = false;
    const retry = (reason: string): void => {
      if (life !== this.#life || stream !== this.#stream) return;
      if (this.#streamOpen) sink.disconnected(reason);
      this.#streamOpen = false;
      this.#stream++;
      this.clock.schedule(this.#random.between(200, 2_000), () => this.#connect(sink, life));
    };
    const watch = (): void => {
      if (life !== this.#life || stream !== this.#stream) return;
      if (this.clock.monotonicMs() - this.#streamHeardMs >= STREAM_DEAD_MS) retry("silent");
      else this.clock.schedule(1_000, watch);
    };
    this.#streamHeardMs = this.clock.monotonicMs();
    watch();
    const lastEventId = sink.resumeAfter();
    this.road.send(() => {
      if (life !== this.#life || stream !== this.#stream) return;
      if (!this.#core.up) return this.road.send(() => this.clock.whenAwake(() => retry("refused")));
      this.#streamOpen = true;
      this.#streamNextMs = this.#scheduler.nowMs;
      this.#deliver = (event) => {
        if (life !== this.#life || stream !== this.#stream) return;
        // What is lost on a connection breaks it; what is sent meanwhile is lost with it.
        if (this.road.isLost) return void this.#scheduler.after(50, () => this.clock.whenAwake(() => retry("broken")));
        this.#streamNextMs = Math.max(this.#streamNextMs, this.#scheduler.nowMs + this.road.delayMs);
        this.#scheduler.at(this.#streamNextMs, () =>
          this.clock.whenAwake(() => {
            if (life !== this.#life || stream !== this.#stream) return;
            this.#streamHeardMs = this.clock.monotonicMs();
            sink.deliver(event);
          }),
        );
      };
      sink.connected();
      for (const event of this.#core.backlog(lastEventId)) this.#deliver(event);
    });
    this.#breakStream = () => retry("the Core went away");
  }

  #deliver: (event: RevocationEvent) => void = () => {};
  #breakStream: () => void = () => {};

  /** The Core's process died: its connections end. */
  coreWentAway(): void {
    this.clock.whenAwake(() => this.#breakStream());
  }

  #publish(event: RevocationEvent): void {
    if (this.#streamOpen && this.#core.up) this.#deliver(event);
    this.#scatter(event);
  }

  #scatter(event: RevocationEvent): void {
    const life = this.#life;
    this.broker.scatter(() =>
      this.clock.whenAwake(() => {
        if (life !== this.#life) return;
        void this.#brokerSink?.deliverSigned(JSON.stringify(event));
        if (this.#random.chance(0.02)) void this.#brokerSink?.deliverSigned(`forged ${JSON.stringify(event)}`);
      }),
    );
  }

  #beat(): void {
    this.#scheduler.after(HEARTBEAT_MS, () => {
      if (this.#core.up) {
        if (this.#streamOpen) this.#deliver(this.#core.heartbeat());
        this.#scatter(this.#core.heartbeat());
      }
      this.#beat();
    });
  }
}

const SILENT = { info() {}, warn() {}, error() {} };

function unavailable(message: string): KeySourceError {
  return new KeySourceError("unavailable", message);
}
