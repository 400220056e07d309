/** What can wait in a `DueHeap`. The heap writes `heapIndex`; the owner writes `dueMs` only through `set`. */
export interface Due {
  dueMs: number;
  /** The place in the heap; -1 while outside. */
  heapIndex: number;
}

/**
 * A binary heap of what is due when. Moving or removing an item costs a few swaps, whichever it is, so one timer serves
 * 100,000 leases.
 */
export class DueHeap<Item extends Due> {
  readonly #items: Item[] = [];

  get size(): number {
    return this.#items.length;
  }

  /** The item due first. */
  first(): Item | undefined {
    return this.#items[0];
  }

  /** Puts the item in, or moves it, to be due at `dueMs`. */
  set(item: Item, dueMs: number): void {
    item.dueMs = dueMs;
    if (item.heapIndex < 0) {
      item.heapIndex = this.#items.length;
      this.#items.push(item);
    }
    this.#up(item);
    this.#down(item);
  }

  /** Harmless for an item that is not in. */
  delete(item: Item): void {
    const index = item.heapIndex;
    if (index < 0) return;
    item.heapIndex = -1;
    const last = this.#items.pop()!;
    if (last === item) return;
    this.#place(last, index);
    this.#up(last);
    this.#down(last);
  }

  #up(item: Item): void {
    for (;;) {
      const index = item.heapIndex;
      const parent = this.#items[(index - 1) >> 1];
      if (parent === undefined || parent.dueMs <= item.dueMs) return;
      this.#place(parent, index);
      this.#place(item, (index - 1) >> 1);
    }
  }

  #down(item: Item): void {
    for (;;) {
      const index = item.heapIndex;
      const left = this.#items[2 * index + 1];
      if (left === undefined) return;
      const right = this.#items[2 * index + 2];
      const child = right !== undefined && right.dueMs < left.dueMs ? right : left;
      if (item.dueMs <= child.dueMs) return;
      const childIndex = child.heapIndex;
      this.#place(child, index);
      this.#place(item, childIndex);
    }
  }

  #place(item: Item, index: number): void {
    this.#items[index] = item;
    item.heapIndex = index;
  }
}
