/**
 * What is done before a process has no file descriptors left, and told. A listener that can't accept is called again and again by the
 * system, which would take a whole core; so connections are turned away while some descriptors are left: for files, certificates that are
 * renewed, the audit, and connections to the Core.
 */
import { closeSync, openSync, readdirSync, readFileSync, statSync } from "node:fs";
import type { LogPort } from "../log-port.ts";
import type { Clock } from "../time/clock.ts";

const EVERY_MS = 1_000;
const OPEN_FOLDER = "/proc/self/fd";
/** Kept of the limit: an eighth, and not less or more than this. */
const KEPT_PART = 1 / 8;
const KEPT_MIN = 16;
const KEPT_MAX = 64;
/** There is room again once no more than this part of what connections may have is in use: else each that comes and goes would be told. */
const ROOM_AGAIN = 7 / 8;

/** Connections turned away in a row, for each of so many open descriptors, before they are counted again: a count is a directory's reading. */
const OPEN_PER_COUNT = 1_000;

/** How many are open, or the code of the error that says that no more can be. */
type Probe = () => string | number;

export class DescriptorRoom {
  readonly limit: number | undefined;
  readonly #probe: Probe;
  readonly #usable: number;
  /** How many connections may be taken before it is looked again. */
  #credit = 0;
  /** How many are turned away before it is looked again. */
  #debit = 0;
  #turnedAway = 0;
  #lacks = false;

  /** `limit`: how many descriptors the process may open, where the system says so. */
  constructor(limit = readLimit(), probe: Probe = countOpen) {
    this.limit = limit;
    this.#probe = probe;
    const kept = Math.min(KEPT_MAX, Math.max(KEPT_MIN, (limit ?? 0) * KEPT_PART));
    this.#usable = limit === undefined ? Number.POSITIVE_INFINITY : limit - kept;
  }

  /** Whether a connection that was just accepted may stay; asked once for each. */
  admits(): boolean {
    if (this.#credit > 0) {
      this.#credit--;
      return true;
    }
    if (this.#debit > 0) {
      this.#debit--;
      this.#turnedAway++;
      return false;
    }
    const open = this.#probe();
    const left = typeof open === "string" ? 0 : this.#usable - open;
    if (left <= 0) {
      this.#turnedAway++;
      this.#debit = typeof open === "string" ? 0 : Math.floor(open / OPEN_PER_COUNT);
      return false;
    }
    // Others open descriptors meanwhile: looked at again when half of them are gone.
    this.#credit = Math.floor(Math.min(left, 10_000) / 2);
    return true;
  }

  /** Why there is no room for connections: some were turned away, and few have gone since; or nothing can be opened. */
  lack(): string | undefined {
    const open = this.#probe();
    const turnedAway = this.#turnedAway;
    this.#turnedAway = 0;
    this.#debit = 0;
    if (typeof open === "string") return open;
    this.#lacks = turnedAway > 0 || (this.#lacks && open > this.#usable * ROOM_AGAIN);
    return this.#lacks ? "EMFILE" : undefined;
  }
}

/** Of this process: all its listeners ask it. */
export const descriptorRoom = new DescriptorRoom();

/** Looks once a second; says so once, and once when there are some again. Returns what ends it. */
export function watchDescriptors(
  clock: Clock,
  log: Pick<LogPort, "warn" | "info">,
  room: Pick<DescriptorRoom, "lack" | "limit"> = descriptorRoom,
): () => void {
  const { limit } = room;
  let out = false;
  let timer = clock.schedule(EVERY_MS, look);
  function look(): void {
    timer = clock.schedule(EVERY_MS, look);
    const code = room.lack();
    if ((code !== undefined) === out) return;
    out = code !== undefined;
    if (code === undefined) log.info({}, "there are file descriptors again");
    else {
      log.warn(
        { code, limit },
        "no file descriptors are left for connections: they are turned away. Raise the limit (LimitNOFILE= of the unit, ulimit -n), or lower limits.max_connections",
      );
    }
  }
  return () => timer.cancel();
}

/**
 * The number of a new descriptor tells too little: one file that was closed leaves a low one free among all that are open. Linux tells how many
 * there are as the size of the folder since 6.2, and 0 before.
 */
function countOpen(): string | number {
  try {
    const lowest = openSync("/dev/null", "r");
    closeSync(lowest);
    try {
      return statSync(OPEN_FOLDER).size || readdirSync(OPEN_FOLDER).length;
    } catch {
      return lowest;
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === "EMFILE" || code === "ENFILE" ? code : 0;
  }
}

/** Of this process, as the kernel has it. */
function readLimit(): number | undefined {
  try {
    const line = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"));
    return line === null ? undefined : Number(line[1]);
  } catch {
    return undefined;
  }
}
