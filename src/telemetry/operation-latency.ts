/**
 * How long operations took, in the buckets of OpenKCM's ADR-604, per operation and outcome: counted in one typed array, since
 * this is on the path of every request. Read at a scrape.
 */
import type { Outcome } from "../usage/usage-recorder.ts";
import { OUTCOMES } from "../usage/usage-recorder.ts";
import type { MetricDefinition, Sample } from "./metrics.ts";

/** A batch is timed as a whole, so it has a name of its own. */
export const TIMED_OPERATIONS = ["create", "decrypt", "rewrap", "create_batch", "decrypt_batch"] as const;
export type TimedOperation = (typeof TIMED_OPERATIONS)[number];

/** Upper bounds, in milliseconds. */
export const BUCKETS_MS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const;

/** The buckets, one for what is longer, and the sum in milliseconds. */
const CELLS = BUCKETS_MS.length + 2;
const SUM = BUCKETS_MS.length + 1;

const OUTCOME_OFFSET = Object.fromEntries(OUTCOMES.map((outcome, index) => [outcome, index * CELLS])) as Record<
  Outcome,
  number
>;
const OPERATION_OFFSET = Object.fromEntries(
  TIMED_OPERATIONS.map((operation, index) => [operation, index * OUTCOMES.length * CELLS]),
) as Record<TimedOperation, number>;

export class OperationLatency {
  readonly #cells = new Float64Array(TIMED_OPERATIONS.length * OUTCOMES.length * CELLS);
  /** Keys made or opened, in the cell of the same operation and outcome. */
  readonly #keys = new Float64Array(TIMED_OPERATIONS.length * OUTCOMES.length);

  observe(operation: TimedOperation, outcome: Outcome, durationMs: number): void {
    const base = OPERATION_OFFSET[operation] + (outcome === "ok" ? 0 : OUTCOME_OFFSET[outcome]);
    let bucket = 0;
    while (bucket < BUCKETS_MS.length && durationMs > BUCKETS_MS[bucket]!) bucket++;
    this.#cells[base + bucket]! += 1;
    this.#cells[base + SUM]! += durationMs;
  }

  countKeys(operation: TimedOperation, outcome: Outcome, count: number): void {
    const base = OPERATION_OFFSET[operation] + (outcome === "ok" ? 0 : OUTCOME_OFFSET[outcome]);
    this.#keys[base / CELLS]! += count;
  }

  definitions(): MetricDefinition[] {
    const labels = {
      operation: TIMED_OPERATIONS.join(", "),
      outcome: "`ok`, or the code of the error (docs/errors.md)",
    };
    const name = "crypto_edge_operation_duration_seconds";
    return [
      {
        name,
        type: "histogram",
        help: "How long operations took inside the edge; a batch is one.",
        labels,
        read: () => this.#readDurations(name),
      },
      {
        name: "crypto_edge_keys_total",
        type: "counter",
        help: "Data keys made, opened or wrapped again, those of batches one by one.",
        labels,
        read: () => this.#readKeys(),
      },
    ];
  }

  #readDurations(name: string): Sample[] {
    const samples: Sample[] = [];
    this.#each((labels, index) => {
      const base = index * CELLS;
      let cumulative = 0;
      const buckets: Sample[] = [];
      for (let bucket = 0; bucket <= BUCKETS_MS.length; bucket++) {
        cumulative += this.#cells[base + bucket]!;
        const bound = BUCKETS_MS[bucket];
        const le = bound === undefined ? "+Inf" : String(bound / 1000);
        buckets.push({ metricName: `${name}_bucket`, labels: { ...labels, le }, value: cumulative });
      }
      if (cumulative === 0) return;
      samples.push(
        ...buckets,
        { metricName: `${name}_sum`, labels, value: this.#cells[base + SUM]! / 1000 },
        { metricName: `${name}_count`, labels, value: cumulative },
      );
    });
    return samples;
  }

  #readKeys(): Sample[] {
    const samples: Sample[] = [];
    this.#each((labels, index) => {
      if (this.#keys[index]! > 0) samples.push({ labels, value: this.#keys[index]! });
    });
    return samples;
  }

  #each(visit: (labels: { operation: string; outcome: string }, index: number) => void): void {
    let index = 0;
    for (const operation of TIMED_OPERATIONS) {
      for (const outcome of OUTCOMES) visit({ operation, outcome }, index++);
    }
  }
}
