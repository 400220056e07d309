import { errnoName, loadSystemCalls, PR_GET_DUMPABLE, PR_SET_DUMPABLE, RLIMIT_CORE } from "./system-calls.ts";

export interface Hardening {
  /** Whether another process of the same user may read this one's memory, or trace it (Linux). */
  readonly dumpable: boolean;
  /** Whether a crash may write a core file. */
  readonly coreFiles: boolean;
  /** What could not be done, each a sentence. */
  readonly warnings: readonly string[];
}

/**
 * Makes the process one that can't be dumped: no core files (RLIMIT_CORE 0), and on Linux no reading or tracing by
 * processes of the same user (PR_SET_DUMPABLE 0). Root can still read what is not in secret memory.
 *
 * With `dumpable: true` nothing is changed: that is for whoever debugs the edge itself.
 */
export async function hardenProcess(options: { readonly dumpable: boolean }): Promise<Hardening> {
  if (options.dumpable) return { dumpable: true, coreFiles: true, warnings: [] };
  const system = await loadSystemCalls();
  if (system.calls === undefined) {
    return { dumpable: true, coreFiles: true, warnings: [`This process can be dumped: ${system.reason}.`] };
  }
  const { calls } = system;
  const warnings: string[] = [];
  const coreFiles = calls.setrlimit(RLIMIT_CORE, { soft: 0n, hard: 0n }) !== 0;
  if (coreFiles) warnings.push(`A crash may write a core file: setrlimit answered ${errnoName(calls.errno())}.`);

  let dumpable = true;
  if (calls.platform === "linux") {
    if (calls.prctl(PR_SET_DUMPABLE, 0) !== 0) {
      warnings.push(`This process can be dumped: prctl answered ${errnoName(calls.errno())}.`);
    }
    dumpable = calls.prctl(PR_GET_DUMPABLE, 0) !== 0;
  }
  return { dumpable, coreFiles, warnings };
}
