/** The whole way from a file to a checked configuration: the plugins that it names are loaded first, for their sections. */

import type { TSchema } from "@sinclair/typebox";
import type { ConfigurationError, ConfigurationPath } from "../../base/config/configuration-error.ts";
import type { FileSecret } from "../../base/config/file-secret.ts";
import { SILENT_LOG } from "../../base/log-port.ts";
import { isBuiltInDoor, NATIVE_DOOR } from "../doors/built-in.ts";
import { type Contributed, type LoadedPlugins, loadPlugins } from "../plugin-host/loader.ts";
import type { PluginLog } from "../plugin-host/plugin.ts";
import { PluginError } from "../plugin-host/plugin-error.ts";
import type { DoorEntry } from "./built-in-sections.ts";
import { LISTENER_KEYS } from "./listener-sections.ts";
import { readConfiguration } from "./load.ts";
import type { Configuration } from "./schema.ts";

export interface LoadedConfiguration {
  readonly configuration: Configuration;
  /** The folder that relative paths start from. */
  readonly directory: string;
  readonly plugins: LoadedPlugins;
  /** What is no mistake, but may surprise: for the log at start. */
  readonly notes?: readonly string[];
  /** Those that are given as files, to be followed. */
  readonly secrets?: readonly FileSecret[];
  /** The error that says what is wrong at a place of the file. */
  errorAt(path: ConfigurationPath, message: string): ConfigurationError;
}

/**
 * @param ownDoors Doors that the program brings itself, as a plugin would.
 * @throws {ConfigurationError} with every mistake
 * @throws {PluginError} for a plugin that cannot be loaded
 */
export async function loadConfiguration(
  file: string,
  log: PluginLog = SILENT_LOG,
  environment: NodeJS.ProcessEnv = process.env,
  ownDoors: LoadedPlugins["doors"] = new Map(),
): Promise<LoadedConfiguration> {
  const source = readConfiguration(file, environment);
  const loaded = await loadPlugins(source.plugins, source.directory, log);
  const plugins = ownDoors.size === 0 ? loaded : { ...loaded, doors: new Map([...loaded.doors, ...ownDoors]) };
  const configuration = source.check({
    keySources: sections(plugins.keySources),
    revocationTransports: sections(plugins.revocationTransports),
    auditSinks: sections(plugins.auditSinks),
    ciphers: sections(plugins.ciphers),
    hooks: sections(plugins.hooks),
    doors: doorEntries(plugins),
  });
  const { directory, notes, secrets, errorAt } = source;
  return { configuration, directory, plugins, notes, secrets, errorAt };
}

/** @throws {PluginError} for a name that is the edge's own */
function doorEntries({ doors }: LoadedPlugins): Record<string, DoorEntry> {
  const entries: Record<string, DoorEntry> = {};
  for (const [name, { from, contribution }] of doors) {
    if (name === NATIVE_DOOR || isBuiltInDoor(name) || LISTENER_KEYS.includes(name)) {
      throw new PluginError("name_taken", from.path, `doors.${name}: the name is the edge's own. Choose another.`);
    }
    entries[name] = { transport: contribution.transport, section: contribution.configuration };
  }
  return entries;
}

function sections(
  contributions: ReadonlyMap<string, Contributed<{ readonly configuration: TSchema }>>,
): Record<string, TSchema> {
  return Object.fromEntries([...contributions].map(([name, { contribution }]) => [name, contribution.configuration]));
}
