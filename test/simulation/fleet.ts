/**
 * The fleet: 10,000 edges of 50 keys each that start in the same second, and the Core gone for ten minutes. What the Core
 * sees of them, second by second, with the real lease cache; and with fixed-tick expiry, where all keys of a process are
 * dropped together every five minutes and fetched again as they are needed, as caches with one timer for all do.
 */
import { writeFileSync } from "node:fs";
import type { Clock, Timer } from "../../src/base/time/clock.ts";
import { createTtlLeaseCache } from "../../src/edge/cache/ttl-lease-cache.ts";
import type { Cipher } from "../../src/edge/cipher/cipher.ts";
import type { KeySlot } from "../../src/edge/key-memory/key-memory.ts";
import {
  type KeySource,
  KeySourceError,
  type LeaseGrant,
  type LeaseRequest,
} from "../../src/edge/key-source/key-source.ts";
import { plotFleet } from "./fleet-plot.ts";
import { Random } from "./random.ts";

export interface FleetOptions {
  readonly edges: number;
  readonly keys: number;
  readonly svg?: string | undefined;
}

export const TTL_MS = 300_000;
const REFRESH_AFTER_MS = 240_000;
export const CORE_GONE_MS = 600_000;
export const CORE_BACK_MS = 1_200_000;
const END_MS = 1_800_000;
/** Every key of every edge is needed this often; one that is not there, every two seconds. */
const NEED_EVERY_MS = 10_000;
const NEED_AGAIN_MS = 2_000;
/** The Core answers this many requests a second for each 10,000 edges, and sends the others away for two seconds. */
const CORE_PER_SECOND = 20_000;
const CORE_RETRY_AFTER_MS = 2_000;

export interface FleetSeries {
  readonly name: string;
  /** Requests that came to the Core (or to the place where it was), by second. */
  readonly requests: Float64Array;
  /** Keys that were needed and were not there, by second. */
  readonly missing: Float64Array;
}

/** Time in whole milliseconds; everything due in one of them runs together, then promises settle. */
class Wheel {
  nowMs = 0;
  readonly #slots: ((() => void)[] | undefined)[] = [];

  at(atMs: number, run: () => void): void {
    const slot = Math.max(this.nowMs + 1, Math.ceil(atMs));
    if (slot > END_MS) return;
    const runs = this.#slots[slot];
    if (runs === undefined) this.#slots[slot] = [run];
    else runs.push(run);
  }

  async run(): Promise<void> {
    for (this.nowMs = 0; this.nowMs <= END_MS; this.nowMs++) {
      const runs = this.#slots[this.nowMs];
      if (runs === undefined) continue;
      for (const run of runs) run();
      this.#slots[this.nowMs] = undefined;
      for (let turn = 0; turn < 12; turn++) await undefined;
    }
  }
}

class FleetCore {
  readonly requests = new Float64Array(END_MS / 1_000 + 1);
  readonly #perSecond: number;
  readonly #wheel: Wheel;
  readonly #random: Random;
  #second = -1;
  #served = 0;

  constructor(wheel: Wheel, random: Random, edges: number) {
    this.#wheel = wheel;
    this.#random = random;
    this.#perSecond = (CORE_PER_SECOND * edges) / 10_000;
  }

