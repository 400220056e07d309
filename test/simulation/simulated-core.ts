/** The Cores of two-cores.ts: their own registry, event log and event stream, and the ways to and from them, in virtual time. */
import { EventEmitter } from "node:events";
import { EventLog } from "../../src/core/event-log.ts";
import { EventStream } from "../../src/core/event-stream.ts";
import type { KeyHierarchy } from "../../src/core/keys/hierarchy.ts";
import { KeyRegistry } from "../../src/core/keys/registry.ts";
import type { HttpResponse } from "../../src/core/node-http.ts";
import type { CoreError } from "../../src/core/protocol/core-error.ts";
import { type Store, StoreUnavailable } from "../../src/core/store/store.ts";
import { CoreCallError } from "../../src/edge/key-source/core/core-call-error.ts";
import type { CoreClient } from "../../src/edge/key-source/core/core-client.ts";
import { KeySourceError, type LeaseGrant, type LeaseRequest } from "../../src/edge/key-source/key-source.ts";
import type { VirtualClock } from "../support/virtual-clock.ts";
import type { Random } from "./random.ts";

/**
 * What a planted bug leaves out (core-protocol.md, "Several Cores"): the store asked before a stream begins and before each heartbeat.
 * That a lease's number is read with its states takes too rare a meeting for this; the model (test/model/two-cores.pml) shows it.
 */
export type TwoCoresBug = "vouching";

export const RETAINED_EVENTS = 1_000;
const STORE_TIMEOUT_MS = 1_000;

/** A Core's way to the store: slow, cut off, and its notifications are lost at times. */
export class Way {
  isCut = false;
  delayMs = 1;
  readonly store: Store;
  readonly #clock: VirtualClock;

  constructor(real: Store, clock: VirtualClock, random: Random, notifications: Set<() => void>) {
    this.#clock = clock;
    const through = async <T>(call: () => Promise<T>): Promise<T> => {
      await this.#pass();
      const result = await call();
      await this.#pass();
      return result;
    };
    this.store = new Proxy(real, {
      get: (target, name) => {
        if (name === "onCommit") {
          return (listener: () => void) => {
            notifications.add(() => {
              if (this.isCut || random.chance(0.1)) return;
              clock.schedule(this.delayMs * random.between(0.5, 2), listener);
            });
          };
        }
        const member = Reflect.get(target, name) as unknown;
        if (typeof member !== "function") return member;
        return (...parameters: unknown[]) =>
          through(() => member.apply(target, parameters) as Promise<unknown>).then((result) => {
            if (name === "change") for (const tell of notifications) tell();
            return result;
          });
      },
    });
  }

  async #pass(): Promise<void> {
    if (this.isCut) {
      await this.#wait(STORE_TIMEOUT_MS);
      throw new StoreUnavailable("cut off");
    }
    await this.#wait(this.delayMs);
    if (this.isCut) throw new StoreUnavailable("cut off on the way");
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => this.#clock.schedule(ms, resolve));
  }
}

/** What a stream is written to; the other end reads frames. */
class StreamEnd extends EventEmitter {
  statusCode = 0;
  destroyed = false;
  readonly writableLength = 0;
  readonly #read: (frame: string) => void;

  constructor(read: (frame: string) => void) {
    super();
    this.#read = read;
  }

  setHeader(): void {}

  removeHeader(): void {}

  write(frame: Buffer): boolean {
    if (!this.destroyed) this.#read(frame.toString());
    return true;
  }

  end(): void {
    this.destroy();
  }

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.emit("close");
  }
}

export class SimulatedCore {
  readonly way: Way;
  readonly name: string;
  up = false;
  registry!: KeyRegistry;
  readonly #ends = new Set<StreamEnd>();
  readonly #clock: VirtualClock;
  readonly #hierarchy: KeyHierarchy;
  readonly #bug: TwoCoresBug | undefined;
  #stream: EventStream | undefined;
  #life = 0;

  constructor(name: string, way: Way, clock: VirtualClock, hierarchy: KeyHierarchy, bug: TwoCoresBug | undefined) {
    this.name = name;
    this.way = way;
    this.#clock = clock;
    this.#hierarchy = hierarchy;
    this.#bug = bug;
  }

