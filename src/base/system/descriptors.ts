/** Tells when a process has no file descriptors left: connections then wait in the kernel, and nobody else would say so. */
import { closeSync, openSync, readFileSync } from "node:fs";
import type { LogPort } from "../log-port.ts";
import type { Clock } from "../time/clock.ts";

const EVERY_MS = 1_000;

/** Looks once a second; says so once, and once when there are some again. Returns what ends it. */
export function watchDescriptors(clock: Clock, log: Pick<LogPort, "warn" | "info">, probe = canOpen): () => void {
  // Read while there is a descriptor to read it by.
  const limit = readLimit();
  let out = false;
  let timer = clock.schedule(EVERY_MS, look);
  function look(): void {
    timer = clock.schedule(EVERY_MS, look);
    const error = probe();
    if ((error !== undefined) === out) return;
    out = error !== undefined;
    if (error === undefined) log.info({}, "there are file descriptors again");
    else {
      log.warn(
        { code: error, limit },
        "no file descriptors are left: connections wait. Raise the limit (LimitNOFILE= of the unit, ulimit -n), or lower limits.max_connections",
      );
    }
  }
  return () => timer.cancel();
}

/** The error's code where the process can open nothing. */
function canOpen(): string | undefined {
  try {
    closeSync(openSync("/dev/null", "r"));
    return undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === "EMFILE" || code === "ENFILE" ? code : undefined;
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