  /** Answers after a round trip: 0, or how long to stay away; -1 when nobody is there. */
  ask(answer: (retryAfterMs: number) => void): void {
    const wheel = this.#wheel;
    const second = Math.floor(wheel.nowMs / 1_000);
    this.requests[second]!++;
    if (second !== this.#second) {
      this.#second = second;
      this.#served = 0;
    }
    const isThere = wheel.nowMs < CORE_GONE_MS || wheel.nowMs >= CORE_BACK_MS;
    const verdict = !isThere ? -1 : ++this.#served > this.#perSecond ? CORE_RETRY_AFTER_MS : 0;
    wheel.at(wheel.nowMs + this.#random.between(10, 40), () => answer(verdict));
  }
}

/** Calls `need` for every key, now and then, as the applications of an edge do; `need` answers whether it is there. */
function applications(
  wheel: Wheel,
  startMs: number,
  keys: number,
  missing: Float64Array,
  need: (key: number) => boolean,
): void {
  let lackingAll = Array.from({ length: keys }, (_, key) => key);
  let fullMs = 0;
  const turn = (): void => {
    const isFull = wheel.nowMs >= fullMs;
    if (isFull) fullMs = wheel.nowMs + NEED_EVERY_MS;
    const lacking: number[] = [];
    if (isFull) for (let key = 0; key < keys; key++) if (!need(key)) lacking.push(key);
    if (!isFull) for (const key of lackingAll) if (!need(key)) lacking.push(key);
    lackingAll = lacking;
    missing[Math.floor(wheel.nowMs / 1_000)]! += lacking.length;
    wheel.at(lacking.length > 0 ? Math.min(fullMs, wheel.nowMs + NEED_AGAIN_MS) : fullMs, turn);
  };
  wheel.at(startMs, turn);
}

export async function leasedFleet({ edges, keys }: FleetOptions): Promise<FleetSeries> {
  const wheel = new Wheel();
  const random = new Random(602);
  const core = new FleetCore(wheel, random, edges);
  const missing = new Float64Array(END_MS / 1_000 + 1);
  const clock: Clock = {
    monotonicMs: () => wheel.nowMs,
    wallMs: () => wheel.nowMs,
    schedule(delayMs, callback): Timer {
      let cancelled = false;
      wheel.at(wheel.nowMs + delayMs, () => {
        if (!cancelled) callback();
      });
      return {
        cancel: () => {
          cancelled = true;
        },
      };
    },
  };
  const key = new Uint8Array(32);
  const source: KeySource = {
    name: "core",
    close: async () => {},
    lease: ({ tenant, service }: LeaseRequest) =>
      new Promise<LeaseGrant>((resolve, reject) =>
        core.ask((retryAfterMs) => {
          if (retryAfterMs !== 0) {
            const options = retryAfterMs > 0 ? { retryAfterMs } : {};
            return reject(new KeySourceError("unavailable", "simulated", options));
          }
          resolve({
            tenant,
            service,
            ttlMs: TTL_MS,
            refreshAfterMs: REFRESH_AFTER_MS,
            log: "log-1",
            revocationSeq: 0,
            versions: [{ version: 1, state: "active", key }],
          });
        }),
      ),
  };
  const names = Array.from({ length: keys }, (_, index) => `service-${index}`);
  for (let edge = 0; edge < edges; edge++) {
    const cache = createTtlLeaseCache({
      source,
      cipher: UNUSED_CIPHER,
      keyMemory: { store: () => NO_SLOT },
      clock,
      gate: { isBlocked: () => false, admits: () => true, isOpen: () => true },
      ttlMs: TTL_MS,
      refreshAfterMs: REFRESH_AFTER_MS,
      maxLeases: 1_000,
      random: () => random.next(),
      tuning: { tickMs: 60_000 },
    });
    applications(wheel, random.between(0, 1_000), keys, missing, (index) => {
      try {
        const answer = cache.active("tenant-a", names[index]!);
        if (!(answer instanceof Promise)) return true;
        answer.catch(() => {});
      } catch {
        // Refused for now.
      }
      return false;
    });
  }
  await wheel.run();
  return { name: "crypto-edge", requests: core.requests, missing };
}

export async function fixedTickFleet({ edges, keys }: FleetOptions): Promise<FleetSeries> {
  const wheel = new Wheel();
  const random = new Random(602);
  const core = new FleetCore(wheel, random, edges);
  const missing = new Float64Array(END_MS / 1_000 + 1);
  for (let edge = 0; edge < edges; edge++) {
    const held = new Set<number>();
    const asked = new Set<number>();
    const startMs = random.between(0, 1_000);
    const drop = (): void => {
      held.clear();
      wheel.at(wheel.nowMs + TTL_MS, drop);
    };
    wheel.at(startMs + TTL_MS, drop);
    applications(wheel, startMs, keys, missing, (key) => {
      if (held.has(key)) return true;
      if (asked.has(key)) return false;
      asked.add(key);
      core.ask((retryAfterMs) => {
        asked.delete(key);
        if (retryAfterMs === 0) held.add(key);
      });
      return false;
    });
  }
  await wheel.run();
  return { name: "fixed tick", requests: core.requests, missing };
}

export interface FleetFigures {
  readonly name: string;
  /** The busiest second of each part of the half hour. */
  readonly startPeak: number;
  readonly steadyPeak: number;
  readonly steadyMean: number;
  readonly outagePeak: number;
  readonly returnPeak: number;
  readonly afterPeak: number;
  /** From the Core's return until 99 % of what is needed is there. */
  readonly recoverySeconds: number;
}

export function figuresOf({ name, requests, missing }: FleetSeries, { edges, keys }: FleetOptions): FleetFigures {
  const part = (fromSecond: number, toSecond: number): number[] => [...requests.subarray(fromSecond, toSecond)];
  const steady = part(120, CORE_GONE_MS / 1_000);
  const back = CORE_BACK_MS / 1_000;
  // Counted over ten seconds, in which every key is needed at least once.
  let recovered = back;
  for (let second = back; second < missing.length - 1; second++) {
    if (missing[second]! > (edges * keys) / 100) recovered = second + 1;
    if (second > back + 120) break;
  }
  return {
    name,
    startPeak: Math.max(...part(0, 120)),
    steadyPeak: Math.max(...steady),
    steadyMean: steady.reduce((sum, value) => sum + value, 0) / steady.length,
    outagePeak: Math.max(...part(CORE_GONE_MS / 1_000 + 1, back)),
    returnPeak: Math.max(...part(back, back + 120)),
    afterPeak: Math.max(...part(back + 120, END_MS / 1_000)),
    recoverySeconds: recovered - back,
  };
}

export async function reportFleet(options: FleetOptions): Promise<void> {
  // Millions of refusals are made, and none of their stacks is read.
  Error.stackTraceLimit = 0;
  const series = [await leasedFleet(options), await fixedTickFleet(options)];
  console.log(
    `${options.edges} edges of ${options.keys} keys, started in the same second; the Core is gone from minute 10 to 20.\n` +
      "Requests per second that come to the Core:\n",
  );
  const columns = [
    "",
    "first two minutes, peak",
    "then, mean",
    "peak",
    "Core gone, peak",
    "Core back, two minutes, peak",
    "later, peak",
    "99 % of keys back after",
  ];
  console.log(
    `| ${columns.join(" | ")} |\n|${columns.map((_, index) => (index === 0 ? " --- " : " ---: ")).join("|")}|`,
  );
  const count = (value: number): string => Math.round(value).toLocaleString("en-US");
  for (const each of series) {
    const figures = figuresOf(each, options);
    const { startPeak, steadyMean, steadyPeak, outagePeak, returnPeak, afterPeak } = figures;
    const cells = [startPeak, steadyMean, steadyPeak, outagePeak, returnPeak, afterPeak].map(count);
    console.log(`| ${[figures.name, ...cells, `${figures.recoverySeconds} s`].join(" | ")} |`);
  }
  if (options.svg !== undefined) {
    writeFileSync(options.svg, plotFleet(series, CORE_GONE_MS / 1_000, CORE_BACK_MS / 1_000));
    console.log(`\nPlotted in ${options.svg}.`);
  }
}

const UNUSED_CIPHER: Cipher = {
  description: { adapter: "none", library: "none", fips: false },
  begin() {
    throw new Error("The fleet uses no key.");
  },
  renew() {},
  close() {},
};

const NO_SLOT: KeySlot = { use: (reader) => reader(new Uint8Array(32)), release() {}, released: false };
