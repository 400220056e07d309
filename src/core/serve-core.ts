/** The Core as a process: its configuration file, its log, its certificates taken up when their files change, its watchers. */
import { followSecrets } from "../base/config/file-secret.ts";
import { messageOf } from "../base/errors.ts";
import { createLog } from "../base/log.ts";
import { followFiles } from "../base/pki/follow-files.ts";
import { filesOfServerTrust, readServerTrust, type ServerTrust } from "../base/pki/server-trust.ts";
import { stateOfFiles } from "../base/pki/watch-files.ts";
import { watchDescriptors } from "../base/system/descriptors.ts";
import { onReloadSignal } from "../base/system/reload-signal.ts";
import { systemClock } from "../base/time/system-clock.ts";
import { wipe } from "../base/wipe.ts";
import type { ConsoleListener, StartConsole } from "./console-port.ts";
import { startCore } from "./core.ts";
import { followedDatabase } from "./database-settings.ts";
import {
  createPublishers,
  createTargets,
  followedSignIn,
  loadCore,
  mistakeOfCertificate,
  readMasterKeys,
  trustFilesOf,
} from "./load-core.ts";
import type { MasterKeys } from "./master-key.ts";
import type { RunningCore } from "./running-core.ts";
import { startWatchListener } from "./watch-listener.ts";

/** In the log and in metrics. */
const ROLE = "the Core's listener";

export interface ServeCoreOptions {
  /** Loads what starts the console; called where the configuration has one. */
  readonly loadConsole: () => Promise<StartConsole>;
  /** For the log. */
  readonly notes?: readonly string[];
}

export async function serveCore(file: string, { loadConsole, notes = [] }: ServeCoreOptions): Promise<RunningCore> {
  const log = createLog("info");
  for (const note of notes) log.info(note);
  const loaded = await loadCore(file, log);
  const { configuration } = loaded;
  const { listen, lease, limits, usage, name, trust_domain, metrics } = configuration;
  /** What has been begun, in order: ended the other way round. */
  const begun: (() => unknown)[] = [() => loaded.end()];
  const end = async (): Promise<void> => {
    for (const one of begun.splice(0).reverse()) await one();
  };
  const secrets = followSecrets(loaded.source.secrets, { clock: systemClock, log });
  begun.push(() => secrets.close());
  let keys: MasterKeys | undefined;
  try {
    const files = trustFilesOf(configuration);
    const followed = filesOfServerTrust(files);
    const since = stateOfFiles(followed);
    const trust = await readServerTrust(files, systemClock);
    const mistake = mistakeOfCertificate(trust, trust_domain);
    if (mistake !== undefined) throw loaded.source.errorAt(["tls", "cert"], mistake);
    keys = await readMasterKeys(loaded);
    const core = await startCore({
      listen: { hostname: listen.host, port: listen.port },
      tls: trust.certificates,
      revocationLists: trust.revocationLists,
      database: await followedDatabase(loaded),
      masterKey: keys.current,
      ...(keys.former === undefined ? {} : { formerMasterKey: keys.former }),
      ...(name === undefined ? {} : { name }),
      ...(trust_domain === undefined ? {} : { trustDomain: trust_domain }),
      allow: configuration.allow,
      lease: {
        ttlSeconds: lease.ttl / 1_000,
        refreshAfterSeconds: lease.refresh_after / 1_000,
        deprecatedVersions: lease.deprecated_versions,
      },
      limits: {
        leasesPerSecond: lease.per_second_per_edge,
        connections: limits.connections_per_edge,
        streams: limits.streams_per_edge,
        usageBatchesPerSecond: limits.usage_per_second_per_edge,
      },
      usage: { countsMs: usage.keep_counts, auditMs: usage.keep_audit, auditBytes: usage.max_audit },
      retainedEvents: configuration.retained_events,
      publishers: await createPublishers(loaded),
      targets: await createTargets(loaded),
      log: (level, message, fields) => log[level](fields ?? {}, message),
    });
    begun.push(() => core.close());
    const { expiry } = loaded;
    const note = ({ chain, authorities, revocationLists }: ServerTrust): void => {
      expiry.use(ROLE, files.cert, chain);
      expiry.use(ROLE, files.clientCa, authorities);
      expiry.useLists(ROLE, revocationLists);
    };
    note(trust);
    let console: ConsoleListener | undefined;
    if (configuration.console !== undefined) {
      const startConsole = await loadConsole();
      const signIn = await followedSignIn(loaded, configuration.console);
      const secret = core.sharedSecret("console");
      console = await startConsole({
        ...configuration.console,
        signIn,
        secret,
        admin: core.admin,
        certificates: trust.certificates,
        revocationLists: trust.revocationLists,
        trustDomain: core.trustDomain,
        clock: systemClock,
        log: (level, message, fields) => log[level](fields ?? {}, message),
      }).finally(() => wipe(secret));
      const { url, close } = console;
      begun.push(() => close());
      log.info({ address: url }, "the console is ready");
    }
    const following = followFiles({
      role: ROLE,
      files: followed,
      since,
      clock: systemClock,
      log,
      async read() {
        const next = await readServerTrust(files, systemClock);
        const mistake = mistakeOfCertificate(next, trust_domain);
        if (mistake !== undefined) throw new Error(`${files.cert}: ${mistake}`);
        return next;
      },
      use: (next) => {
        core.useCertificates(next.certificates, next.revocationLists);
        console?.useCertificates(next.certificates, next.revocationLists);
        note(next);
      },
    });
    begun.push(() => following.close());
    begun.push(
      onReloadSignal(() =>
        Promise.all([following.reload(), secrets.reload()]).then(
          () =>
            log.info(
              "certificates, revocation lists and secrets were read again; everything else counts from the next start",
            ),
          (error: unknown) =>
            log.error({ reason: messageOf(error) }, "these files are no good; the old ones stay in use"),
        ),
      ),
    );
    begun.push(watchDescriptors(systemClock, log));
    if (metrics !== undefined) {
      const watching = await startWatchListener(metrics.listen, { core, expiry, clock: systemClock });
      begun.push(() => watching.close());
      log.info({ address: watching.url }, "listening for those who watch");
    }
    return Object.create(core, { close: { value: end } }) as RunningCore;
  } catch (error) {
    await end();
    throw error;
  } finally {
    if (keys !== undefined) {
      wipe(keys.current);
      if (keys.former !== undefined) wipe(keys.former);
    }
  }
}
