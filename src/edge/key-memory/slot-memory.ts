import { SERVICE_KEY_BYTES } from "../../base/service-key.ts";
import { type KeyMemory, KeyMemoryError, type KeyMemoryKind, type KeyMemoryStats, type KeySlot } from "./key-memory.ts";
import { type Region, RegionError, type TakeRegion } from "./region.ts";

/** Regions grow to this: 32,768 keys in one. */
const LARGEST_REGION_BYTES = 1024 * 1024;
const SMALLEST_REGION_BYTES = 4096;

export interface SlotMemoryOptions {
  readonly kind: KeyMemoryKind;
  readonly take: TakeRegion;
  readonly pageBytes: number;
  /** Where keys go for which `take` has no room; undefined: nowhere, `store` then throws `full`. */
  readonly overflow: TakeRegion | undefined;
  /** Says, in a sentence, what to do when the memory is full. */
  readonly fullAdvice: () => string;
  /** Told once, when the first key goes to the overflow. */
  readonly warn: (message: string) => void;
  readonly memlockLimitBytes: () => number | undefined;
  readonly onClose: () => void;
}

/** Slots cut from regions, and handed out again once wiped. */
export class SlotMemory implements KeyMemory {
  readonly kind: KeyMemoryKind;
  readonly #options: SlotMemoryOptions;
  readonly #own: SlotRegion[] = [];
  readonly #overflow: SlotRegion[] = [];
  #warned = false;
  #closed = false;

  constructor(options: SlotMemoryOptions) {
    this.kind = options.kind;
    this.#options = options;
  }

  get stats(): KeyMemoryStats {
    const all = [...this.#own, ...this.#overflow];
    return {
      kind: this.kind,
      keys: sum(all, (region) => region.used),
      heapKeys: sum(this.kind === "heap" ? all : this.#overflow, (region) => region.used),
      mappedBytes: sum(all, (region) => region.capacity * SERVICE_KEY_BYTES),
      memlockLimitBytes: this.#options.memlockLimitBytes(),
    };
  }

  /** Takes memory for `keys` slots now. Answers for how many there is room. */
  reserve(keys: number): number {
    this.#checkOpen();
    let room = sum(this.#own, (region) => region.capacity);
    while (room < keys) {
      const region = this.#grow((keys - room) * SERVICE_KEY_BYTES);
      if (region === undefined) break;
      room += region.capacity;
    }
    return room;
  }

  store(key: Uint8Array): KeySlot {
    this.#checkOpen();
    if (key.length !== SERVICE_KEY_BYTES) {
      throw new KeyMemoryError("wrong_length", `A key has ${SERVICE_KEY_BYTES} bytes; this one has ${key.length}.`);
    }
    return this.#regionWithRoom().store(key);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.onClose();
    for (const region of [...this.#own.splice(0), ...this.#overflow.splice(0)]) region.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #regionWithRoom(): SlotRegion {
    const own =
      this.#own.find(hasRoom) ?? this.#grow(2 * sum(this.#own, (region) => region.capacity * SERVICE_KEY_BYTES));
    if (own !== undefined) return own;

    const { overflow, fullAdvice, warn } = this.#options;
    if (overflow === undefined) throw new KeyMemoryError("full", `Key memory is full. ${fullAdvice()}`);
    if (!this.#warned) {
      this.#warned = true;
      warn(`Key memory of kind ${this.kind} is full: further keys go to the heap. ${fullAdvice()}`);
    }
    let region = this.#overflow.find(hasRoom);
    if (region === undefined) {
      region = new SlotRegion(overflow(this.#wholePages(LARGEST_REGION_BYTES / 16)));
      this.#overflow.push(region);
    }
    return region;
  }

  /** A region of about `wantedBytes`, or a smaller one where the limit is near; undefined when not one page is left. */
  #grow(wantedBytes: number): SlotRegion | undefined {
    const smallestBytes = this.#wholePages(SMALLEST_REGION_BYTES);
    let lengthBytes = this.#wholePages(Math.min(LARGEST_REGION_BYTES, Math.max(smallestBytes, wantedBytes)));
    for (;;) {
      try {
        const region = new SlotRegion(this.#options.take(lengthBytes));
        this.#own.push(region);
        return region;
      } catch (error) {
        if (!(error instanceof RegionError)) throw error;
        if (lengthBytes === smallestBytes) return undefined;
        lengthBytes = this.#wholePages(Math.max(smallestBytes, lengthBytes / 2));
      }
    }
  }

  #wholePages(lengthBytes: number): number {
    const { pageBytes } = this.#options;
    return Math.ceil(lengthBytes / pageBytes) * pageBytes;
  }

  #checkOpen(): void {
    if (this.#closed) throw new KeyMemoryError("closed", "Key memory is closed: the process is ending.");
  }
}

/** A region cut into slots. */
class SlotRegion {
  readonly capacity: number;
  readonly #region: Region;
  /** The numbers of the free slots, as a stack: the slot freed last, still in the CPU's cache, is used next. */
  readonly #free: Uint32Array;
  #freeCount: number;
  #closed = false;

  constructor(region: Region) {
    this.#region = region;
    this.capacity = Math.floor(region.bytes.length / SERVICE_KEY_BYTES);
    this.#free = Uint32Array.from({ length: this.capacity }, (_, index) => this.capacity - 1 - index);
    this.#freeCount = this.capacity;
  }

  get used(): number {
    return this.capacity - this.#freeCount;
  }

  get hasRoom(): boolean {
    return this.#freeCount > 0;
  }

  get closed(): boolean {
    return this.#closed;
  }

  store(key: Uint8Array): KeySlot {
    this.#freeCount--;
    const slot = this.#free[this.#freeCount]!;
    this.view(slot).set(key);
    return new RegionSlot(this, slot);
  }

  view(slot: number): Uint8Array {
    return this.#region.bytes.subarray(slot * SERVICE_KEY_BYTES, (slot + 1) * SERVICE_KEY_BYTES);
  }

  release(slot: number): void {
    this.#region.bytes.fill(0, slot * SERVICE_KEY_BYTES, (slot + 1) * SERVICE_KEY_BYTES);
    this.#free[this.#freeCount] = slot;
    this.#freeCount++;
  }

  close(): void {
    this.#closed = true;
    this.#region.close();
  }
}

class RegionSlot implements KeySlot {
  readonly #region: SlotRegion;
  readonly #slot: number;
  #released = false;

  constructor(region: SlotRegion, slot: number) {
    this.#region = region;
    this.#slot = slot;
  }

  get released(): boolean {
    return this.#released || this.#region.closed;
  }

  use<Result>(reader: (key: Uint8Array) => Result): Result {
    if (this.released) throw new KeyMemoryError("released", "This key was released, and wiped: its lease is over.");
    return reader(this.#region.view(this.#slot));
  }

  release(): void {
    if (this.released) return;
    this.#released = true;
    this.#region.release(this.#slot);
  }
}

function hasRoom(region: SlotRegion): boolean {
  return region.hasRoom;
}

function sum<Item>(items: readonly Item[], amount: (item: Item) => number): number {
  return items.reduce((total, item) => total + amount(item), 0);
}
