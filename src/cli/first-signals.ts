/**
 * Imported before anything else: a process that is going to serve must not end by a signal that is meant to make it reload, or look for its
 * log file, while it starts or ever. What has to be done at a SIGHUP is decided later (base/system/reload-signal.ts); a start that is not
 * over takes the newest files anyway. The others are what logrotate, `dd` or a habit sends: nothing is to be done, a moved audit file is
 * noticed anyway.
 */
import { isServing } from "./is-serving.ts";

if (isServing(process.argv.slice(2))) {
  for (const signal of ["SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM"] as const) process.on(signal, () => undefined);
}
