/**
 * How long operations took, in the buckets of OpenKCM's ADR-604, and how many keys they were about, per front door, operation and
 * outcome: counted in typed arrays, since this is on the path of every request. Every call is measured. Read at a scrape.
 */

import type { Clock } from "../../base/time/clock.ts";
import { OPERATION_NAMES, type OperationName, OUTCOMES, type Outcome } from "../operations/recorder.ts";
import type { Exemplar, MetricDefinition, Sample } from "./metrics.ts";
import { histogramSamples } from "./plugin-metrics.ts";

/** Upper bounds, in milliseconds. */
export const BUCKETS_MS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const;
const BUCKETS_SECONDS = BUCKETS_MS.map((ms) => ms / 1000);

/** Of one door, operation and outcome: the buckets, one for what is longer, the sum in milliseconds, and the keys. */
const CELLS = BUCKETS_MS.length + 3;
const SUM = BUCKETS_MS.length + 1;
const KEYS = BUCKETS_MS.length + 2;

/** Doors come from the configuration: this only bounds what a mistake could do. */
const DOORS_MAX = 32;
const OTHER_DOORS = "other";

function offsets<Name extends string>(names: readonly Name[], width: number): Readonly<Record<Name, number>> {
  return Object.fromEntries(names.map((name, index) => [name, index * width])) as Record<Name, number>;
}
const OUTCOME_OFFSET = offsets(OUTCOMES, CELLS);
const OPERATION_OFFSET = offsets(OPERATION_NAMES, OUTCOMES.length * CELLS);

export class OperationLatency {
  readonly #byDoor = new Map<string, Float64Array>();
  /** Most calls come by the door of the one before. */
  #lastDoor = "";
  #last: Float64Array = new Float64Array(0);
  /** By the cell of its bucket, the newest: of calls that have a span, which a hit has not. */
  readonly #exemplars = new Map<Float64Array, Map<number, Exemplar>>();
  readonly #clock: Pick<Clock, "wallMs">;

  constructor(clock: Pick<Clock, "wallMs">) {
    this.#clock = clock;
  }

  /** Counts one call, timed as a whole. `traceId` is that of its span, where it has one that is sent. */
  observe(door: string, operation: OperationName, outcome: Outcome, durationMs: number, traceId?: string): void {
    const cells = door === this.#lastDoor ? this.#last : this.#cellsOf(door);
    const base = OPERATION_OFFSET[operation] + (outcome === "ok" ? 0 : OUTCOME_OFFSET[outcome]);
    let bucket = 0;
    while (bucket < BUCKETS_MS.length && durationMs > BUCKETS_MS[bucket]!) bucket++;
    cells[base + bucket]! += 1;
    cells[base + SUM]! += durationMs;
    if (traceId !== undefined) this.#exemplify(cells, base + bucket, durationMs, traceId);
  }

  countKeys(door: string, operation: OperationName, outcome: Outcome, count: number): void {
    const cells = door === this.#lastDoor ? this.#last : this.#cellsOf(door);
    cells[OPERATION_OFFSET[operation] + (outcome === "ok" ? 0 : OUTCOME_OFFSET[outcome]) + KEYS]! += count;
  }

  #exemplify(cells: Float64Array, cell: number, durationMs: number, traceId: string): void {
    const exemplars = this.#exemplars.get(cells) ?? new Map<number, Exemplar>();
    this.#exemplars.set(cells, exemplars);
    exemplars.set(cell, { traceId, value: durationMs / 1000, wallMs: this.#clock.wallMs() });
  }

  #cellsOf(door: string): Float64Array {
    const name = this.#byDoor.has(door) || this.#byDoor.size < DOORS_MAX ? door : OTHER_DOORS;
    let cells = this.#byDoor.get(name);
    if (cells === undefined) {
      cells = new Float64Array(OPERATION_NAMES.length * OUTCOMES.length * CELLS);
      this.#byDoor.set(name, cells);
    }
    this.#lastDoor = door;
    this.#last = cells;
    return cells;
  }

  definitions(): MetricDefinition[] {
    const labels = {
      door: "the front door that it came by: `native`, `aws-kms` …",
      operation: OPERATION_NAMES.join(", "),
      outcome: "`ok`, or the code of the error (docs/errors.md)",
    };
    const name = "crypto_edge_operation_duration_seconds";
    return [
      {
        name,
        type: "histogram",
        help: "How long operations took inside the edge; a batch is one. Every call is measured.",
        labels,
        read: () => this.#readDurations(name),
      },
      {
        name: "crypto_edge_keys_total",
        type: "counter",
        help: "Data keys and values made, opened or wrapped again, those of batches one by one.",
        labels,
        read: () => this.#readKeys(),
      },
    ];
  }

  #readDurations(name: string): Sample[] {
    const samples: Sample[] = [];
    this.#each((labels, cells, base) => {
      const counts = cells.subarray(base, base + SUM);
      if (counts.every((count) => count === 0)) return;
      const seconds = cells[base + SUM]! / 1000;
      const exemplars = new Map<number, Exemplar>();
      for (let bucket = 0; bucket < SUM; bucket++) {
        const exemplar = this.#exemplars.get(cells)?.get(base + bucket);
        if (exemplar !== undefined) exemplars.set(bucket, exemplar);
      }
      samples.push(...histogramSamples(name, BUCKETS_SECONDS, counts, seconds, labels, exemplars));
    });
    return samples;
  }

  #readKeys(): Sample[] {
    const samples: Sample[] = [];
    this.#each((labels, cells, base) => {
      const value = cells[base + KEYS]!;
      if (value > 0) samples.push({ labels, value });
    });
    return samples;
  }

  #each(
    visit: (labels: { door: string; operation: string; outcome: string }, cells: Float64Array, base: number) => void,
  ): void {
    for (const [door, cells] of this.#byDoor) {
      for (const operation of OPERATION_NAMES) {
        for (const outcome of OUTCOMES) {
          visit({ door, operation, outcome }, cells, OPERATION_OFFSET[operation] + OUTCOME_OFFSET[outcome]);
        }
      }
    }
  }
}
