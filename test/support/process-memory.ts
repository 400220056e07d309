import { closeSync, openSync, readFileSync, readSync } from "node:fs";

export interface Mapping {
  readonly start: number;
  readonly end: number;
  readonly readable: boolean;
  readonly path: string;
  /** As in proc(5): `lo` locked, `dd` left out of dumps, `dc` not copied on fork, `wf` wiped on fork. */
  readonly flags: readonly string[];
  /** Whether the edge's key memory made it: nothing else in the process locks its pages and leaves them out of dumps. */
  readonly keyMemory: boolean;
}

/** The memory map of a process (`/proc/PID/smaps`). */
export function mappings(pid: number | "self"): Mapping[] {
  const found: Mapping[] = [];
  let head: RegExpMatchArray | null = null;
  for (const line of readFileSync(`/proc/${pid}/smaps`, "utf8").split("\n")) {
    const start = line.match(/^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \S+ *(.*)$/);
    if (start !== null) head = start;
    const flags = line
      .match(/^VmFlags: (.*)$/)?.[1]
      ?.trim()
      .split(" ");
    if (flags === undefined || head === null) continue;
    found.push({
      start: Number.parseInt(head[1]!, 16),
      end: Number.parseInt(head[2]!, 16),
      readable: head[3]!.startsWith("r"),
      path: head[4]!,
      flags,
      keyMemory: flags.includes("lo") && flags.includes("dd"),
    });
  }
  return found;
}

/** A run of bytes of another process. */
export interface Piece {
  readonly address: number;
  readonly bytes: Uint8Array;
  readonly mapping: Mapping;
}

const PAGE_BYTES = 4096;
const PIECE_BYTES = 8 * 1024 * 1024;
/** Bits 63 and 62 of an entry of `/proc/PID/pagemap`: the page is in memory, or swapped out. */
const PRESENT_OR_SWAPPED = 0xc0;

/**
 * Everything in memory of a process, as root finds it: a full dump, piece by piece. Pages that the process never touched
 * are left out, and so is what the kernel refuses to read, which is what secret memory is for.
 */
export function* dump(pid: number): Generator<Piece> {
  const memory = openSync(`/proc/${pid}/mem`, "r");
  const pageMap = openSync(`/proc/${pid}/pagemap`, "r");
  try {
    for (const mapping of mappings(pid)) {
      if (!mapping.readable || mapping.path === "[vvar]" || mapping.path === "[vvar_vclock]") continue;
      for (const [start, end] of touchedRuns(pageMap, mapping)) {
        for (let address = start; address < end; address += PIECE_BYTES) {
          const bytes = Buffer.alloc(Math.min(PIECE_BYTES, end - address));
          try {
            const read = readSync(memory, bytes, 0, bytes.length, address);
            yield { address, bytes: bytes.subarray(0, read), mapping };
          } catch {
            // EIO: the kernel itself can't read it.
          }
        }
      }
    }
  } finally {
    closeSync(memory);
    closeSync(pageMap);
  }
}

function* touchedRuns(pageMap: number, mapping: Mapping): Generator<[start: number, end: number]> {
  const pages = (mapping.end - mapping.start) / PAGE_BYTES;
  const entries = Buffer.alloc(8 * Math.min(pages, 1 << 16));
  let runStart: number | undefined;
  for (let page = 0; page < pages; page += entries.length / 8) {
    const read = readSync(pageMap, entries, 0, entries.length, (mapping.start / PAGE_BYTES + page) * 8);
    const count = Math.min(read / 8, pages - page);
    for (let index = 0; index < count; index++) {
      const address = mapping.start + (page + index) * PAGE_BYTES;
      const touched = (entries[index * 8 + 7]! & PRESENT_OR_SWAPPED) !== 0;
      if (touched && runStart === undefined) runStart = address;
      if (!touched && runStart !== undefined) {
        yield [runStart, address];
        runStart = undefined;
      }
    }
  }
  if (runStart !== undefined) yield [runStart, mapping.end];
}
