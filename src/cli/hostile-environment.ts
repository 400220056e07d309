/**
 * Variables of the environment that would change what a serving process is: run other code in it, open it to a debugger, show its
 * traffic, or take its trust away. The runtime obeys some of them before the first line of this program, so the program can't undo
 * them: it does not serve.
 */
const REASONS: Readonly<Record<string, string>> = {
  BUN_OPTIONS: "it can load other code into this process",
  BUN_INSPECT: "it opens this process to a debugger",
  BUN_INSPECT_CONNECT_TO: "it opens this process to a debugger",
  BUN_INSPECT_NOTIFY: "it opens this process to a debugger",
  BUN_INSPECT_PRELOAD: "it loads other code into this process",
  BUN_RUNTIME_TRANSPILER_CACHE_PATH: "whoever writes to that folder writes the code of plugins",
  BUN_CONFIG_VERBOSE_FETCH: "it prints what is sent and received",
  BUN_CRASH_REPORT_URL: "it sends what is left of a crash elsewhere",
  NODE_TLS_REJECT_UNAUTHORIZED: "it turns the verification of certificates off",
  SSLKEYLOGFILE: "it writes down the keys of connections",
};

/** @throws Error that names every such variable, why, and what to do. */
export function refuseHostileEnvironment(environment: NodeJS.ProcessEnv = process.env): void {
  const found = Object.entries(REASONS).filter(([name]) => (environment[name] ?? "") !== "");
  if (found.length === 0) return;
  const reasons = found.map(([name, reason]) => `${name} (${reason})`).join(", ");
  throw new Error(
    `the environment sets ${reasons}. Take ${found.length === 1 ? "it" : "them"} out of the environment and start again`,
  );
}
