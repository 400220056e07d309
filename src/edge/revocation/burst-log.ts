import type { LogPort } from "../../base/log-port.ts";
import type { Clock } from "../../base/time/clock.ts";

/** How long a line must not have been wanted before it is written again. */
const QUIET_MS = 10_000;
/** A burst that does not end is told of again after this long. */
const REPEAT_MS = 300_000;

interface Burst {
  lastMs: number;
  writtenMs: number;
  suppressed: number;
}

/** Writes one line for a burst of the same: what anyone can cause at will must not fill a disk. */
export class BurstLog {
  readonly #log: Pick<LogPort, "warn">;
  readonly #clock: Clock;
  readonly #bursts = new Map<string, Burst>();

  constructor(log: Pick<LogPort, "warn">, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** `topic` tells bursts apart: one of a few words of our own, nothing that a peer chooses, for each is remembered. */
  warn(topic: string, fields: Readonly<Record<string, unknown>>, message: string): void {
    const nowMs = this.#clock.monotonicMs();
    const burst = this.#bursts.get(topic);
    if (burst !== undefined && nowMs - burst.lastMs < QUIET_MS && nowMs - burst.writtenMs < REPEAT_MS) {
      burst.lastMs = nowMs;
      burst.suppressed++;
      return;
    }
    this.#bursts.set(topic, { lastMs: nowMs, writtenMs: nowMs, suppressed: 0 });
    this.#log.warn({ ...fields, suppressed: burst?.suppressed ?? 0 }, message);
  }
}
