import { readFileSync } from "node:fs";

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
