/**
 * Notices that this machine stood still, as it does when it is resumed from a snapshot, or copied (blob-format.md, "Rules for
 * a writer"): the wall clock is then put right, and jumps against the monotonic one. Where nothing puts it right, nobody can
 * notice. Linux shows the number of a virtual machine's generation (VMGENID) to no program, only its own generator heeds it.
 */
import type { Clock, Timer } from "../../base/time/clock.ts";

const INTERVAL_MS = 1_000;
/** More than a running clock is corrected by in one go. */
const JUMP_MS = 2_000;

/** Calls `onResumed` after each time that the machine stood still, or its clock was set. Until `signal` aborts. */
export function watchForResumption(clock: Clock, signal: AbortSignal, onResumed: () => void): void {
  const difference = (): number => clock.wallMs() - clock.monotonicMs();
  let before = difference();
  let timer: Timer;
  const look = (): void => {
    const now = difference();
    if (Math.abs(now - before) > JUMP_MS) onResumed();
    before = now;
    timer = clock.schedule(INTERVAL_MS, look);
  };
  timer = clock.schedule(INTERVAL_MS, look);
  signal.addEventListener("abort", () => timer.cancel());
}
