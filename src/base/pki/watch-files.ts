import { statSync } from "node:fs";
import type { Clock, Timer } from "../time/clock.ts";

const INTERVAL_MS = 2_000;

/**
 * Calls `changed` when any of the files is another than before: written, replaced by a rename or a new link target, as
 * Kubernetes and certbot do, or given to another user. By looking every two seconds: no notification survives all of those. A change is
 * told once it has stood still for one look, so that a file that is being written is not read half. Returns what ends the watch.
 *
 * @param since As the files were before they were read: what has changed since is told too.
 */
export function watchFiles(
  files: readonly string[],
  clock: Clock,
  changed: () => void,
  since: FilesState = stateOfFiles(files),
): () => void {
  let told = since;
  let seen = stateOfFiles(files);
  let timer: Timer;
  const look = (): void => {
    timer = clock.schedule(INTERVAL_MS, look);
    const now = stateOfFiles(files);
    const stoodStill = now === seen;
    seen = now;
    if (now === told || !stoodStill) return;
    told = now;
    changed();
  };
  timer = clock.schedule(INTERVAL_MS, look);
  return () => timer.cancel();
}

/** What tells files from the same ones at another time. */
export type FilesState = string;

/** The change time tells of owner and mode, and of a write that left size and time of modification as they were. */
export function stateOfFiles(files: readonly string[]): FilesState {
  return files
    .map((file) => {
      try {
        const { dev, ino, size, mtimeMs, ctimeMs } = statSync(file);
        return `${dev}:${ino}:${size}:${mtimeMs}:${ctimeMs}`;
      } catch (error) {
        // Not there, a loop of links, a folder that may not be entered: a state like any other.
        return `-${(error as NodeJS.ErrnoException).code}`;
      }
    })
    .join(" ");
}
