/**
 * Where service keys (L3) live while they are leased: slots of 32 bytes outside the garbage-collected heap, so that a
 * key has one place, is never moved or copied by the runtime, and is gone when its slot is released (design.md, "Key
 * memory"). `openKeyMemory` chooses the kind; nothing else in the edge knows which it is.
 */
import { CodedError } from "../../base/errors.ts";

export interface KeyMemory extends Disposable {
  /** The kind of the memory that keys go to first. `stats.heapKeys` says whether some had to go to the heap. */
  readonly kind: KeyMemoryKind;
  readonly stats: KeyMemoryStats;

  /**
   * Copies `key` (32 bytes) into a slot. The caller still owns `key` and wipes it.
   *
   * @throws {KeyMemoryError} `wrong_length`; `full`, when no slot is left and the heap was not allowed; `closed`.
   */
  store(key: Uint8Array): KeySlot;

  /** Wipes every slot and gives the memory back; slots still held count as released. May be called twice. */
  close(): void;
}

/** One key's place, from `store` to `release`. Prints as nothing that tells of the key. */
export interface KeySlot {
  /**
   * Calls `reader` with a view of the key, and answers what it answers. The view is the memory itself, valid until
   * `reader` returns: it must not be kept, written to, or copied to where it can't be wiped. `reader` is synchronous.
   *
   * @throws {KeyMemoryError} `released`, once `release` or the memory's `close` was called.
   */
  use<Result>(reader: (key: Uint8Array) => Result): Result;

  /** Wipes the key and gives the slot back. May be called twice. */
  release(): void;

  readonly released: boolean;
}

/**
 * - `secret`: `memfd_secret`. Not in core dumps, not readable through `/proc/PID/mem` or ptrace even by root, not mapped
 *   by the kernel itself, never swapped.
 * - `locked`: anonymous pages, locked (never swapped), left out of core dumps, zero in a forked child.
 * - `heap`: none of that.
 */
export type KeyMemoryKind = "secret" | "locked" | "heap";

/** `auto`: the best kind that this machine has, and the heap, with a warning, for what does not fit. */
export type KeyMemoryChoice = "auto" | KeyMemoryKind;

export interface KeyMemoryStats {
  readonly kind: KeyMemoryKind;
  /** Slots in use. */
  readonly keys: number;
  /** Of these, how many are on the heap. */
  readonly heapKeys: number;
  /** Memory taken from the operating system, in use or not. */
  readonly mappedBytes: number;
  /** RLIMIT_MEMLOCK as it stands; undefined when there is none, or none was needed. */
  readonly memlockLimitBytes: number | undefined;
}

export type KeyMemoryErrorCode = "unavailable" | "full" | "wrong_length" | "released" | "closed";

export class KeyMemoryError extends CodedError<KeyMemoryErrorCode> {
  override readonly name = "KeyMemoryError";
}
