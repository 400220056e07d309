import {
  errnoName,
  letGo,
  MADV_DONTDUMP,
  MADV_DONTFORK,
  MADV_WIPEONFORK,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_NONE,
  PROT_READ_WRITE,
  type SystemCalls,
} from "../../base/system/system-calls.ts";
import type { KeyMemoryKind } from "./key-memory.ts";

/** A run of memory for slots. */
export interface Region {
  readonly bytes: Uint8Array;
  /** Wipes the bytes and gives them back; every view of them is empty afterwards. */
  close(): void;
}

/** Takes a region of `lengthBytes` (whole pages), or throws a `RegionError`. */
export type TakeRegion = (lengthBytes: number) => Region;

/** The operating system refused; the message names the call and its reason. */
export class RegionError extends Error {
  override readonly name = "RegionError";
}

export function regionTaker(kind: KeyMemoryKind, calls: SystemCalls | undefined): TakeRegion {
  if (kind === "heap" || calls === undefined) return heapRegion;
  return kind === "secret"
    ? (lengthBytes) => secretRegion(calls, lengthBytes)
    : (lengthBytes) => lockedRegion(calls, lengthBytes);
}

/**
 * Memory of `memfd_secret`: the kernel takes its pages out of its own map, so that neither a core dump, `/proc/PID/mem`,
 * ptrace, nor a read inside the kernel reaches them. It counts against RLIMIT_MEMLOCK, and is always locked.
 */
function secretRegion(calls: SystemCalls, lengthBytes: number): Region {
  if (calls.platform !== "linux") throw new RegionError("memfd_secret exists on Linux only");
  const descriptor = calls.memfdSecret();
  if (descriptor < 0) throw refused(calls, "memfd_secret");
  try {
    if (calls.ftruncate(descriptor, lengthBytes) !== 0) throw refused(calls, "ftruncate");
    return betweenGuardPages(calls, lengthBytes, (address) => {
      if (calls.mmap(address, lengthBytes, PROT_READ_WRITE, MAP_SHARED | MAP_FIXED, descriptor) !== address) {
        throw refused(calls, "mmap");
      }
      // A forked child gets no mapping at all: wiping on fork exists for private memory only.
      if (calls.madvise(address, lengthBytes, MADV_DONTFORK) !== 0) throw refused(calls, "madvise");
    });
  } finally {
    // The mapping keeps the memory; without a descriptor it can't be passed on or found under /proc/PID/fd.
    calls.close(descriptor);
  }
}

/** Private memory that is never swapped and, on Linux, neither in a core dump nor in a forked child. */
function lockedRegion(calls: SystemCalls, lengthBytes: number): Region {
  return betweenGuardPages(calls, lengthBytes, (address) => {
    if (calls.mprotect(address, lengthBytes, PROT_READ_WRITE) !== 0) throw refused(calls, "mprotect");
    if (calls.mlock(address, lengthBytes) !== 0) throw refused(calls, "mlock");
    if (calls.platform !== "linux") return;
    for (const advice of [MADV_DONTDUMP, MADV_WIPEONFORK]) {
      if (calls.madvise(address, lengthBytes, advice) !== 0) throw refused(calls, "madvise");
    }
  });
}

function heapRegion(lengthBytes: number): Region {
  const bytes = new Uint8Array(lengthBytes);
  return {
    bytes,
    close() {
      bytes.fill(0);
      letGo(bytes);
    },
  };
}

/** A page before and a page after that can't be touched: an overrun next door ends the process instead of reading keys. */
function betweenGuardPages(calls: SystemCalls, lengthBytes: number, furnish: (address: number) => void): Region {
  const spanBytes = lengthBytes + 2 * calls.pageBytes;
  const start = calls.mmap(0, spanBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS[calls.platform], -1);
  if (start === -1) throw refused(calls, "mmap");
  const address = start + calls.pageBytes;
  try {
    furnish(address);
  } catch (error) {
    calls.munmap(start, spanBytes);
    throw error;
  }
  const bytes = calls.view(address, lengthBytes);
  return {
    bytes,
    close() {
      bytes.fill(0);
      letGo(bytes);
      calls.munmap(start, spanBytes);
    },
  };
}

function refused(calls: SystemCalls, call: string): RegionError {
  return new RegionError(`${call} answered ${errnoName(calls.errno())}`);
}
