/** Everything that `core serve` does before it listens: also what `core config check` and the commands on a database do. */
import { closeSync, existsSync, openSync, readSync } from "node:fs";
import { aloneTurns, attemptInTurn } from "../base/attempts.ts";
import { checkFileInFolder } from "../base/check-path.ts";
import { messageOf } from "../base/errors.ts";
import { type LogPort, SILENT_LOG } from "../base/log-port.ts";
import { TakenPlaces } from "../base/network/taken-places.ts";
import { whyNotListen } from "../base/network/why-not-listen.ts";
import { CertificateExpiry } from "../base/pki/certificate-expiry.ts";
import { parseSpiffeId } from "../base/pki/identity.ts";
import { readAuthorities } from "../base/pki/pem.ts";
import { readServerTrust, type ServerTrust, type ServerTrustFiles } from "../base/pki/server-trust.ts";
import { readFileText } from "../base/read-file.ts";
import { systemClock } from "../base/time/system-clock.ts";
import { wipe } from "../base/wipe.ts";
import { followCredentials } from "../edge/plugin-host/follow-credentials.ts";
import { type LoadedPlugins, loadPlugins } from "../edge/plugin-host/loader.ts";
import { type MakeContributionOptions, makeContribution } from "../edge/plugin-host/make-contribution.ts";
import type { FollowedCredentials } from "../edge/plugin-host/plugin.ts";
import type { CoreTarget } from "../edge/revocation/core-target.ts";
import type { EventPublisher } from "../edge/revocation/event-publisher.ts";
import type { ConsoleConfiguration } from "./console-configuration.ts";
import type { ConsoleSignIn } from "./console-port.ts";
import {
  type CoreConfiguration,
  type CoreConfigurationSource,
  type MasterKeyConfiguration,
  readCoreConfiguration,
} from "./core-configuration.ts";
import { databaseOf } from "./database-settings.ts";
import { loadMasterKey, type MasterKeys, unwrapMasterKey } from "./master-key.ts";

export interface LoadedCore {
  readonly configuration: CoreConfiguration;
  readonly source: CoreConfigurationSource;
  readonly plugins: LoadedPlugins;
  /** What plugins are lent; its signal aborts at `end`. */
  readonly making: MakeContributionOptions;
  /** Told of the certificates that are in use, those of plugins too. */
  readonly expiry: CertificateExpiry;
  readonly follow: (credentials: FollowedCredentials) => Promise<void>;
  end(): void;
}

/** @throws ConfigurationError with every mistake, PluginError for a plugin that can't be loaded */
export async function loadCore(file: string, log: LogPort = SILENT_LOG): Promise<LoadedCore> {
  const source = readCoreConfiguration(file);
  const plugins = await loadPlugins(source.plugins, source.directory, log);
  const sections = (
    contributed: LoadedPlugins["eventPublishers"] | LoadedPlugins["keySources"] | LoadedPlugins["coreTargets"],
  ) => Object.fromEntries([...contributed].map(([name, { contribution }]) => [name, contribution.configuration]));
  const configuration = source.check({
    publishers: sections(plugins.eventPublishers),
    keySources: sections(plugins.keySources),
    targets: sections(plugins.coreTargets),
  });
  const turns = aloneTurns();
  const stopping = new AbortController();
  const expiry = new CertificateExpiry(systemClock, log);
  const nothing = { add() {}, set() {}, observe() {} };
  const follow = (credentials: FollowedCredentials): Promise<void> =>
    followCredentials(credentials, { expiry, clock: systemClock, log, signal: stopping.signal });
  return {
    configuration,
    source,
    plugins,
    making: {
      lend: () => ({
        log,
        clock: systemClock,
        metrics: { counter: () => nothing, gauge: () => nothing, histogram: () => nothing },
        edgeId: "core",
        directory: source.directory,
        signal: stopping.signal,
        attempt: (name, run) => attemptInTurn(turns, name, run),
        follow,
      }),
      errorAt: source.errorAt,
    },
    expiry,
    follow,
    end() {
      stopping.abort();
      expiry.close();
    },
  };
}

