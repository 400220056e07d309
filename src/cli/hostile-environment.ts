/**
 * Variables of the environment that would change what a serving process is: run other code in it, open it to a debugger, show its
 * traffic, or take its trust away. The runtime obeys some of them before the first line of this program, so the program can't undo
 * them: it does not serve.
 */
const LOADS_CODE = "it can load other code into this process";
const DEBUGS = "it opens this process to a debugger";
const LINKS = "code is looked for beside links to it too, where nobody has judged who may write";
const PRINTS = "it prints what is sent and received";
const SENDS_CRASHES = "it sends what is left of a crash elsewhere";
const CACHES_CODE = "whoever writes to that folder writes the code of plugins";

const REASONS: Readonly<Record<string, string>> = {
  BUN_OPTIONS: LOADS_CODE,
  BUN_INSPECT: DEBUGS,
  BUN_INSPECT_CONNECT_TO: DEBUGS,
  BUN_INSPECT_NOTIFY: DEBUGS,
  BUN_INSPECT_PRELOAD: LOADS_CODE,
  BUN_TCC_OPTIONS: LOADS_CODE,
  NODE_PRESERVE_SYMLINKS: LINKS,
  NODE_PRESERVE_SYMLINKS_MAIN: LINKS,
  BUN_FEATURE_FLAG_INTERNAL_FOR_TESTING: "it opens the runtime's inside to plugins",
  BUN_RUNTIME_TRANSPILER_CACHE_PATH: CACHES_CODE,
  NODE_COMPILE_CACHE: CACHES_CODE,
  BUN_CONFIG_VERBOSE_FETCH: PRINTS,
  NODE_DEBUG: PRINTS,
  BUN_CRASH_REPORT_URL: SENDS_CRASHES,
  BUN_ENABLE_CRASH_REPORTING: SENDS_CRASHES,
  NODE_TLS_REJECT_UNAUTHORIZED: "it turns the verification of certificates off",
  SSLKEYLOGFILE: "it writes down the keys of connections",
  OPENSSL_ia32cap: "it can take away the processor's instructions that keep AES free of timing leaks",
};

/** Options of the JavaScript engine: some replace functions, others print or write what the process does. */
const ENGINE = "BUN_JSC_";
/** For measuring: they change nothing but when memory is collected, and whether the log says so. */
const HARMLESS: ReadonlySet<string> = new Set(["BUN_JSC_useGC", "BUN_JSC_logGC"]);

const FETCHES = "packages that a plugin lacks may be fetched from there, where this program runs from its source";
/** Switches of the runtime's own parts, for who works around a fault of theirs. */
const SWITCH = "BUN_FEATURE_FLAG_";

/** What an operator may want, and should know of: it counts for the whole process. */
const TOLD: Readonly<Record<string, string>> = {
  LD_PRELOAD: "the libraries that it names run in this process",
  LD_AUDIT: "the libraries that it names run in this process",
  LD_LIBRARY_PATH: "libraries are looked for in its folders first",
  NODE_EXTRA_CA_CERTS: "its authorities count wherever no `ca` is configured",
  NODE_USE_SYSTEM_CA: "the machine's authorities may count wherever no `ca` is configured",
  NODE_USE_ENV_PROXY: "calls of plugins may go through the proxies that the environment names",
  NODE_PATH: "packages that a plugin lacks are looked for in its folders",
  BUN_CONFIG_REGISTRY: FETCHES,
  NPM_CONFIG_REGISTRY: FETCHES,
  NODE_REDIRECT_WARNINGS: "the runtime's warnings go to that file, not to the log",
  DEBUG: "packages of plugins may print what they send, passwords among it",
  SSL_CERT_FILE: "its authorities may count wherever no `ca` is configured",
  SSL_CERT_DIR: "its authorities may count wherever no `ca` is configured",
};

/** @throws Error that names every such variable, why, and what to do. */
export function refuseHostileEnvironment(environment: NodeJS.ProcessEnv = process.env): void {
  const found = Object.entries(environment).flatMap(([name, value]): [name: string, reason: string][] => {
    const reason = (value ?? "") === "" ? undefined : reasonAgainst(name);
    return reason === undefined ? [] : [[name, reason]];
  });
  if (found.length === 0) return;
  const reasons = found.map(([name, reason]) => `${name} (${reason})`).join(", ");
  throw new Error(
    `the environment sets ${reasons}. Take ${found.length === 1 ? "it" : "them"} out of the environment and start again`,
  );
}

/** A sentence for each variable that is let pass, and should be known of. */
export function notesOnEnvironment(environment: NodeJS.ProcessEnv = process.env): string[] {
  const switches = Object.keys(environment).filter((name) => name.startsWith(SWITCH));
  return [...Object.entries(TOLD), ...switches.map((name) => [name, "it switches a part of the runtime"] as const)]
    .filter(([name]) => (environment[name] ?? "") !== "" && reasonAgainst(name) === undefined)
    .map(([name, meaning]) => `the environment sets ${name}: ${meaning}`);
}

function reasonAgainst(name: string): string | undefined {
  if (Object.hasOwn(REASONS, name)) return REASONS[name];
  return name.startsWith(ENGINE) && !HARMLESS.has(name)
    ? "it changes how the runtime executes this program"
    : undefined;
}
