interface Entry {
  atMs: number;
  order: number;
  run: (() => void) | undefined;
}

/** True time, which nobody in the simulation can read: what happens when, in one order, one thing after the other. */
export class Scheduler {
  nowMs = 0;
  /** How many steps were taken. */
  steps = 0;
  #order = 0;
  readonly #heap: Entry[] = [];

  at(atMs: number, run: () => void): { cancel(): void } {
    const entry: Entry = { atMs: Math.max(atMs, this.nowMs), order: this.#order++, run };
    this.#push(entry);
    return {
      cancel() {
        entry.run = undefined;
      },
    };
  }

  after(delayMs: number, run: () => void): { cancel(): void } {
    return this.at(this.nowMs + Math.max(0, delayMs), run);
  }

  /** Takes every step up to `endMs`; promises settle between steps, and `afterStep` looks at the world. */
  async run(endMs: number, afterStep: () => void): Promise<void> {
    for (;;) {
      const entry = this.#heap[0];
      if (entry === undefined || entry.atMs > endMs) break;
      this.#pop();
      if (entry.run === undefined) continue;
      this.nowMs = entry.atMs;
      this.steps++;
      entry.run();
      await settle();
      afterStep();
    }
    this.nowMs = endMs;
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let index = heap.push(entry) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!isBefore(entry, heap[parent]!)) break;
      heap[index] = heap[parent]!;
      index = parent;
    }
    heap[index] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[index] = heap[child]!;
      index = child;
    }
    heap[index] = last;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

/** Twice as many turns as the longest chain of promises between two steps has: more change no history. */
const TURNS = 12;

async function settle(): Promise<void> {
  for (let turn = 0; turn < TURNS; turn++) await undefined;
}
