/** The Core as a process: its configuration file, its log, its certificates reloaded at SIGHUP. */
import { readFileSync } from "node:fs";
import { messageOf } from "../errors.ts";
import { createLog } from "../telemetry/log.ts";
import type { ServerCertificates } from "../tls/server.ts";
import { wipe } from "../wipe.ts";
import { type RunningCore, startCore } from "./core.ts";
import { type CoreConfiguration, readCoreConfiguration } from "./core-configuration.ts";
import { loadMasterKey } from "./master-key.ts";

export async function serveCore(file: string): Promise<RunningCore> {
  const configuration = readCoreConfiguration(file);
  const log = createLog("info");
  const { listen, database, master_key, lease } = configuration;
  const masterKey = loadMasterKey(
    "file" in master_key ? { file: master_key.file } : { variable: master_key.environment },
  );
  // Not left for what this process starts, or for whoever reads its environment.
  if ("environment" in master_key) delete process.env[master_key.environment];
  try {
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
      log: (level, message, fields) => log[level](fields ?? {}, message),
    });
    const reload = (): void => {
      try {
        core.reloadCertificates(readServerCertificates(configuration.tls));
        log.info("certificates reloaded");
      } catch (error) {
        log.error({ reason: messageOf(error) }, "the certificates were not reloaded; the old ones stay in use");
      }
    };
    process.on("SIGHUP", reload);
    return {
      ...core,
      // Not copied by the spread: it changes.
      get lastSeq() {
        return core.lastSeq;
      },
      async close() {
        process.off("SIGHUP", reload);
        await core.close();
      },
    };
  } finally {
    wipe(masterKey);
  }
}

function readServerCertificates(paths: CoreConfiguration["tls"]): ServerCertificates {
  const read = (what: string, path: string): string => {
    try {
      return readFileSync(path, "utf8");
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? messageOf(error);
      throw new Error(`${what} ${path} can't be read (${code}): check the path and its permissions`);
    }
  };
  return {
    cert: read("the Core's certificate", paths.cert),
    key: read("the Core's private key", paths.key),
    clientCa: read("the CA certificate", paths.client_ca),
  };
}