/** What `publishers` asks for, made by the plugins. @throws ConfigurationError for a section that can never work */
export async function createPublishers({ configuration, plugins, making }: LoadedCore): Promise<EventPublisher[]> {
  const made: EventPublisher[] = [];
  try {
    for (const [index, entry] of configuration.publishers.entries()) {
      const section = (entry as Record<string, unknown>)[entry.use];
      const contributed = plugins.eventPublishers.get(entry.use)!;
      made.push(await makeContribution(contributed, section, ["publishers", index, entry.use], making));
    }
    return made;
  } catch (error) {
    for (const publisher of made) await publisher.close?.();
    throw error;
  }
}

/** Who orders things of the Core: each plugin's whose section is there. @throws ConfigurationError, likewise */
export async function createTargets({ configuration, plugins, making }: LoadedCore): Promise<CoreTarget[]> {
  const sections = configuration as unknown as Readonly<Record<string, unknown>>;
  const targets: CoreTarget[] = [];
  for (const [name, contributed] of plugins.coreTargets) {
    if (sections[name] === undefined) continue;
    targets.push(await makeContribution(contributed, sections[name], [name], making));
  }
  return targets;
}

/** The master key and, while it is being rotated, the former one: buffers of the caller's, who wipes them. */
export async function readMasterKeys(loaded: LoadedCore): Promise<MasterKeys> {
  const { master_key, former_master_key } = loaded.configuration;
  const keys = await readMasterKey(loaded, master_key, "master_key");
  if (former_master_key === undefined) return keys;
  if (keys.former !== undefined) wipe(keys.former);
  try {
    const { current: former, former: older } = await readMasterKey(loaded, former_master_key, "former_master_key");
    if (older !== undefined) wipe(older);
    return { current: keys.current, former };
  } catch (error) {
    wipe(keys.current);
    throw error;
  }
}

async function readMasterKey(loaded: LoadedCore, from: MasterKeyConfiguration, place: string): Promise<MasterKeys> {
  if (!("use" in from)) {
    const current = loadMasterKey(from);
    // Not left for what this process starts, or for whoever reads its environment.
    if ("environment" in from) delete process.env[from.environment];
    return { current };
  }
  const section = (from as Record<string, unknown>)[from.use];
  const source = await makeContribution(
    loaded.plugins.keySources.get(from.use)!,
    section,
    [place, from.use],
    loaded.making,
  );
  try {
    return await unwrapMasterKey(source, from);
  } finally {
    await source.close();
  }
}

export function trustFilesOf({ tls }: CoreConfiguration): ServerTrustFiles & { readonly clientCa: string } {
  return { cert: tls.cert, key: tls.key, clientCa: tls.client_ca, clientCrl: tls.client_crl };
}

/** How people sign in at the console, with the CA read. */
export function signInOf(console: ConsoleConfiguration): ConsoleSignIn | undefined {
  const { oidc } = console;
  if (oidc === undefined) return undefined;
  return {
    issuer: oidc.issuer,
    ca: oidc.ca === undefined ? undefined : readFileText(oidc.ca, "the CA certificate of the console's issuer"),
    clientId: oidc.client_id,
    clientSecret: oidc.client_secret === undefined ? undefined : () => oidc.client_secret!,
    audience: oidc.audience ?? oidc.client_id,
    url: oidc.url,
    scopes: oidc.scopes,
    rolesClaim: oidc.roles_claim,
    administrators: oidc.administrators,
    viewers: oidc.viewers,
    sessionMs: oidc.session,
  };
}

/** The same, its authority's certificates as the file has them at the time. */
export async function followedSignIn(
  loaded: LoadedCore,
  console: ConsoleConfiguration,
): Promise<ConsoleSignIn | undefined> {
  const signIn = signInOf(console);
  const file = console.oidc?.ca;
  if (signIn === undefined || file === undefined) return signIn;
  return { ...signIn, ca: await followedAuthority(loaded, "the console's issuer", file) };
}

