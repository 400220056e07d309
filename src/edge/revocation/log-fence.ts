import { type Backoff, backoffMs } from "../../base/time/backoff.ts";
import { type Clock, sleep } from "../../base/time/clock.ts";
import { catchUp } from "./catch-up.ts";
import type { CoreEvents } from "./core-events.ts";

export interface LogFenceOptions {
  readonly clock: Clock;
  /** Undefined: nobody can say how far the log goes. */
  readonly core: CoreEvents | undefined;
  /** From 0 to 1: spreads a fleet that asks because of one order. */
  readonly random: () => number;
}

/** How far the Core's log goes. */
export interface Fence {
  readonly log: string;
  readonly seq: number;
}

const SPREAD_MS = 1_000;
const ANSWER_MS = 5_000;
const RETRY: Backoff = { firstMs: 1_000, maxMs: 30_000 };

/** Asks the Core how far its log goes, until it says so: one question for all who asked before it was put. */
export class LogFence {
  readonly #options: LogFenceOptions;
  readonly #closing = new AbortController();
  #waiting: ((fence: Fence) => void)[] = [];
  #asking = false;

  constructor(options: LogFenceOptions) {
    this.#options = options;
  }

  /** `tell` gets a number that is not below that of any event committed before this call. Maybe never. */
  ask(tell: (fence: Fence) => void): void {
    if (this.#options.core === undefined) return;
    this.#waiting.push(tell);
    if (!this.#asking) void this.#run(this.#options.core);
  }

  close(): void {
    this.#closing.abort();
  }

  async #run(core: CoreEvents): Promise<void> {
    const { clock, random } = this.#options;
    const { signal } = this.#closing;
    this.#asking = true;
    await sleep(clock, random() * SPREAD_MS, signal);
    for (let failures = 0; this.#waiting.length > 0 && !signal.aborted; ) {
      const asked = this.#waiting;
      this.#waiting = [];
      const fence = await this.#once(core);
      if (fence !== undefined) {
        failures = 0;
        for (const tell of asked) tell(fence);
      } else {
        this.#waiting = [...asked, ...this.#waiting];
        await sleep(clock, backoffMs(RETRY, failures++, random), signal);
      }
    }
    this.#asking = false;
  }

  /** A stream begins with a heartbeat (core-protocol.md): its number is the newest at that moment. */
  async #once(core: CoreEvents): Promise<Fence | undefined> {
    let fence: Fence | undefined;
    try {
      await catchUp({
        core,
        lastEventId: undefined,
        deliver({ log, seq }) {
          fence ??= { log, seq };
        },
        isLast: () => true,
        clock: this.#options.clock,
        timeoutMs: ANSWER_MS,
        signal: this.#closing.signal,
      });
    } catch {
      // Asked again.
    }
    return fence;
  }
}
