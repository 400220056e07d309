/** What `config check` makes of a configuration and ends again at once: the parts that see mistakes which no schema can. */
import { aloneTurns, attemptInTurn } from "../base/attempts.ts";
import { SILENT_LOG } from "../base/log-port.ts";
import type { CertificateExpiry } from "../base/pki/certificate-expiry.ts";
import { loadSystemCalls } from "../base/system/system-calls.ts";
import type { Clock } from "../base/time/clock.ts";
import { CIPHERS, type CipherFactory, openCipher } from "./cipher/open-cipher.ts";
import type { LoadedConfiguration } from "./config/load-with-plugins.ts";
import { regionTaker } from "./key-memory/region.ts";
import { followCredentials } from "./plugin-host/follow-credentials.ts";
import { makeContribution } from "./plugin-host/make-contribution.ts";
import type { PluginContext } from "./plugin-host/plugin.ts";

type Path = readonly (string | number)[];
type Sections = Readonly<Record<string, unknown>>;

/** What a plugin is lent for a check: nothing of an edge that runs. `signal` aborts when the check ends. */
export function lentForCheck(
  { configuration, directory }: LoadedConfiguration,
  clock: Clock,
  expiry: CertificateExpiry,
  signal: AbortSignal,
): (plugin: string) => PluginContext {
  const nothing = { add() {}, set() {}, observe() {} };
  const turns = aloneTurns();
  return () => ({
    log: SILENT_LOG,
    clock,
    metrics: { counter: () => nothing, gauge: () => nothing, histogram: () => nothing },
    edgeId: configuration.edge.id,
    directory,
    signal,
    attempt: (name, run) => attemptInTurn(turns, name, run),
    follow: (credentials) => followCredentials(credentials, { expiry, clock, log: SILENT_LOG, signal }),
  });
}

/** Makes each part that plugins contribute, as the configuration chooses, and ends it: none is started. */
export function contributionsOf(
  loaded: LoadedConfiguration,
  lend: (plugin: string) => PluginContext,
): [Path, make: () => Promise<{ close?: () => unknown }>][] {
  const { configuration, plugins, errorAt } = loaded;
  const parts: [Path, () => Promise<{ close?: () => unknown }>][] = [];
  const add = (of: ReadonlyMap<string, unknown>, name: string, section: unknown, path: Path): void => {
    const contributed = of.get(name);
    if (contributed !== undefined)
      parts.push([path, () => makeContribution(contributed as never, section, path, { lend, errorAt })]);
  };
  const { use } = configuration.key_source;
  for (const name of new Set(typeof use === "string" ? [use] : use)) {
    add(plugins.keySources, name, (configuration.key_source as Sections)[name], ["key_source", name]);
  }
  const lists = [
    [plugins.revocationTransports, configuration.revocation.transports, ["revocation", "transports"]],
    [plugins.auditSinks, configuration.audit.sinks, ["audit", "sinks"]],
    [plugins.hooks, configuration.hooks, ["hooks"]],
  ] as const;
  for (const [of, entries, path] of lists) {
    for (const [index, entry] of entries.entries()) {
      add(of, entry.use, (entry as Sections)[entry.use], [...path, index, entry.use]);
    }
  }
  return parts;
}

/** Opens the configured cipher, with its known-answer tests. @throws CipherUnavailableError */
export async function checkCipher(loaded: LoadedConfiguration, lend: (plugin: string) => PluginContext): Promise<void> {
  const { use, require_fips: requireFips, ...sections } = loaded.configuration.cipher;
  const contributed = [...loaded.plugins.ciphers].map(([name, each]): [string, CipherFactory] => [
    name,
    () => makeContribution(each, (sections as Sections)[name], ["cipher", name], { lend, errorAt: loaded.errorAt }),
  ]);
  const { calls } = await loadSystemCalls();
  const adapter = await openCipher({
    use,
    requireFips,
    ciphers: { ...CIPHERS, ...Object.fromEntries(contributed) },
    takeMemory: regionTaker("heap", calls),
    warn() {},
  });
  adapter.close();
}

/** @throws KeyMemoryError where the machine has none of the kind that was chosen */
export async function checkKeyMemory({ configuration }: LoadedConfiguration): Promise<void> {
  const { openKeyMemory } = await import("./key-memory/open-key-memory.ts");
  (await openKeyMemory({ choice: configuration.key_memory.kind, expectedKeys: 1, warn() {} })).close();
}
