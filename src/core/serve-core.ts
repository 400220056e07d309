/** The Core as a process: its configuration file, its log, its certificates reloaded at SIGHUP. */

import { readFileSync } from "node:fs";
import { aloneTurns, attemptInTurn } from "../base/attempts.ts";
import { messageOf } from "../base/errors.ts";
import { createLog, type Log } from "../base/log.ts";
import { onReloadSignal } from "../base/system/reload-signal.ts";
import { systemClock } from "../base/time/system-clock.ts";
import { wipe } from "../base/wipe.ts";
import { ConfigurationError } from "../edge/config/load.ts";
import { type LoadedPlugins, loadPlugins } from "../edge/plugin-host/loader.ts";
import type { PluginContext } from "../edge/plugin-host/plugin.ts";
import { SectionError } from "../edge/plugin-host/plugin.ts";
import type { EventPublisher } from "../edge/revocation/event-publisher.ts";
import { type CoreCertificateTexts, type RunningCore, startCore } from "./core.ts";
import { type CoreConfiguration, readCoreConfiguration } from "./core-configuration.ts";
import { loadMasterKey } from "./master-key.ts";

export async function serveCore(file: string): Promise<RunningCore> {
  const log = createLog("info");
  const source = readCoreConfiguration(file);
  const plugins = await loadPlugins(source.plugins, source.directory, log);
  const configuration = source.check(
    Object.fromEntries(
      [...plugins.eventPublishers].map(([name, { contribution }]) => [name, contribution.configuration]),
    ),
  );
  const { listen, database, master_key, lease } = configuration;
  const masterKey = loadMasterKey(
    "file" in master_key ? { file: master_key.file } : { variable: master_key.environment },
  );
  // Not left for what this process starts, or for whoever reads its environment.
  if ("environment" in master_key) delete process.env[master_key.environment];
  const stopping = new AbortController();
  let publishers: EventPublisher[] = [];
  try {
    publishers = await createPublishers(file, configuration, plugins, source.directory, log, stopping.signal);
    const core = await startCore({
      listen: { hostname: listen.host, port: listen.port },
      tls: readServerCertificates(configuration.tls),
      database,
      masterKey,
      allow: configuration.allow,
      lease: {
        ttlSeconds: lease.ttl / 1_000,
        refreshAfterSeconds: lease.refresh_after / 1_000,
        deprecatedVersions: lease.deprecated_versions,
      },
      leasesPerSecondPerEdge: lease.per_second_per_edge,
      retainedEvents: configuration.retained_events,
      publishers,
      log: (level, message, fields) => log[level](fields ?? {}, message),
    });
    const endReloads = onReloadSignal(async () => {
      try {
        await core.reloadCertificates(readServerCertificates(configuration.tls));
        log.info("certificates and revocation lists reloaded");
      } catch (error) {
        log.error({ reason: messageOf(error) }, "the certificates were not reloaded; the old ones stay in use");
      }
    });
    return {
      ...core,
      // Not copied by the spread: it changes.
      get lastSeq() {
        return core.lastSeq;
      },
      async close() {
        endReloads();
        await core.close();
        stopping.abort();
      },
    };
  } catch (error) {
    stopping.abort();
    for (const publisher of publishers) await publisher.close?.();
    throw error;
  } finally {
    wipe(masterKey);
  }
}

/** What `publishers` asks for, made by the plugins. @throws ConfigurationError for a section that can never work */
async function createPublishers(
  file: string,
  configuration: CoreConfiguration,
  plugins: LoadedPlugins,
  directory: string,
  log: Log,
  signal: AbortSignal,
): Promise<EventPublisher[]> {
  const nothing = { add() {}, set() {}, observe() {} };
  const turns = aloneTurns();
  const made: EventPublisher[] = [];
  for (const [index, entry] of configuration.publishers.entries()) {
    const { from, contribution } = plugins.eventPublishers.get(entry.use)!;
    try {
      const section = (entry as Record<string, unknown>)[entry.use];
      const context: PluginContext = {
        log: log.child({ plugin: from.plugin.name }),
        clock: systemClock,
        metrics: { counter: () => nothing, gauge: () => nothing, histogram: () => nothing },
        edgeId: "core",
        directory,
        signal,
        attempt: (name, run) => attemptInTurn(turns, name, run),
      };
      made.push(await contribution.create(section as never, context));
    } catch (error) {
      for (const publisher of made) await publisher.close?.();
      if (!(error instanceof SectionError)) throw error;
      const path = ["publishers", index, entry.use, ...error.path].join(".");
      throw new ConfigurationError([`${file}: ${path}: ${error.message}`]);
    }
  }
  return made;
}

function readServerCertificates(paths: CoreConfiguration["tls"]): CoreCertificateTexts {
  const read = (what: string, path: string): Buffer => {
    try {
      return readFileSync(path);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? messageOf(error);
      throw new Error(`${what} ${path} can't be read (${code}): check the path and its permissions`);
    }
  };
  return {
    cert: read("the Core's certificate", paths.cert).toString(),
    key: read("the Core's private key", paths.key).toString(),
    clientCa: read("the CA certificate", paths.client_ca).toString(),
    clientCrls: paths.client_crl.map((path) => ({ name: path, bytes: read("the revocation list", path) })),
  };
}
