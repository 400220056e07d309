/**
 * How long operations took, in the buckets of OpenKCM's ADR-604, per operation and outcome: counted in one typed array, since
 * this is on the path of every request. Read at a scrape.
 */
import type { Outcome } from "../operations/usage-recorder.ts";
import { OUTCOMES } from "../operations/usage-recorder.ts";
import type { MetricDefinition, Sample } from "./metrics.ts";

/** A batch is timed as a whole, so it has a name of its own. */
export const TIMED_OPERATIONS = ["create", "decrypt", "rewrap", "create_batch", "decrypt_batch"] as const;
export type TimedOperation = (typeof TIMED_OPERATIONS)[number];

/** Upper bounds, in milliseconds. */
export const BUCKETS_MS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const;

/** The buckets, one for what is longer, and the sum in milliseconds. */
const CELLS = BUCKETS_MS.length + 2;
const SUM = BUCKETS_MS.length + 1;

const OPERATION_CELLS = OUTCOMES.length * CELLS;

const OUTCOME_OFFSET = Object.fromEntries(OUTCOMES.map((outcome, index) => [outcome, index * CELLS])) as Record<
  Outcome,
  number
>;
const OPERATION_INDEX = Object.fromEntries(TIMED_OPERATIONS.map((operation, index) => [operation, index])) as Record<
  TimedOperation,
  number
>;

export class OperationLatency {
  readonly #cells = new Float64Array(TIMED_OPERATIONS.length * OUTCOMES.length * CELLS);
  /** Keys made or opened, in the cell of the same operation and outcome. */
  readonly #keys = new Float64Array(TIMED_OPERATIONS.length * OUTCOMES.length);

  /** Of each operation's calls that ended at once, the one timed last. */
  readonly #lastBucket = new Uint32Array(TIMED_OPERATIONS.length);
  readonly #lastMs = new Float64Array(TIMED_OPERATIONS.length);
  /** How many successes, each of one key, came since: they count as that one. */
  readonly #since = new Float64Array(TIMED_OPERATIONS.length);
  readonly #calls = new Int32Array(TIMED_OPERATIONS.length);

  /** Whether this call, of one key, is to be timed: the first, and then one in sixteen. */
  isDue(operation: TimedOperation): boolean {
    return (this.#calls[OPERATION_INDEX[operation]]!++ & 15) === 0;
  }

  /** Counts a call of one key that ended at once and was not timed. */
  repeat(operation: TimedOperation, outcome: Outcome): void {
    const index = OPERATION_INDEX[operation];
    if (outcome === "ok") {
      this.#since[index]! += 1;
    } else {
      this.observe(operation, outcome, this.#lastMs[index]!);
      this.countKeys(operation, outcome, 1);
    }
  }

  /** A call of one key that ended at once and was timed: those that come after count as it does. */
  observeAtOnce(operation: TimedOperation, outcome: Outcome, durationMs: number): void {
    const index = OPERATION_INDEX[operation];
    this.#settle(index);
    this.#lastBucket[index] = this.observe(operation, outcome, durationMs);
    this.#lastMs[index] = durationMs;
    this.countKeys(operation, outcome, 1);
  }

  #settle(index: number): void {
    const count = this.#since[index]!;
    if (count === 0) return;
    const base = index * OPERATION_CELLS;
    this.#cells[base + this.#lastBucket[index]!]! += count;
    this.#cells[base + SUM]! += this.#lastMs[index]! * count;
    this.#keys[base / CELLS]! += count;
    this.#since[index] = 0;
  }

  /** Returns the bucket that it went to. */
  observe(operation: TimedOperation, outcome: Outcome, durationMs: number): number {
    const base = OPERATION_INDEX[operation] * OPERATION_CELLS + (outcome === "ok" ? 0 : OUTCOME_OFFSET[outcome]);
    let bucket = 0;
    while (bucket < BUCKETS_MS.length && durationMs > BUCKETS_MS[bucket]!) bucket++;
    this.#cells[base + bucket]! += 1;
    this.#cells[base + SUM]! += durationMs;
    return bucket;
  }

  countKeys(operation: TimedOperation, outcome: Outcome, count: number): void {
    const base = OPERATION_INDEX[operation] * OPERATION_CELLS + (outcome === "ok" ? 0 : OUTCOME_OFFSET[outcome]);
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
        help: "How long operations took inside the edge; a batch is one. Of single ones that need not wait for a lease one in sixteen is timed, and the others count as the last one timed.",
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
      this.#settle(OPERATION_INDEX[operation]);
      for (const outcome of OUTCOMES) visit({ operation, outcome }, index++);
    }
  }
}