  async start(): Promise<void> {
    const life = ++this.#life;
    const eventLog = await EventLog.open(this.way.store, RETAINED_EVENTS, {
      event: (event) => this.#stream?.tell(event),
      newHistory: () => this.#stream?.newHistory(),
      lostEvents: () => undefined,
    });
    if (life !== this.#life) return;
    const bug = this.#bug;
    const vouching = bug === "vouching" ? async () => undefined : () => eventLog.refresh();
    this.#stream = new EventStream({
      clock: this.#clock,
      heartbeatMs: 1_000,
      log: Object.create(eventLog, {
        // A planted bug neither asks before a stream begins nor before a heartbeat.
        refresh: { value: vouching },
        log: { get: () => eventLog.log },
        lastSeq: { get: () => eventLog.lastSeq },
        oldestSeq: { get: () => eventLog.oldestSeq },
        eventsAfter: { value: (seq: number, limit: number) => eventLog.eventsAfter(seq, limit) },
      }) as EventLog,
    });
    this.registry = new KeyRegistry({
      store: this.way.store,
      hierarchy: this.#hierarchy,
      now: () => this.#clock.wallMs(),
      onCommitted: (events) => eventLog.committed(events).catch(() => undefined),
    });
    this.up = true;
  }

  /** As kill -9: every connection breaks. */
  kill(): void {
    this.up = false;
    this.#life++;
    this.#stream?.close();
    for (const end of this.#ends) end.destroy();
    this.#ends.clear();
  }

  async lease({ tenant, service, version }: LeaseRequest): Promise<LeaseGrant> {
    const opened = await this.registry.openVersions(tenant, service, version, 2);
    return {
      tenant,
      service,
      ttlMs: 60_000,
      refreshAfterMs: 1_000,
      log: opened.log,
      revocationSeq: opened.revocationSeq,
      versions: opened.versions,
    };
  }

  async follow(edge: string, end: StreamEnd, lastEventId: string | undefined): Promise<void> {
    this.#ends.add(end);
    await this.#stream!.open(edge, end as unknown as HttpResponse, lastEventId);
  }
}

/** A client of one Core, over a network that takes its time. */
export function clientOf(core: SimulatedCore, edge: string, clock: VirtualClock, random: Random): CoreClient {
  const trip = (): Promise<void> =>
    new Promise((resolve) =>
      clock.schedule(random.chance(0.2) ? random.between(50, 600) : random.between(1, 10), resolve),
    );
  const refused = (): CoreCallError => new CoreCallError(`${core.name} refuses the connection`);
  const call = async <T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> => {
    await trip();
    if (!core.up) throw refused();
    let outcome: () => T;
    try {
      const value = await work();
      outcome = () => value;
    } catch (error) {
      outcome = () => {
        throw failureOf(error);
      };
    }
    await trip();
    if (signal?.aborted) throw new CoreCallError("given up");
    return outcome();
  };
  return {
    url: new URL(`https://${core.name}.example`),
    lease: (request, signal) =>
      call(signal, () => core.lease(request)).catch((error: CoreCallError) => {
        const code = error.code === "key_revoked" || error.code === "key_not_found" ? error.code : "unavailable";
        throw new KeySourceError(code, error.message, { cause: error });
      }),
    keys: async () => ({ keys: [] }),
    usage: async () => ({ accepted: 0, duplicate: false }),
    applied: async () => undefined,
    async revocations(lastEventId, handlers, signal) {
      await trip();
      if (!core.up) throw refused();
      const { promise: ended, reject } = Promise.withResolvers<never>();
      ended.catch(() => undefined);
      let nextMs = clock.monotonicMs();
      const end = new StreamEnd((frame) => {
        const data = /^data: (.*)$/m.exec(frame)![1]!;
        nextMs = Math.max(nextMs, clock.monotonicMs() + random.between(1, 10));
        clock.schedule(nextMs - clock.monotonicMs(), () => {
          if (!signal.aborted && !end.destroyed) handlers.onMessage({ id: undefined, event: undefined, data } as never);
        });
      });
      end.on("close", () => clock.schedule(5, () => reject(new CoreCallError("the stream broke"))));
      signal.addEventListener("abort", () => end.destroy(), { once: true });
      await core.follow(edge, end, lastEventId).catch((error: unknown) => {
        throw failureOf(error);
      });
      handlers.onOpen?.();
      return ended;
    },
    reload: () => undefined,
    close: () => undefined,
  };
}

function failureOf(error: unknown): CoreCallError {
  if (error instanceof CoreCallError) return error;
  if (error instanceof StoreUnavailable) return new CoreCallError("away", { status: 503, code: "unavailable" });
  const { code, message } = error as CoreError;
  return new CoreCallError(message, { status: code === "key_revoked" ? 410 : 404, code });
}