async function followedAuthority({ follow }: LoadedCore, role: string, file: string): Promise<() => string> {
  let pem = "";
  await follow({
    role,
    certificates: [file],
    take() {
      pem = readAuthorities(file).pem;
    },
  });
  return () => pem;
}

/**
 * Does what `serve` does before it opens the database and listens: loads plugins, pairs certificates with keys, reads the
 * master key where it is no plugin's to open.
 *
 * @throws ConfigurationError with every mistake
 */
export async function checkCore(file: string): Promise<void> {
  const loaded = await loadCore(file);
  try {
    const { configuration, source } = loaded;
    let trust: ServerTrust;
    try {
      trust = await readServerTrust(trustFilesOf(configuration), systemClock);
    } catch (error) {
      throw source.errorAt(["tls"], messageOf(error));
    }
    const mistake = mistakeOfCertificate(trust, configuration.trust_domain);
    if (mistake !== undefined) throw source.errorAt(["tls", "cert"], mistake);
    for (const place of ["master_key", "former_master_key"] as const) {
      const from = configuration[place];
      if (from === undefined || "use" in from) continue;
      try {
        wipe(loadMasterKey(from));
      } catch (error) {
        throw source.errorAt([place], messageOf(error));
      }
    }
    try {
      const database = databaseOf(configuration);
      if (typeof database === "string") checkDatabaseFile(database);
    } catch (error) {
      throw source.errorAt(["database"], messageOf(error));
    }
    await checkListeners(configuration, source);
    try {
      if (configuration.console !== undefined) signInOf(configuration.console);
    } catch (error) {
      throw source.errorAt(["console", "oidc", "ca"], messageOf(error));
    }
    for (const publisher of await createPublishers(loaded)) await publisher.close?.();
    for (const target of await createTargets(loaded)) await target.close();
  } finally {
    loaded.end();
  }
}

const SERVER_AUTHENTICATION = "1.3.6.1.5.5.7.3.1";

/** Why the certificate is no Core's: an edge's or an administrator's, which every edge refuses. Undefined where it may be one. */
export function mistakeOfCertificate({ chain: [own] }: ServerTrust, trustDomain?: string): string | undefined {
  const uris = [...(own?.subjectAltName ?? "").matchAll(/URI:(spiffe:\/\/[^,\s"]+)/g)].map(([, uri]) => uri!);
  if (uris.length === 0 && trustDomain === undefined) {
    return "the certificate names no SPIFFE ID: name the trust_domain";
  }
  const other = uris.find((uri) => parseSpiffeId(uri)?.identity.kind !== "core");
  if (other !== undefined)
    return `the certificate is not a Core's: it names ${other}, and a Core's names spiffe://…/core`;
  const uses = own?.keyUsage as readonly string[] | undefined;
  if (uses !== undefined && uses.length > 0 && !uses.includes(SERVER_AUTHENTICATION)) {
    return "the certificate is not for servers: its extended key usage has no serverAuth";
  }
  return undefined;
}

const SQLITE_HEADER = "SQLite format 3\0";

/** Without opening it: a Core may be running on it. @throws Error with a sentence */
function checkDatabaseFile(path: string): void {
  checkFileInFolder(path);
  if (!existsSync(path)) return;
  const start = Buffer.alloc(SQLITE_HEADER.length);
  const file = openSync(path, "r");
  try {
    const length = readSync(file, start);
    if (length > 0 && start.toString("latin1") !== SQLITE_HEADER)
      throw new Error(`${path} is no database: choose another path`);
  } finally {
    closeSync(file);
  }
}

async function checkListeners(configuration: CoreConfiguration, source: CoreConfigurationSource): Promise<void> {
  const places = new TakenPlaces();
  for (const [name, path, address] of [
    ["the Core", ["listen"], configuration.listen],
    ["metrics", ["metrics", "listen"], configuration.metrics?.listen],
    ["the console", ["console", "listen"], configuration.console?.listen],
  ] as const) {
    if (address === undefined) continue;
    const message = places.takePort(address, name) ?? (await whyNotListen(address.host));
    if (message !== undefined) throw source.errorAt(path, message);
  }
}
