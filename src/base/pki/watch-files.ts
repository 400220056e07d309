import { statSync } from "node:fs";
import type { Clock, Timer } from "../time/clock.ts";

const INTERVAL_MS = 2_000;

/**
 * Calls `changed` when any of the files is another than before: written, or replaced by a rename or a new link target, as
 * Kubernetes and certbot do. By looking every two seconds: no notification survives all of those. A change is told once it
 * has stood still for one look, so that a file that is being written is not read half. Returns what ends the watch.
 */
export function watchFiles(files: readonly string[], clock: Clock, changed: () => void): () => void {
  let told = fingerprint(files);
  let seen = told;
  let timer: Timer;
  const look = (): void => {
    const now = fingerprint(files);
    if (now !== told && now === seen) {
      told = now;
      changed();
    }
    seen = now;
    timer = clock.schedule(INTERVAL_MS, look);
  };
  timer = clock.schedule(INTERVAL_MS, look);
  return () => timer.cancel();
}

function fingerprint(files: readonly string[]): string {
  return files
    .map((file) => {
      const stat = statSync(file, { throwIfNoEntry: false });
      return stat === undefined ? "-" : `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeMs}`;
    })
    .join(" ");
}
